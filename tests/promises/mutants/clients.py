"""Bugs of the Python client: what it repeats, whom it shows the key, what it believes."""

from __future__ import annotations

from typing import Final

from tests.promises.mutants.mutant import Mutant, named

CLIENTS: Final = (
    Mutant(
        "a_new_key_for_each_attempt",
        "gateway/client/requests.py",
        "opened",
        "for attempt in range(retries + 1):\n",
        "for attempt in range(retries + 1):\n"
        "        request = replace(request, headers={**request.headers, 'Idempotency-Key': str(attempt)})\n",
        "an order whose answer was lost is paid for twice",
        (named("gateway/client/requests", "a_post_that_failed_is_sent_again_with_the_same_key"),),
    ),
    Mutant(
        "a_post_in_lower_case_has_no_key",
        "gateway/client/client.py",
        "_Operations.request",
        "method = method.upper()",
        "pass",
        "an order by `request` whose answer was lost is sent again without a key, and paid for twice",
        (named("gateway/client/requests", "a_post_of_any_spelling_has_a_key_and_is_not_repeated_in_doubt"),),
    ),
    Mutant(
        "a_rotation_is_repeated_in_doubt",
        "gateway/client/requests.py",
        "_may_repeat",
        "return request.repeatable or not error.sent",
        "return True",
        "a secret that nobody has seen is replaced by another",
        (named("gateway/client/requests", "what_must_not_happen_twice_is_not_repeated_in_doubt"),),
    ),
    Mutant(
        "the_key_goes_where_a_redirect_leads",
        "gateway/client/network.py",
        "Target.parts",
        'if self.key and request.path.startswith("/"):',
        "if self.key:",
        "whoever serves the upstream's files gets the tenant's key",
        (named("gateway/client/downloading", "a_redirect_is_followed_without_the_key"),),
    ),
    Mutant(
        "a_download_is_not_checked",
        "gateway/client/downloading.py",
        "_Download.check",
        "if self.sha256 is not None and self.digest.hexdigest() != self.sha256:",
        "if False:",
        "a damaged file is taken for the video",
        (named("gateway/client/downloading", "another_file_than_the_stored_one_is_not_kept"),),
    ),
    Mutant(
        "a_stream_skips_what_was_not_dealt_with",
        "gateway/client/streaming.py",
        "Parser.feed",
        "self._id = value.decode()",
        "self._id = self.last_id = value.decode()",
        "the event in which a connection broke is never seen",
        (named("gateway/client/streaming", "the_next_connection_goes_on_after_what_was_dealt_with"),),
    ),
    Mutant(
        "an_old_webhook_verifies",
        "gateway/client/webhooks.py",
        "verify",
        "if not sent.isdecimal() or abs(time.time() - int(sent)) > tolerance:",
        "if not sent.isdecimal():",
        "whoever overheard a webhook can send it again",
        (named("gateway/client/webhooks", "what_was_signed_at_another_time_is_too_old"),),
    ),
)
