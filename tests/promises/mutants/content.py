"""Bugs in who may fetch a result, in what it gets, and in what stays of it."""

from __future__ import annotations

from typing import Final

from tests.promises.mutants.mutant import Mutant, named

_LINKS: Final = "gateway/web/api/links"
_CONTENT: Final = "gateway/web/api/content"
CONTENT: Final = (
    Mutant(
        "links_open_every_variant",
        "gateway/media/links.py",
        "_content_mac",
        "kid, job_id, variant, str(expires_at)",
        "kid, job_id, str(expires_at)",
        "who was sent the marked video fetches the plain one",
        (named(_LINKS, "an_altered_link_opens_nothing"),),
    ),
    Mutant(
        "links_never_expire",
        "gateway/web/api/content.py",
        "_linked",
        "    if int(exp) * 1000 <= resources.environment.now_ms():\n",
        "    if int(exp) <= 0:\n",
        "a link that was sent once opens the video for good",
        (named(_LINKS, "a_link_ends_at_its_time"),),
    ),
    Mutant(
        "links_name_any_host",
        "gateway/web/server/hosts.py",
        "own_base",
        "    return asked_base(scope) if settings.allowed_hosts else None\n",
        "    return asked_base(scope)\n",
        "a link, which opens the video without a key, leads to whatever host a request named",
        (named(_LINKS, "without_a_base_url_only_a_known_host_is_the_base"),),
    ),
    Mutant(
        "lost_uploads_are_served_as_redirects_to_nothing",
        "gateway/web/api/media.py",
        "fetch",
        "    await _check_file(state, upload)\n",
        "",
        "jobs fail at the upstream because their files are gone, and nobody here is told",
        (named("gateway/web/api/media", "a_lost_file_is_a_404_and_an_error_in_the_log"),),
    ),
    Mutant(
        "reads_by_links_take_the_owner_s_turn",
        "gateway/web/api/stored_content.py",
        "one_read",
        '"content" if linked_job is None else "links"',
        '"content"',
        "strangers with a leaked link keep the tenant from its own videos",
        (named(_LINKS, "reads_by_links_are_bounded_and_leave_the_owner_s_alone"),),
    ),
    Mutant(
        "files_are_read_for_readers_that_left",
        "gateway/web/api/stored_content.py",
        "StoredContent._send_all",
        "            if await self._request.is_disconnected():",
        "            if False:",
        "each click on a leaked link reads a gigabyte from the disk, although nobody gets it",
        (named("gateway/web/api/content_served", "a_reader_that_leaves_closes_its_file"),),
    ),
    Mutant(
        "a_part_of_an_older_file_goes_on",
        "gateway/web/http/ranges.py",
        "wanted_part",
        'if found is None or headers.get(b"if-range", etag.encode()).strip() != etag.encode():',
        "if found is None:",
        "a download that goes on mixes the bytes of two files",
        (named(_CONTENT, "a_range_that_cannot_be_understood_or_is_of_another_file_is_ignored"),),
    ),
    Mutant(
        "a_lost_copy_is_the_end",
        "gateway/web/api/content.py",
        "_served",
        "        return _instead(state, wanted, error)\n",
        "        raise error\n",
        "a video that the upstream still has cannot be fetched because our copy was lost",
        (named(_CONTENT, "a_copy_that_is_lost_or_damaged_is_replaced_by_the_upstream_s_address"),),
    ),
    Mutant(
        "what_the_owner_deleted_is_still_linked",
        "gateway/web/api/content.py",
        "_elsewhere",
        "        if asset.reason == DELETED:\n",
        "        if False:\n",
        "links lead to the upstream's file although the owner deleted the video",
        (named(_LINKS, "a_link_without_a_copy_redirects_and_ends_when_its_owner_deletes_the_file"),),
    ),
    Mutant(
        "deleted_copies_count_for_good",
        "gateway/store/scripts/delete_assets.lua",
        "",
        "  assets.write(key, args.name, one.variant, one.text, {}, call.now_ms())",
        "  record.set(key, { [assets.field_of(one.variant)] = one.text })",
        "a tenant that deletes its videos runs out of room all the same",
        (named(_CONTENT, "the_owner_deletes_the_copies_and_gets_the_bytes_back"),),
    ),
    Mutant(
        "a_copy_that_comes_meanwhile_outlives_its_deletion",
        "gateway/store/scripts/delete_assets.lua",
        "",
        "  if before.state ~= one.state or (before.key or '') ~= one.key then return 0 end\n",
        "",
        "a video that was copied in the same moment stays on the disk, and nobody knows of it",
        (named(_CONTENT, "a_copy_that_is_stored_meanwhile_is_deleted_too"),),
    ),
    Mutant(
        "events_change_with_the_copies",
        "gateway/events.py",
        "make",
        "_frozen(replace(job, assets=uncopied), kind",
        "_frozen(job, kind",
        "an event that is read again has other bytes under the same id",
        (named("gateway/events", "the_event_is_the_same_however_far_the_copies_are"),),
    ),
)
