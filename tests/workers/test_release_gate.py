"""What the gate and the record of a outcome compare, beyond the epoch."""

from __future__ import annotations

import pytest

from gateway.dispatch import Role
from gateway.jobs import submit_ticket
from gateway.lifecycle import JobEvent, JobState
from gateway.store import keys
from gateway.store.base import CallbackOutcome
from gateway.store.effects import HoldSlot
from gateway.store.transitions import Transition
from gateway.upstream.base import (
    Accepted,
    AccountRefused,
    Busy,
    Rejected,
    SubmitOutcome,
    UpstreamError,
)
from tests.workers.conftest import Rig

NO = UpstreamError("no", "no")
DENIALS: list[SubmitOutcome] = [
    Busy("429"),
    Busy("lost", reached=False),
    AccountRefused(NO, 403),
    Rejected(NO),
]


async def test_of_two_claims_with_one_epoch_only_the_recorded_one_is_released(rig: Rig) -> None:
    job = await rig.accept()
    ticket = await rig.ticket(Role.SUBMIT, job.id)
    before = await rig.redis.hgetall(keys.job(job.id))  # type: ignore[misc]
    first = await rig.resources.jobs.claim(ticket, "run 1")
    assert first
    # Redis is rolled back to before the claim, which it had acknowledged, and hands the epoch out again.
    await rig.redis.delete(keys.job(job.id))
    await rig.redis.hset(keys.job(job.id), mapping=before)  # type: ignore[misc]
    second = await rig.resources.jobs.claim(ticket, "run 2")
    assert second
    assert second.epoch == first.epoch
    assert not await rig.resources.jobs.release(first)
    assert await rig.resources.jobs.release(second)
    await rig.submitter.recorder.give_up(first, "held back", at_once=False)
    assert (await rig.read(job)).released_at is not None


async def test_a_job_whose_time_to_start_is_over_is_not_released_although_no_sweep_came(rig: Rig) -> None:
    now = rig.resources.environment.now_ms()
    job = await rig.accept(start_by=now - 1, end_by=now + 60_000)
    after = await rig.submit(job, Accepted("never"))
    assert rig.upstream.released == []
    assert (after.state, after.released_at) == (JobState.QUEUED, None)


@pytest.mark.parametrize("denial", DENIALS, ids=str)
async def test_an_answer_that_denies_a_task_is_not_believed_when_a_callback_proved_one(
    rig: Rig, denial: SubmitOutcome
) -> None:
    job = await rig.accept()

    async def call_back() -> None:
        assert await rig.callback(job, None) is CallbackOutcome.REPEATED

    rig.upstream.after_gate = call_back
    if isinstance(denial, Busy) and not denial.reached:
        claimed = await rig.resources.jobs.claim(await rig.ticket(Role.SUBMIT, job.id), "run")
        assert claimed
        await rig.resources.jobs.release(claimed)
        await call_back()
        await rig.submitter.recorder.record(claimed, denial, submit_ticket(job))
        after = await rig.read(job)
    else:
        after = await rig.submit(job, denial)
    assert (after.state, after.evidence) == (JobState.UNKNOWN, "callback")
    assert await rig.lease(job) == float("inf")


async def test_a_worker_that_knows_that_the_last_byte_never_left_frees_an_unknown_job(rig: Rig) -> None:
    job = await rig.accept()
    claimed = await rig.resources.jobs.claim(await rig.ticket(Role.SUBMIT, job.id), "run")
    assert claimed
    assert await rig.resources.jobs.release(claimed)
    await rig.resources.jobs.apply(job, Transition(JobEvent.OUTCOME_LOST, effects=[HoldSlot()]))
    await rig.submitter.recorder.give_up(claimed, "the answer was lost", at_once=False)
    after = await rig.read(job)
    assert (after.state, after.released_at) == (JobState.QUEUED, None)
    assert await rig.lease(job) is None


async def test_a_job_that_draws_refusals_goes_behind_others_each_time(rig: Rig) -> None:
    job = await rig.accept()
    waits = []
    for _ in range(3):
        await rig.submit(job, AccountRefused(NO, 403))
        waits.append(await rig.due_in(Role.SUBMIT, submit_ticket(job)))
        await rig.resources.accounts.resume("ops")
        await rig.make_due(Role.SUBMIT, str(submit_ticket(job)))
    assert waits == [pytest.approx(seconds, abs=5) for seconds in (45, 90, 180)]
