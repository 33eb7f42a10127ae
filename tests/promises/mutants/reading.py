"""Bugs in reading what others send: heads of requests, inline media, results of the upstream, replies."""

from __future__ import annotations

from typing import Final

from tests.promises.mutants.mutant import Mutant, named

READING: Final = (
    Mutant(
        "an_upgrade_ends_the_request",
        "gateway/web/server/protocol.py",
        "HardenedProtocol._feed",
        "data = head + data[offered.args[0] :]",
        'data = head.replace(b"content-length:", b"x-length:")',
        "a POST that offers h2c, as some clients always do, loses its body and is refused as empty",
        (
            named(
                "gateway/web/server/heads",
                "an_offered_upgrade_is_ignored_and_the_body_is_read[parts0-answers0]",
            ),
        ),
    ),
    Mutant(
        "only_a_plain_url_is_a_video",
        "gateway/upstream/results.py",
        "_url_of",
        "    if isinstance(value, str):\n        return value if (",
        "    if isinstance(value, str):\n"
        "        plain = url_fault(value, max_characters=MAX_CALLBACK_URL_CHARACTERS) is None\n"
        "        return value if plain and (",
        "a video that was paid for is thrown away because its URL has a space",
        (
            named("gateway/upstream/results", "what_can_be_encoded_is_encoded_and_a_warning_says_so"),
            named(
                "gateway/upstream/results", "what_cannot_be_judged_is_kept_as_it_came_and_a_warning_says_so"
            ),
        ),
    ),
    Mutant(
        "a_video_has_one_place",
        "gateway/upstream/results.py",
        "read_result",
        "for name in (*(name for name in _PLACES if name in document), None):",
        'for name in (name for name in ("output", "creations") if name in document):',
        "a video that was paid for is thrown away because the upstream gave its field another name",
        (named("gateway/upstream/results", "a_video_is_found_wherever_the_upstream_names_it"),),
    ),
    Mutant(
        "an_error_outweighs_a_video",
        "gateway/upstream/snapshots.py",
        "_status",
        "if known is TaskStatus.COMPLETED and (done or failure is None):",
        "if known is TaskStatus.COMPLETED and failure is None:",
        "a video that was paid for is thrown away because an error stands beside it",
        (named("gateway/upstream/results", "a_video_beside_an_error_is_kept_with_a_warning"),),
    ),
    Mutant(
        "one_word_for_failure",
        "gateway/upstream/status_words.py",
        "_MEANINGS",
        '*("failed", "fail", "failure", "error", "errored", "expired", "timeout", "timed_out", "rejected"),\n'
        '        *("refused", "denied"),\n',
        '"failed",\n',
        "a task that the upstream calls FAILURE is polled until its deadline, and holds a slot",
        (named("gateway/upstream/status_words", "a_failure_keeps_its_reason"),),
    ),
    Mutant(
        "an_unknown_status_is_progress",
        "workers/unknown_status.py",
        "UnknownStatusAlarm.observe",
        "alarming = error or job.unknown_status_polls >= PATIENCE",
        "alarming = False",
        "a task whose status nobody knows holds a slot until its deadline, and nobody hears of it",
        (named("workers/unknown_status", "operators_hear_of_a_strange_status_that_stays"),),
    ),
    Mutant(
        "one_header_tells_the_length",
        "gateway/generation/media_probe.py",
        "_clip",
        "        lengths.append((seconds, _PACKETS))\n",
        "        lengths = [(float((videos[0].duration or 0) * (videos[0].time_base or 0)), _CONTAINER)]\n",
        "a clip of 20 s whose header says less passes the limit of 8 s, and is paid for",
        (
            named(
                "gateway/generation/clip_lengths",
                "one_header_that_says_less_does_not_make_a_clip_shorter[mdhd]",
            ),
        ),
    ),
    Mutant(
        "any_end_marker_ends_a_jpeg",
        "gateway/generation/still_image.py",
        "examine_image",
        "return StillImage(size, None, size is None or not ends_well)",
        "return StillImage(size, None, size is None)",
        "half a photo passes, because its thumbnail ends well, and is paid for",
        (
            named(
                "gateway/generation/truncated", "a_picture_without_its_end_is_refused[jpeg with a thumbnail]"
            ),
        ),
    ),
    Mutant(
        "size_must_be_at_the_start",
        "gateway/generation/still_image.py",
        "examine_image",
        "if size is None and len(raw) <= _HEADER_BYTES:",
        "if size is None:",
        "a good photo with a depth map or content credentials before its frame is refused",
        (named("gateway/generation/truncated", "a_photo_may_have_long_metadata_before_its_size"),),
    ),
    Mutant(
        "packets_are_not_counted",
        "gateway/generation/media_probe.py",
        "_read_packets",
        "whole and bool(starts) and not beyond",
        "True",
        "half a clip passes, because its index comes first, and is paid for",
        (
            named(
                "gateway/generation/truncated", "a_clip_without_its_end_is_refused[mp4 with its index first]"
            ),
        ),
    ),
    Mutant(
        "data_uris_have_exact_prefixes",
        "gateway/generation/data_uris.py",
        "read",
        '    declared, *parameters = reference[5:comma].lower().split(";")\n'
        '    if not parameters or parameters[-1].lstrip(" ") != "base64":\n',
        '    declared, *parameters = reference[5:comma].split(";")\n    if parameters != ["base64"]:\n',
        "a data URI with a charset or in upper case, which the RFC allows, is refused",
        (named("gateway/generation/data_uris", "every_form_of_the_rfc_is_taken_and_sent_in_one_form"),),
    ),
    Mutant(
        "bad_base64_is_just_bad",
        "gateway/generation/data_uris.py",
        "_decode",
        'raise BadDataURI("base64", _base64_message(reference[start:])) from None',
        'raise BadDataURI("base64", "is not strict Base64; send it without line breaks") from None',
        "who sends the URL-safe alphabet or printed bytes is told of line breaks that are not there",
        (named("gateway/generation/data_uris", "a_wrong_form_is_named[URL-safe]"),),
    ),
    Mutant(
        "long_strings_are_not_checked",
        "gateway/strict_json/long_base64.py",
        "_base64",
        "        pybase64.b64decode(text, validate=True)\n",
        "",
        "a long string with a control character, which is not JSON, is read all the same",
        (
            named(
                "gateway/strict_json/long_base64",
                "any_document_has_the_value_and_the_problem_that_it_has_without_this",
            ),
        ),
    ),
    Mutant(
        "marks_of_a_client_are_ours",
        "gateway/strict_json/long_base64.py",
        "take_out",
        "not taken or any(_RAW_MARK in part or _ESCAPED_MARK in part for part in kept)",
        "not taken",
        "a text with DEL beside a file is answered with 500, or becomes the file",
        (
            named(
                "gateway/strict_json/long_base64",
                "any_document_has_the_value_and_the_problem_that_it_has_without_this",
            ),
        ),
    ),
    Mutant(
        "marks_in_keys_stay",
        "gateway/strict_json/long_base64.py",
        "put_back",
        "count == len(taken)",
        "True",
        "a duplicate key is accepted if it is long, and messages show the mark",
        (named("gateway/strict_json/long_base64", "a_document_is_read_as_it_came_if_a_mark_is_in_a_key"),),
    ),
    Mutant(
        "blank_is_white_space",
        "gateway/generation/texts.py",
        "is_blank",
        "return not _shows_something.isinstance_python(text)",
        "return not text or text.isspace()",
        "a prompt of invisible characters is paid for",
        (named("gateway/generation/texts", "a_text_of_invisible_characters_is_blank"),),
    ),
    Mutant(
        "webhook_urls_are_quoted_again",
        "gateway/delivery/pool.py",
        "verbatim_url",
        "    scheme, authority, target = split_url(url)\n"
        "    return URL.build(scheme=scheme, authority=authority, path=target, encoded=True)\n",
        "    return URL(url)\n",
        "the signature of a signed webhook URL breaks on the way, and no event arrives",
        (named("gateway/delivery/http_target", "the_request_line_has_the_registered_bytes"),),
    ),
    Mutant(
        "an_odd_reply_is_a_failure",
        "gateway/delivery/http.py",
        "Deliverer._request",
        "reply = raw_reply.read(received)",
        "reply = None",
        "an event that the subscriber has taken with a 2xx of odd form is sent again and again",
        (named("gateway/delivery/http_odd_replies", "a_2xx_is_a_success_in_whatever_form_it_comes"),),
    ),
    Mutant(
        "an_unreadable_reply_is_not_quoted",
        "gateway/delivery/http.py",
        "Deliverer._request",
        "hint = hint_of_error(error) or hint_of_start(outcome, received)",
        "hint = hint_of_error(error)",
        "an attempt that failed on what the subscriber sent does not say what that was",
        (
            named(
                "gateway/delivery/http_odd_replies",
                "a_kept_connection_never_reads_the_start_of_an_earlier_reply",
            ),
        ),
    ),
)
