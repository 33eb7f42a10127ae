"""Canceling a job that was handed over: the wish, the upstream's answer, and what becomes of the job."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.cancellation import cancel
from gateway.dispatch import Role
from gateway.errors import CannotCancel, Conflict
from gateway.events import EventType
from gateway.jobs import Job, Spend, confirm_ticket, submit_ticket
from gateway.lifecycle import JobState
from gateway.store import keys
from gateway.store.base import CallbackOutcome
from gateway.upstream.base import (
    Accepted,
    Busy,
    CancelDone,
    CancelOutcome,
    CancelRefused,
    Capabilities,
    Found,
    Inconclusive,
    Missing,
    Snapshot,
    TaskStatus,
    Unknown,
)
from tests.gateway.store.conftest import dispatched
from tests.workers.conftest import Rig
from tests.workers.scripted import completed, working

STOPPED = Found(Snapshot("task_1", TaskStatus.CANCELED, "canceled", usage={"cost": "0"}))
HOOK = "https://client.example.com/hook"


@pytest.fixture
def able(rig: Rig) -> Rig:
    """The upstream can cancel."""
    rig.upstream.capabilities = Capabilities(cancel=True)
    return rig


async def wish(rig: Rig, job: Job) -> Job:
    r = rig.resources
    can = rig.upstream.capabilities.cancel
    return await cancel(await rig.read(job), r.jobs, r.settlement, r.environment, upstream_can=can)


async def poll(rig: Rig, job: Job, *answers: CancelOutcome, then: Any) -> Job:
    """What the job is after the poll that asks the upstream to cancel."""
    rig.upstream.cancels.extend(answers)
    return await rig.confirm(job, then)


async def test_a_wish_makes_a_poll_due_at_once(able: Rig) -> None:
    job = await able.submitted()
    after = await wish(able, job)
    assert (after.state, after.cancel_wished_at is not None) == (JobState.SUBMITTED, True)
    assert await dispatched(able.redis, Role.CONFIRM) == [job.id]


async def test_a_task_that_the_upstream_stopped_cancels_the_job(able: Rig) -> None:
    job = await able.submitted(callback_url=HOOK)
    await wish(able, job)
    after = await poll(able, job, CancelDone(), then=STOPPED)
    assert (after.state, after.usage, after.error) == (JobState.CANCELED, {"cost": "0"}, None)
    assert able.upstream.canceled == ["task_1"]
    assert await able.lease(job) is None
    assert await able.due_in(Role.CONFIRM, confirm_ticket(job)) is None
    [delivery] = await able.deliveries(job)
    assert delivery.event_type is EventType.CANCELED
    assert await wish(able, job) == after


async def test_a_cancel_that_was_heard_is_done_only_when_a_poll_shows_it(able: Rig) -> None:
    job = await able.submitted()
    await wish(able, job)
    assert (await poll(able, job, CancelDone(), then=Found(working()))).state is JobState.SUBMITTED
    assert (await poll(able, job, CancelDone(), then=STOPPED)).state is JobState.CANCELED


async def test_a_refused_cancel_is_shown_and_the_job_goes_on(able: Rig) -> None:
    job = await able.submitted()
    await wish(able, job)
    after = await poll(able, job, CancelRefused("it is under way"), then=Found(working()))
    assert (after.state, after.cancel_refused) == (JobState.SUBMITTED, "it is under way")
    assert (await able.tally())["cancels|refused"] == "1"
    done = await able.confirm(job, Found(completed()))  # nobody is asked again
    assert (done.state, done.cancel_refused) == (JobState.COMPLETED, "it is under way")
    assert able.upstream.canceled == ["task_1"]


@pytest.mark.parametrize("answer", [Inconclusive("503"), Missing()], ids=["later", "missing"])
async def test_a_cancel_without_an_answer_is_asked_again_at_the_next_poll(
    able: Rig, answer: CancelOutcome
) -> None:
    job = await able.submitted()
    await wish(able, job)
    after = await poll(able, job, answer, then=Found(working()))
    assert (after.state, after.cancel_refused) == (JobState.SUBMITTED, None)
    assert (await poll(able, job, CancelDone(), then=STOPPED)).state is JobState.CANCELED


async def test_a_video_that_was_quicker_than_the_cancel_is_the_client_s(able: Rig) -> None:
    job = await able.submitted()
    await wish(able, job)
    assert (await poll(able, job, CancelDone(), then=Found(completed()))).state is JobState.COMPLETED
    with pytest.raises(Conflict):
        await wish(able, job)


async def test_a_task_that_was_canceled_though_nobody_asked_fails_the_job(able: Rig) -> None:
    after = await able.confirm(await able.submitted(), STOPPED)
    assert after.state is JobState.FAILED
    assert after.error is not None
    assert after.error["code"] == "upstream_canceled"


async def test_a_wish_during_a_submission_is_carried_out_when_the_task_is_known(able: Rig) -> None:
    job = await able.accept()

    async def change_your_mind() -> None:
        assert (await wish(able, job)).state is JobState.SUBMITTING

    able.upstream.after_gate = change_your_mind
    await able.submit(job, Accepted("task_1"))
    assert (await poll(able, job, CancelDone(), then=STOPPED)).state is JobState.CANCELED


async def test_a_wish_during_a_submission_that_was_turned_away_cancels_the_job_for_free(able: Rig) -> None:
    job = await able.accept(callback_url=HOOK)

    async def change_your_mind() -> None:
        await wish(able, job)

    able.upstream.after_gate = change_your_mind
    assert (await able.submit(job, Busy("429"))).state is JobState.QUEUED
    await able.make_due(Role.SUBMIT, str(submit_ticket(job)))
    await able.submitter.submit(await able.ticket(Role.SUBMIT, job.id))
    after = await able.read(job)
    assert (after.state, after.spend) == (JobState.CANCELED, Spend.NONE)
    assert len(able.upstream.begun) == 1
    assert await able.lease(job) is None
    [delivery] = await able.deliveries(job)
    assert delivery.event_type is EventType.CANCELED


async def test_a_wish_for_an_unknown_job_is_carried_out_when_its_task_is_found(able: Rig) -> None:
    job = await able.submit(await able.accept(), Unknown("reset"))
    assert (await wish(able, job)).state is JobState.UNKNOWN
    assert await able.callback(job, "task_1", terminal=False) is CallbackOutcome.MOVED
    able.nobody_gainsays()
    assert (await poll(able, job, CancelDone(), then=STOPPED)).state is JobState.CANCELED


async def test_before_the_last_byte_a_cancel_is_free_and_immediate(able: Rig) -> None:
    job = await able.accept()

    async def change_your_mind() -> None:
        assert (await wish(able, job)).state is JobState.CANCELED

    able.upstream.before_gate = change_your_mind
    after = await able.submit(job, Accepted("never"))
    assert (after.state, after.spend) == (JobState.CANCELED, Spend.NONE)
    assert able.upstream.released == []
    assert able.upstream.canceled == []


@pytest.mark.parametrize("outcome", [Accepted("task_1"), Unknown("reset")], ids=["submitted", "unknown"])
async def test_an_upstream_that_cannot_is_never_asked(rig: Rig, outcome: Accepted | Unknown) -> None:
    job = await rig.submit(await rig.accept(), outcome)
    with pytest.raises(CannotCancel):
        await wish(rig, job)
    assert await rig.read(job) == job
    assert rig.upstream.canceled == []


async def test_every_task_of_the_job_is_asked_to_stop(able: Rig) -> None:
    job = await able.submitted()
    await able.redis.hset(keys.job(job.id), "epoch", "2")  # type: ignore[misc]
    await able.callback(job, "task_2", epoch=2)
    able.nobody_gainsays()
    await wish(able, job)
    able.upstream.cancels.extend([CancelDone(), CancelDone()])
    after = await able.confirm(job, STOPPED, STOPPED)
    assert after.state is JobState.CANCELED
    assert able.upstream.canceled == ["task_1", "task_2"]
