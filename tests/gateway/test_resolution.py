"""How an unknown job ends: the words it fails with, and the move that sends it again."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.dispatch import Role
from gateway.environment import Environment
from gateway.jobs import Job, Spend, confirm_ticket
from gateway.lifecycle import JobEvent, JobState
from gateway.resolution import UNKNOWN, UNNAMED, resubmission, unknown_error
from gateway.resources import Resources
from gateway.store import keys
from gateway.store.base import AdmissionLimits, Outcome
from gateway.store.effects import HoldSlot, PollAfter, RecordHistory, Tally, UseResubmission
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import dispatched, held, new_job

NEW_YEAR = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


def at(seconds: float) -> Environment:
    return Environment(clock=lambda: seconds)


async def unknown(resources: Resources) -> Job:
    job = new_job()
    await resources.jobs.accept(job, None, "f", AdmissionLimits(queue_max=10))
    claimed = await resources.jobs.claim(await held(resources.redis, Role.SUBMIT, job.id))
    assert claimed
    assert await resources.jobs.release(claimed)
    move = Transition(JobEvent.OUTCOME_LOST, effects=[HoldSlot(), PollAfter(1_800_000)])
    await resources.jobs.apply(claimed, move)
    return await fresh(resources, job)


async def fresh(resources: Resources, job: Job) -> Job:
    found = await resources.jobs.read(job.id)
    assert found
    return found


async def resubmit(resources: Resources, job: Job, budget: int | None, by: str | None = None) -> Outcome:
    move = resubmission(job, resources.environment, day_budget=budget, by=by)
    return (await resources.jobs.apply(job, move)).outcome


def test_a_job_of_which_nothing_was_heard_may_have_been_charged() -> None:
    assert unknown_error(new_job()) is UNKNOWN
    assert "may have been charged" in UNKNOWN.message


def test_a_job_that_was_proven_accepted_was_charged() -> None:
    assert unknown_error(new_job(evidence="callback")) is UNNAMED
    assert "was charged" in UNNAMED.message


def test_both_words_have_one_code() -> None:
    assert UNKNOWN.code == UNNAMED.code == "submission_unknown"


@pytest.mark.parametrize(("seconds", "day"), [(NEW_YEAR, "2026-12-31"), (NEW_YEAR + 1, "2027-01-01")])
def test_the_budget_s_day_is_utc_s(seconds: float, day: str) -> None:
    again = resubmission(new_job(), at(seconds), day_budget=3)
    assert again.find(UseResubmission) == UseResubmission(day, 3)


def test_an_operator_has_no_budget_and_is_named() -> None:
    again = resubmission(new_job(), at(NEW_YEAR), day_budget=None, by="key1")
    assert again.find(UseResubmission) is None
    assert again.find(RecordHistory) == RecordHistory(by="key1")
    assert again.find(Tally) == Tally(["resubmissions|operator"])


async def test_a_job_that_is_sent_again_is_first_in_its_lane_and_no_longer_polled(
    resources: Resources,
) -> None:
    job = await unknown(resources)
    assert await resubmit(resources, job, 5) is Outcome.MOVED
    after = await fresh(resources, job)
    assert (after.state, after.resubmits, after.unknown_at) == (JobState.QUEUED, 1, None)
    assert after.spend is Spend.POSSIBLE
    assert (await dispatched(resources.redis, Role.SUBMIT))[-1] == job.id
    assert await resources.redis.zscore(keys.due(Role.CONFIRM), str(confirm_ticket(job))) is None
    assert await resources.redis.zcard("{gw}:unknowns") == 0


async def test_doing_it_twice_sends_it_once(resources: Resources) -> None:
    job = await unknown(resources)
    outcomes = [await resubmit(resources, job, 5) for _ in range(2)]
    assert outcomes == [Outcome.MOVED, Outcome.REFUSED]
    assert (await fresh(resources, job)).resubmits == 1
    [spent] = await resources.redis.hvals("{gw}:tenant:acme:resubmits")  # type: ignore[misc]
    assert spent == "1"


async def test_a_spent_budget_leaves_the_job_as_it_is(resources: Resources) -> None:
    first, second = [await unknown(resources) for _ in range(2)]
    assert await resubmit(resources, first, 1) is Outcome.MOVED
    assert await resubmit(resources, second, 1) is Outcome.OVER_BUDGET
    assert await fresh(resources, second) == second
    assert await resubmit(resources, second, None, "key1") is Outcome.MOVED


async def test_a_newer_submission_fences_it(resources: Resources) -> None:
    job = await unknown(resources)
    await resources.redis.hset(keys.job(job.id), "epoch", "2")  # type: ignore[misc]
    assert await resubmit(resources, job, 5) is Outcome.FENCED


async def test_the_job_history_names_the_operator(resources: Resources) -> None:
    job = await unknown(resources)
    await resubmit(resources, job, None, "key1")
    *_, last = await resources.job_history.read(job)
    assert (last["event"], last["by"]) == ("resubmit_chosen", "key1")
