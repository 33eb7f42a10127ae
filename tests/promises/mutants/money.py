"""Planted bugs: money."""

from __future__ import annotations

from typing import Final

from tests.promises.mutants.mutant import LAYER_1, Mutant, named

_MONEY: Final = "gateway/store/scripts/lib/money.lua"
_BUDGETS: Final = "gateway/store/scripts/lib/budgets.lua"
_EFFECTS: Final = "gateway/store/scripts/lib/effects.lua"

MONEY: Final = (
    Mutant(
        "a_task_is_charged_twice",
        _MONEY,
        "charge",
        "    elseif amount and not known then\n",
        "    elseif amount then\n",
        "a repeated step charges a tenant again for the same task",
        (named("workers/money", "a_settlement_that_is_repeated_charges_once"), LAYER_1),
    ),
    Mutant(
        "money_is_returned_on_an_unknown_outcome",
        _MONEY,
        "finish",
        "  if epoch == number_of(key, 'sent_again') or not record.get(key, 'released_at') then\n",
        "  if reserved > 0 then\n",
        "what was paid, and never known to be, is spent a second time",
        (named("workers/money", "an_unknown_outcome_keeps_its_money_in_suspense"), LAYER_1),
    ),
    Mutant(
        "a_resubmission_reserves_nothing",
        _EFFECTS,
        "apply",
        "    if wanted.reserve_again then money.reserve_again(key, wanted.reserve_again) end\n",
        "",
        "a job that is sent again spends more than its budget",
        (named("workers/money", "a_resubmission_reserves_once_more"), LAYER_1),
    ),
    Mutant(
        "a_resubmission_ignores_the_budget",
        _EFFECTS,
        "settled_already",
        "(wanted.reserve_again and not budgets.allow_again(key, wanted.reserve_again))",
        "(wanted.reserve_again and false)",
        "an hour of lost answers spends twice the budget",
        (named("workers/money", "over_a_hard_budget_a_job_is_not_sent_again_by_policy"),),
    ),
    Mutant(
        "the_budget_is_checked_before_the_script",
        "gateway/store/scripts/accept.lua",
        "",
        "if exceeded then return",
        "if exceeded and args.check_only then return",
        "jobs that are posted at once spend more than the budget",
        (named("gateway/store/budgets", "many_posts_at_once_never_exceed_a_budget"),),
    ),
    Mutant(
        "suspense_does_not_count",
        _BUDGETS,
        "first_exceeded",
        " + counters.get(balance, stem .. 'suspense')",
        "",
        "what may have been paid is spent a second time",
        (named("workers/money", "what_is_in_suspense_counts_against_the_budget"),),
    ),
    Mutant(
        "an_unknown_price_fits_every_budget",
        _BUDGETS,
        "first_exceeded",
        "local fits = estimate and ",
        "local fits = not estimate or ",
        "a model without a price is a hole in every budget",
        (named("gateway/store/budgets", "a_hard_budget_refuses_a_job_without_a_price"),),
    ),
    Mutant(
        "the_day_is_that_of_the_gateway",
        "gateway/store/scripts/accept.lua",
        "",
        "money.day_of(now)",
        "money.day_of(fields.created_at)",
        "a gateway whose clock jumps over midnight spends the budget of another day",
        (named("gateway/store/budgets", "the_clock_of_the_store_says_to_which_day_a_job_belongs"),),
    ),
    Mutant(
        "a_late_result_is_not_charged",
        "gateway/settlement.py",
        "Settlement.late",
        "[Charge(costs), Tally(",
        "[Tally(",
        "what the upstream took for a late result stays in suspense for ever",
        (named("workers/money", "a_late_result_is_charged_out_of_suspense"),),
    ),
    Mutant(
        "a_late_answer_is_not_charged",
        "workers/submission_outcomes.py",
        "OutcomeRecorder._accepted",
        "                Charge({outcome.task_id: None}, job.epoch, unless_watched=True),\n",
        "",
        "the task of an answer that comes after the end stays in suspense for ever",
        (named("workers/money", "an_answer_that_comes_after_the_end_is_charged"),),
    ),
    Mutant(
        "only_the_first_task_is_charged",
        "workers/task_status.py",
        "found",
        "zip(job.tasks, polls, strict=False)",
        "zip(job.tasks[:1], polls, strict=False)",
        "a job that was paid for twice is charged once",
        (named("workers/money", "each_task_of_a_job_is_charged"),),
    ),
    Mutant(
        "a_foreign_currency_is_taken_for_ours",
        "gateway/money/told.py",
        "CostReader.read",
        "            if str(currency).upper() != self.currency:\n",
        "            if False:\n",
        "99 yuan are charged as 99 dollars",
        (named("workers/money", "a_cost_in_another_currency_is_not_used_and_counted"),),
    ),
    Mutant(
        "a_decision_is_charged_again",
        _MONEY,
        "charge",
        "    if record.get(key, 'charge_basis') == 'operator' then\n",
        "    if record.get(key, 'charge_basis') == 'nobody' then\n",
        "what an operator decided is charged again when evidence comes",
        (named("workers/money", "after_an_operator_s_decision_a_late_result_costs_nothing_more"),),
    ),
    Mutant(
        "undecided_money_is_forgotten",
        "gateway/store/scripts/forget.lua",
        "",
        " or money.is_in_suspense(key) then return not_yet() end",
        " then return not_yet() end",
        "money is in suspense for a job that nobody can look at any more",
        (named("workers/money", "a_job_is_not_forgotten_before_its_money_is_decided"),),
    ),
    Mutant(
        "a_threshold_is_told_with_every_job",
        _BUDGETS,
        "note_thresholds",
        "    if reached > told then\n",
        "    if reached > 0 then\n",
        "operators and subscribers get an event for every job above half of a budget",
        (named("gateway/store/budgets", "a_soft_budget_refuses_nothing_and_tells_each_threshold_once"),),
    ),
)
