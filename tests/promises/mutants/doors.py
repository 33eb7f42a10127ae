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
        "credits_are_rounded_down",
        "gateway/doors/vidu.py",
        "credits_of",
        "to_integral_value(ROUND_CEILING)",
        'to_integral_value("ROUND_FLOOR")',
        "a client bills less than the task cost",
        (named("gateway/doors/vidu", "credits_are_a_whole_number_and_absent_until_they_are_known"),),
    ),
    Mutant(
        "an_unknown_price_is_no_price",
        "gateway/doors/vidu.py",
        "credits_of",
        "return 0 if job.spend is Spend.NONE else None",
        "return 0",
        "a client believes that a task which was paid for was free",
        (named("gateway/doors/vidu", "credits_are_a_whole_number_and_absent_until_they_are_known"),),
    ),
    Mutant(
        "a_door_s_callback_gets_our_event",
        "gateway/settlement.py",
        "in_words_of_its_door",
        "if events.callback_url_for(job, event.type) is None or job.door is None or job.door not in DOORS:",
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
        "None if job.door in DOORS else events.callback_url_for(job, event.type)",
        "events.callback_url_for(job, event.type)",
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
        "gateway/intake/job_options.py",
        "JobOptions.meaning",
        '("trace", "door", "attempt")',
        '("trace", "attempt")',
        "a client that moves to another door during a retry is refused",
        (named("gateway/web/doors/vtrix", "a_key_of_idempotency_makes_one_job_through_any_door"),),
    ),
    Mutant(
        "a_retry_finds_a_job_that_another_retry_has",
        "gateway/store/scripts/lib/attempts.lua",
        "find",
        "      redis.call('ZREM', key, job)\n",
        "",
        "two requests whose answers were lost get one job between them, and the other is paid for and lost",
        (named("gateway/store/attempts", "one_job_is_found_by_one_retry_of_each_number"),),
    ),
    Mutant(
        "an_attempt_that_is_asked_again_makes_a_job",
        "gateway/store/scripts/lib/attempts.lua",
        "find",
        "  if found then return found end\n",
        "",
        "the store's answer to a retry is lost, and the job is made and paid for twice",
        (named("gateway/store/attempts", "an_attempt_that_is_asked_again_has_the_same_answer"),),
    ),
    Mutant(
        "progress_is_a_fraction",
        "gateway/doors/openai/words.py",
        "_progress",
        "int(100 * (job.progress or 0))",
        "100 * (job.progress or 0)",
        "litellm cannot read a video that is being made",
        (named("gateway/doors/openai/words", "times_are_whole_seconds_and_progress_is_whole_per_cent"),),
    ),
    Mutant(
        "a_first_attempt_counts_as_a_retry",
        "gateway/store/scripts/lib/attempts.lua",
        "find",
        "for number = attempt.number - 1, 0, -1 do",
        "for number = attempt.number, 0, -1 do",
        "a client that wants two videos of one prompt gets one",
        (named("gateway/store/attempts", "first_attempts_are_never_folded"),),
    ),
    Mutant(
        "who_is_gone_gets_a_job",
        "gateway/intake/__init__.py",
        "Intake.accept",
        "await is_gone()",
        "False",
        "a client that gave up and sends the request again pays twice",
        (named("gateway/web/doors/openai", "a_client_that_is_gone_by_then_gets_no_job[files_are_kept]"),),
    ),
)
