"""What a job costs, from its acceptance to its end: reserved, then charged once for each task."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from gateway.dispatch import Role
from gateway.errors import BudgetExceeded
from gateway.events import EventType
from gateway.jobs import Job
from gateway.lifecycle import JobEvent, JobState, OnUnknown
from gateway.resolution import Action, Resolver, resubmission
from gateway.store import keys
from gateway.store.base import Outcome
from gateway.store.retention import RedisRetention
from gateway.store.transitions import Transition
from gateway.upstream.base import (
    Accepted,
    Busy,
    CancelDone,
    CancelRefused,
    Capabilities,
    Found,
    Inconclusive,
    Missing,
    Rejected,
    Snapshot,
    TaskStatus,
    Unknown,
    UpstreamError,
)
from gateway.views.job import public
from tests.books import PRICE, PRICED, amounts, balances, check, entries, set_budget
from tests.gateway.store.conftest import stored_body
from tests.workers.conftest import Rig
from tests.workers.scripted import completed, working
from workers.step_events import StepEventCreator

FAILED = UpstreamError("content", "no")


def made(task: str, cost: str | None = "0.2750") -> Snapshot:
    return completed(task_id=task, usage=None if cost is None else {"cost": cost})


def failed(task: str = "task_1", **more: Any) -> Snapshot:
    return Snapshot(task, TaskStatus.FAILED, "failed", error=FAILED, **more)


async def kinds(rig: Rig) -> list[str]:
    return [entry.kind for entry in await entries(rig.redis)]


async def sent_again(rig: Rig, **fields: Any) -> Job:
    """A job whose first submission has an unknown outcome, and that waits to be sent again."""
    job = await rig.submit(await rig.accept(**{**PRICED, **fields}), Unknown("lost"))
    again = resubmission(job, rig.resources.environment, day_budget=10)
    assert (await rig.resources.jobs.apply(job, again)).outcome is Outcome.MOVED
    return await rig.read(job)


async def test_an_accepted_job_reserves_its_estimate_for_the_tenant_and_the_key(rig: Rig) -> None:
    job = await rig.read(await rig.accept(**PRICED))
    assert (job.reserved, job.charged, job.suspense) == (PRICE, None, 0)
    assert await amounts(rig.redis) == await amounts(rig.redis, whose="k1") == {"reserved": PRICE}
    [entry] = await entries(rig.redis)
    assert (entry.kind, entry.job, entry.key, entry.amount) == ("reserve", job.id, "k1", PRICE)
    assert (entry.priced, entry.why) == ("2026-12-01", "accepted")
    await check(rig.redis)


async def test_a_job_without_a_price_reserves_nothing_and_is_charged_what_the_upstream_says(rig: Rig) -> None:
    job = await rig.submitted()
    assert await entries(rig.redis) == []
    after = await rig.confirm(job, Found(made("task_1")))
    assert (after.reserved, after.charged, after.charge_basis) == (0, 275_000, "upstream")
    assert await amounts(rig.redis) == {"charged": 275_000}
    await check(rig.redis)


async def test_a_task_of_which_nobody_knows_the_cost_is_counted(rig: Rig) -> None:
    after = await rig.confirm(await rig.submitted(), Found(made("task_1", None)))
    assert (after.charged, await entries(rig.redis)) == (None, [])
    assert (await rig.tally())["charges|unpriced"] == "1"


@pytest.mark.parametrize(
    ("cost", "charged"), [("0.2750", 275_000), ("0.1", 100_000), ("9.0000005", 9_000_000)]
)
async def test_a_completed_job_is_charged_what_the_upstream_says(rig: Rig, cost: str, charged: int) -> None:
    job = await rig.submitted(**PRICED)
    after = await rig.confirm(job, Found(made("task_1", cost)))
    assert (after.state, after.reserved, after.charged) == (JobState.COMPLETED, 0, charged)
    assert await amounts(rig.redis) == {"charged": charged}
    assert await kinds(rig) == ["reserve", "charge"]
    await check(rig.redis)


async def test_without_a_cost_in_the_answer_the_estimate_is_charged_and_marked(rig: Rig) -> None:
    job = await rig.submitted(**PRICED)
    after = await rig.confirm(job, Found(made("task_1", None)))
    assert (after.charged, after.charge_basis) == (PRICE, "estimate")
    await check(rig.redis)


async def test_credits_are_a_cost(rig: Rig) -> None:
    job = await rig.submitted(**PRICED)
    snapshot = replace(made("task_1", None), metadata={"credits": 40})
    assert (await rig.confirm(job, Found(snapshot))).charged == 200_000


async def test_a_cost_in_another_currency_is_not_used_and_counted(rig: Rig) -> None:
    job = await rig.submitted(**PRICED)
    snapshot = replace(made("task_1", None), usage={"cost": "99.0000", "currency": "CNY"})
    after = await rig.confirm(job, Found(snapshot))
    assert (after.charged, after.charge_basis) == (PRICE, "estimate")
    assert (await rig.tally())["currency_mismatch|tasks"] == "1"


async def test_a_failed_job_that_was_charged_is_wasted(rig: Rig) -> None:
    job = await rig.submitted(**PRICED)
    after = await rig.confirm(job, Found(failed()))
    assert (after.state, after.charged) == (JobState.FAILED, PRICE)
    assert await amounts(rig.redis) == {"charged": PRICE, "wasted": PRICE}
    await check(rig.redis)


async def test_a_failed_job_for_which_the_upstream_takes_nothing_gets_its_money_back(rig: Rig) -> None:
    job = await rig.submitted(**PRICED)
    after = await rig.confirm(job, Found(failed(metadata={"credits": 0})))
    assert (after.state, after.charged) == (JobState.FAILED, 0)
    assert await amounts(rig.redis) == {}
    await check(rig.redis)


async def test_a_rejected_job_gets_its_money_back(rig: Rig) -> None:
    job = await rig.submit(await rig.accept(**PRICED), Rejected(FAILED))
    assert (job.state, job.reserved, job.suspense) == (JobState.FAILED, 0, 0)
    assert await kinds(rig) == ["reserve", "return"]
    assert await amounts(rig.redis) == {}
    await check(rig.redis)


async def test_a_canceled_job_gets_its_money_back(rig: Rig) -> None:
    job = await rig.accept(**PRICED)
    await rig.resources.settlement.cancel(job, [])
    assert await kinds(rig) == ["reserve", "return"]
    await check(rig.redis)


async def test_a_busy_upstream_changes_nothing_about_the_reservation(rig: Rig) -> None:
    job = await rig.submit(await rig.accept(**PRICED), Busy("429"))
    assert (job.state, job.reserved) == (JobState.QUEUED, PRICE)
    await rig.resources.settlement.cancel(job, [])
    assert await kinds(rig) == ["reserve", "return"]


async def test_an_unknown_outcome_keeps_its_money_in_suspense(rig: Rig) -> None:
    job = await rig.submit(await rig.accept(**PRICED), Unknown("lost"))
    assert (job.state, job.reserved) == (JobState.UNKNOWN, PRICE)
    resolver = Resolver(
        rig.resources.jobs, rig.resources.settlement, rig.resources.unknown_jobs, rig.resources.environment
    )
    after = await resolver.resolve(job, Action.FAIL, None, "op1")
    assert (after.state, after.reserved, after.suspense) == (JobState.FAILED, 0, PRICE)
    assert await amounts(rig.redis) == {"suspense": PRICE}
    assert await rig.redis.zrange(keys.SUSPENSE, 0, -1) == [job.id]
    await check(rig.redis)


async def given_up(rig: Rig) -> Job:
    job = await rig.submitted(**PRICED)
    rig.clock.ahead = 7300
    after = await rig.confirm(job, Found(working()))
    assert (after.state, after.suspense) == (JobState.FAILED, PRICE)
    return after


async def test_a_late_result_is_charged_out_of_suspense(rig: Rig) -> None:
    job = await given_up(rig)
    after = await rig.confirm(job, Found(made("task_1", "0.2000")))
    assert (after.state, after.charged, after.suspense) == (JobState.FAILED, 200_000, 0)
    assert await kinds(rig) == ["reserve", "suspense", "adjust"]
    assert await amounts(rig.redis) == {"charged": 200_000, "wasted": 200_000}
    assert await rig.redis.zcard(keys.SUSPENSE) == 0
    await check(rig.redis)


async def test_a_watched_task_that_fails_is_charged_too(rig: Rig) -> None:
    job = await given_up(rig)
    after = await rig.confirm(job, Found(failed()))
    assert (after.late, after.charged, after.suspense) == (None, PRICE, 0)
    await check(rig.redis)


async def test_a_watched_task_of_which_nothing_is_known_stays_in_suspense(rig: Rig) -> None:
    job = await given_up(rig)
    after = await rig.confirm(job, Missing())
    assert (after.charged, after.suspense) == (None, PRICE)
    await check(rig.redis)


async def test_a_task_that_completed_without_a_video_is_charged(rig: Rig) -> None:
    job = await rig.submitted(**PRICED)
    for _ in range(3):
        job = await rig.confirm(job, Found(replace(made("task_1"), output=[])))
    assert (job.state, job.charged, job.suspense) == (JobState.FAILED, 275_000, 0)
    await check(rig.redis)


async def test_a_resubmission_reserves_once_more(rig: Rig) -> None:
    job = await sent_again(rig)
    assert (job.state, job.reserved) == (JobState.QUEUED, 2 * PRICE)
    assert await kinds(rig) == ["reserve", "reserve"]
    await check(rig.redis)


async def test_over_a_hard_budget_a_job_is_not_sent_again_by_policy(rig: Rig) -> None:
    job = await rig.submit(await rig.accept(**PRICED), Unknown("lost"))
    await set_budget(rig.redis, 2 * PRICE - 1)
    again = resubmission(job, rig.resources.environment, day_budget=10)
    assert (await rig.resources.jobs.apply(job, again)).outcome is Outcome.OVER_BUDGET
    assert (await rig.read(job)).reserved == PRICE
    by_hand = resubmission(job, rig.resources.environment, day_budget=None, by="op1")
    assert (await rig.resources.jobs.apply(job, by_hand)).outcome is Outcome.MOVED
    assert (await rig.read(job)).reserved == 2 * PRICE
    await check(rig.redis)


async def test_after_a_resubmission_the_lost_submission_stays_in_suspense(rig: Rig) -> None:
    job = await rig.submit(await sent_again(rig), Accepted("task_2"))
    after = await rig.confirm(job, Found(made("task_2")))
    assert (after.state, after.charged, after.suspense) == (JobState.COMPLETED, 275_000, PRICE)
    await check(rig.redis)


async def test_a_job_that_waits_to_be_sent_again_gets_back_only_what_was_not_sent(rig: Rig) -> None:
    job = await sent_again(rig)
    await rig.resources.settlement.cancel(job, [])
    after = await rig.read(job)
    assert (after.reserved, after.suspense) == (0, PRICE)
    assert await kinds(rig) == ["reserve", "reserve", "return", "suspense"]
    await check(rig.redis)


async def test_an_earlier_task_that_completes_before_the_second_submission_is_charged_alone(rig: Rig) -> None:
    job = await sent_again(rig)
    await rig.callback(job, "task_1")
    rig.nobody_gainsays()
    after = await rig.confirm(await rig.read(job), Found(made("task_1")))
    assert (after.state, after.charged, after.suspense) == (JobState.COMPLETED, 275_000, 0)
    assert await kinds(rig) == ["reserve", "reserve", "charge", "return"]
    await check(rig.redis)


async def both_known(rig: Rig) -> Job:
    """A job with two tasks, sent twice."""
    job = await rig.submit(await sent_again(rig), Accepted("task_2"))
    await rig.callback(job, "task_1")
    rig.nobody_gainsays()
    return await rig.read(job)


async def test_each_task_of_a_job_is_charged(rig: Rig) -> None:
    job = await both_known(rig)
    after = await rig.confirm(job, Found(made("task_2", "0.2000")), Found(made("task_1", "0.3000")))
    assert (after.state, after.charged, after.suspense) == (JobState.COMPLETED, 500_000, 0)
    assert await kinds(rig) == ["reserve", "reserve", "charge", "charge"]
    await check(rig.redis)


async def test_a_task_that_no_cancel_can_stop_is_charged_at_the_estimate(rig: Rig) -> None:
    job = await both_known(rig)
    after = await rig.confirm(job, Found(made("task_2")), Found(working()))
    assert (after.charged, after.charge_basis, after.suspense) == (2 * PRICE, "estimate", 0)
    await check(rig.redis)


@pytest.mark.parametrize(("answer", "charged"), [(CancelDone(), PRICE), (CancelRefused("runs"), 2 * PRICE)])
async def test_a_second_task_that_is_canceled_costs_nothing(rig: Rig, answer: Any, charged: int) -> None:
    rig.upstream.capabilities = Capabilities(cancel=True)
    job = await both_known(rig)
    rig.upstream.cancels.append(answer)
    after = await rig.confirm(job, Found(made("task_2")), Found(working()))
    assert (after.charged, after.suspense) == (charged, 0)
    await check(rig.redis)


async def test_a_second_task_that_does_not_answer_stays_in_suspense(rig: Rig) -> None:
    job = await both_known(rig)
    after = await rig.confirm(job, Found(made("task_2")), Inconclusive("timeout"))
    assert (after.state, after.charged, after.suspense) == (JobState.COMPLETED, PRICE, PRICE)
    await check(rig.redis)


async def test_a_callback_that_names_the_task_in_suspense_charges_it(rig: Rig) -> None:
    job = await rig.submit(await sent_again(rig), Accepted("task_2"))
    await rig.confirm(job, Found(made("task_2")))
    for _ in range(2):
        await rig.callback(job, "task_1")
    after = await rig.read(job)
    assert (after.charged, after.suspense) == (2 * PRICE, 0)
    await rig.callback(job, "task_3")
    assert (await rig.read(job)).charged == 2 * PRICE
    await check(rig.redis)


async def test_a_task_of_a_job_whose_money_was_returned_is_charged(rig: Rig) -> None:
    """The answer said that there is no task, and was wrong."""
    job = await rig.submit(await rig.accept(**PRICED), Rejected(FAILED))
    for task in (
        "task_1",
        "task_1",
        "task_2",
    ):  # one submission has one task, whatever its token's holder says
        await rig.callback(job, task)
    after = await rig.read(job)
    assert (after.state, after.charged, after.suspense) == (JobState.FAILED, PRICE, 0)
    assert await amounts(rig.redis) == {"charged": PRICE, "wasted": PRICE}
    await check(rig.redis)


async def test_a_late_callback_charges_no_task_of_another_job(rig: Rig) -> None:
    first = await rig.submit(await rig.accept(**PRICED), Rejected(FAILED))
    await rig.submit(await rig.accept(**PRICED), Accepted("task_1"))
    await rig.callback(first, "task_1")
    assert (await rig.read(first)).charged is None
    await check(rig.redis)


async def test_a_job_that_an_earlier_version_accepted_is_not_counted_at_its_end(rig: Rig) -> None:
    earlier, job = await rig.submitted(), await rig.submitted()
    await rig.redis.hdel(keys.job(earlier.id), "counted")  # type: ignore[misc]
    await rig.confirm(earlier, Found(made("task_1")))
    assert await balances(rig.redis, "completed") == {}
    await rig.confirm(job, Found(made("task_2")))
    assert set((await balances(rig.redis, "completed")).values()) == {1}
    assert not await rig.redis.hexists(keys.job(job.id), "counted")  # type: ignore[misc]


async def test_a_callback_after_an_operator_s_decision_charges_nothing(rig: Rig) -> None:
    job = await given_up(rig)
    await rig.redis.hset(keys.job(job.id), "watch_until", "1")  # type: ignore[misc]
    await rig.resources.charges.decide(job, 0, "not on the invoice", "op1")
    await rig.callback(job, "task_1")
    assert (await rig.read(job)).charged == 0
    await check(rig.redis)


async def test_an_answer_that_comes_after_the_end_is_charged(rig: Rig) -> None:
    """A second submission's answer, when the first one's task has completed the job."""
    job = await sent_again(rig)
    rig.upstream.outcomes.append(Accepted("task_2"))

    async def first_completes() -> None:
        await rig.callback(job, "task_1")
        rig.nobody_gainsays()
        await rig.confirm(await rig.read(job), Found(made("task_1")))

    rig.upstream.after_gate = first_completes
    await rig.submitter.submit(await rig.ticket(Role.SUBMIT, job.id))
    after = await rig.read(job)
    assert (after.state, after.charged, after.suspense) == (JobState.COMPLETED, 2 * PRICE, 0)
    await check(rig.redis)


async def test_a_rebuilt_job_without_a_reservation_is_charged(rig: Rig) -> None:
    job = await rig.accept(**PRICED)
    await rig.redis.flushall()
    await rig.callback(job, "task_1")
    rig.nobody_gainsays()
    after = await rig.confirm(await rig.read(job), Found(made("task_1")))
    assert (after.state, after.reserved, after.charged) == (JobState.COMPLETED, 0, 275_000)
    assert await amounts(rig.redis) == {"charged": 275_000}
    await check(rig.redis)


async def test_who_forgets_to_say_what_was_charged_keeps_it_reserved_in_suspense(rig: Rig) -> None:
    job = await rig.submitted(**PRICED)
    await rig.resources.jobs.apply(job, Transition(JobEvent.UPSTREAM_SUCCEEDED))
    after = await rig.read(job)
    assert (after.state, after.reserved, after.suspense) == (JobState.COMPLETED, 0, PRICE)
    await check(rig.redis)


async def test_a_settlement_that_is_repeated_charges_once(rig: Rig) -> None:
    job = await rig.submitted(**PRICED)
    for _ in range(2):
        await rig.resources.settlement.succeed(job, made("task_1"), [], charged={"task_1": made("task_1")})
        await rig.resources.settlement.charge(job, {"task_1": made("task_1")})
    assert (await rig.read(job)).charged == 275_000
    assert await kinds(rig) == ["reserve", "charge"]


@pytest.mark.parametrize("named_by", ["answer", "callback"])
async def test_a_task_is_not_charged_again_after_it_got_a_name(rig: Rig, named_by: str) -> None:
    """It was seen, and charged, before its name was known."""
    if named_by == "answer":
        job = await rig.submitted(**PRICED)
    else:
        job = await rig.submit(await rig.accept(**PRICED), Unknown("lost"))
        await rig.callback(job, "task_1")
    settlement, snapshot = rig.resources.settlement, made("task_1")
    await settlement.succeed(await rig.read(job), snapshot, [], charged={"?1": snapshot})
    await settlement.charge(await rig.read(job), {"task_1": snapshot})
    assert (await rig.read(job)).charged == 275_000


async def test_a_job_waits_for_an_operator_without_losing_its_reservation(rig: Rig) -> None:
    job = await rig.accept(**PRICED, on_unknown=OnUnknown.MANUAL)
    job = await rig.submit(job, Unknown("lost"))
    assert (await rig.read(job)).reserved == PRICE


@pytest.mark.parametrize("end", ["rejected", "failed", "given_up", "sent_again", "canceled"])
async def test_the_final_event_shows_the_money_that_the_job_has_then(rig: Rig, end: str) -> None:
    await rig.endpoint("https://example.com/hook")
    match end:
        case "rejected":
            job = await rig.submit(await rig.accept(**PRICED), Rejected(FAILED))
        case "failed":
            job = await rig.confirm(await rig.submitted(**PRICED), Found(failed()))
        case "given_up":
            job = await given_up(rig)
        case "sent_again":
            job = await rig.submit(await sent_again(rig), Accepted("task_2"))
            job = await rig.confirm(job, Found(made("task_2")))
        case _:
            job = await sent_again(rig)
            await rig.resources.settlement.cancel(job, [])
            job = await rig.read(job)
    [delivery] = await rig.deliveries(job)
    event = orjson.loads(await stored_body(rig.redis, delivery.event_id) or "")
    assert event["data"]["cost"] == public(job, client_url="")["cost"]


async def test_who_wants_to_know_of_budgets_gets_an_event_of_the_job_that_reached_a_threshold(
    rig: Rig,
) -> None:
    await rig.endpoint("https://example.com/hook", EventType.BUDGET_THRESHOLD)
    await set_budget(rig.redis, 2 * PRICE, hard=False)
    first, second = await rig.accept(**PRICED), await rig.accept(**PRICED)
    events = []
    for job in (first, second):
        ticket = await rig.ticket(Role.DELIVER, f"{job.id}:{EventType.BUDGET_THRESHOLD}")
        await StepEventCreator(rig.resources.jobs, rig.resources.deliveries).create(ticket)
        [delivery] = await rig.deliveries(job)
        assert delivery.event_type == EventType.BUDGET_THRESHOLD
        events.append(orjson.loads(await stored_body(rig.redis, delivery.event_id) or ""))
    assert [event["type"] for event in events] == ["budget.threshold"] * 2
    assert [event["data"]["id"] for event in events] == [first.id, second.id]
    [[half], [full]] = [event["data"]["budgets"] for event in events]
    assert (half["budget"], half["percent"], half["used"]) == ("tenant day", 50, "0.2750")
    assert (full["limit"], full["percent"], full["hard"]) == ("0.5500", 100, False)
    third = await rig.accept(**PRICED)
    assert await rig.deliveries(third) == []


async def test_a_job_is_not_forgotten_before_its_money_is_decided(rig: Rig) -> None:
    job = await given_up(rig)
    old = {"watch_until": "1", "failed_at": "1"}
    await rig.redis.hset(keys.job(job.id), mapping=old)  # type: ignore[misc]
    retention = RedisRetention(rig.redis, rig.resources.scripts, 1.0, 30)
    assert not await retention.forget(job.id)
    await rig.resources.charges.decide(job, 0, "never charged", "op1")
    assert await retention.forget(job.id)
    assert await rig.resources.jobs.read(job.id) is None
    assert await amounts(rig.redis) == {}


@pytest.mark.parametrize("released", [True, False])
async def test_the_reservation_of_a_job_that_an_earlier_version_ended_is_released(
    rig: Rig, released: bool
) -> None:
    """A version without money ends the job of a gateway that reserves, in the middle of an update."""
    job = await (rig.submitted(**PRICED) if released else rig.accept(**PRICED))
    old = {"state": "failed", "failed_at": "1"}
    await rig.redis.hset(keys.job(job.id), mapping=old)  # type: ignore[misc]
    retention = RedisRetention(rig.redis, rig.resources.scripts, 1.0, 30)
    assert await retention.forget(job.id) is not released
    assert await amounts(rig.redis) == ({"suspense": PRICE} if released else {})
    await check(rig.redis)
    if released:
        await rig.resources.charges.decide(await rig.read(job), 0, "never charged", "op1")
        assert await retention.forget(job.id)
    assert await rig.redis.zcard(keys.SUSPENSE) == 0
    assert await amounts(rig.redis) == {}


async def test_a_job_that_is_gone_leaves_the_list_of_suspense(rig: Rig) -> None:
    job = await given_up(rig)
    await rig.redis.delete(keys.job(job.id))
    await RedisRetention(rig.redis, rig.resources.scripts, 1.0, 30).forget(job.id)
    assert await rig.redis.zcard(keys.SUSPENSE) == 0


async def test_what_is_in_suspense_counts_against_the_budget(rig: Rig) -> None:
    await given_up(rig)
    await set_budget(rig.redis, 2 * PRICE - 1)
    with pytest.raises(BudgetExceeded) as refused:
        await rig.accept(**PRICED)
    assert refused.value.reserved == "0.2750"


async def test_after_an_operator_s_decision_a_late_result_costs_nothing_more(rig: Rig) -> None:
    job = await given_up(rig)
    await rig.resources.charges.decide(job, 100_000, "as on the invoice", "op1")
    after = await rig.confirm(job, Found(made("task_1")))
    assert after.late is not None
    assert (after.charged, after.charge_basis, after.suspense) == (100_000, "operator", 0)
    assert (await rig.tally())["charges|decided"] == "1"
    await check(rig.redis)
