"""Bugs in doors: words or types that their clients do not know, and jobs that are not one job everywhere."""

from __future__ import annotations

from typing import Final

from tests.promises.mutants.mutant import Mutant, named

DOORS: Final = (
    Mutant(
        "the_price_is_a_number",
        "gateway/doors/vtrix.py",
        "_usage",
        'usage["cost"] = str(usage["cost"])',
        'usage["cost"] = float(usage["cost"])',
        "the client reports a failed request although the job is paid for",
        (named("gateway/doors/vtrix", "the_price_is_a_text"),),
    ),
    Mutant(
        "a_door_s_callback_gets_our_event",
        "gateway/settlement.py",
        "Settlement._told",
        "if job.callback_url is None or job.door is None or job.door not in DOORS:",
        "if True:",
        "a client of a door cannot read the callback of its job",
        (
            named(
                "gateway/settlement_doors",
                "the_callback_url_hears_what_a_poll_shows_and_an_endpoint_the_event",
            ),
        ),
    ),
    Mutant(
        "a_late_result_is_told_through_a_door",
        "gateway/settlement.py",
        "Settlement.late",
        "None if job.door in DOORS else job.callback_url",
        "job.callback_url",
        "a task that failed is completed later, or told in words that the client does not know",
        (
            named(
                "gateway/settlement_doors",
                "a_late_result_goes_to_endpoints_and_not_in_words_that_have_none_for_it",
            ),
        ),
    ),
    Mutant(
        "a_key_means_another_job_at_another_door",
        "gateway/intake.py",
        "_fingerprint",
        ", door=options.door)",
        ")",
        "a client that moves to another door during a retry is refused",
        (named("gateway/web/doors/vtrix", "a_key_of_idempotency_makes_one_job_through_any_door"),),
    ),
)
