"""Jobs with more than one task, or with a task that turns out to be another's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.dispatch import Role
from gateway.events import EventType
from gateway.jobs import Job, confirm_ticket
from gateway.lifecycle import JobState
from gateway.store import keys
from gateway.store.base import CallbackOutcome
from gateway.upstream.base import (
    Accepted,
    CancelDone,
    CancelRefused,
    Capabilities,
    Found,
    Inconclusive,
    Missing,
    QueryOutcome,
    Snapshot,
    TaskStatus,
    UpstreamError,
)
from tests.workers.conftest import Rig
from tests.workers.scripted import VIDEO, completed, working

FAILED = Found(Snapshot("task_2", TaskStatus.FAILED, "failed", error=UpstreamError("bad", "it broke")))
WORKING = Found(working())
STRANGE = Found(Snapshot("task_2", TaskStatus.IN_PROGRESS, "frozen", understood=False))
SHOWS_VIDEO = Found(Snapshot("task_1", TaskStatus.IN_PROGRESS, "frozen", understood=False, output=VIDEO))


async def twice_paid(rig: Rig, **fields: Any) -> Job:
    """A job with task_2, and with task_1 of a submission before."""
    job = await rig.accept(**fields)
    await rig.redis.hset(keys.job(job.id), "epoch", "1")  # type: ignore[misc]
    await rig.submit(job, Accepted("task_2"))
    assert await rig.callback(job, "task_1", epoch=1) is CallbackOutcome.EARLIER
    found = await rig.read(job)
    assert (found.task_id, found.earlier) == ("task_2", ["task_1"])
    rig.nobody_gainsays()
    return found


def done(task: str) -> Found:
    return Found(completed(task_id=task))


@pytest.mark.parametrize(
    ("polls", "winner"),
    [
        ([done("task_2"), WORKING], "task_2"),
        ([WORKING, done("task_1")], "task_1"),
        ([FAILED, done("task_1")], "task_1"),
        ([Missing(), done("task_1")], "task_1"),
        ([Inconclusive("503"), done("task_1")], "task_1"),
        ([done("task_2"), done("task_1")], "task_2"),
    ],
)
async def test_the_first_task_that_is_finished_ends_the_job(
    rig: Rig, polls: list[QueryOutcome], winner: str
) -> None:
    job = await twice_paid(rig, callback_url="https://client.example.com/hook")
    after = await rig.confirm(job, *polls)
    assert (after.state, after.task_id) == (JobState.COMPLETED, winner)
    assert rig.upstream.queried == ["task_2", "task_1"]
    assert rig.upstream.canceled == []
    assert (await rig.tally())["duplicate_spend|jobs"] == "1"
    [delivery] = await rig.deliveries(job)
    assert delivery.event_type is EventType.COMPLETED


@pytest.mark.parametrize("answer", [CancelDone(), CancelRefused("over"), Inconclusive("503"), Missing()])
async def test_the_other_task_is_canceled_where_that_is_possible_whatever_comes_of_it(
    rig: Rig, answer: Any
) -> None:
    rig.upstream.capabilities = Capabilities(cancel=True)
    rig.upstream.cancels.append(answer)
    job = await twice_paid(rig)
    after = await rig.confirm(job, WORKING, done("task_1"))
    assert after.state is JobState.COMPLETED
    assert rig.upstream.canceled == ["task_2"]


@pytest.mark.parametrize("newest", [WORKING, FAILED, Missing(), Inconclusive("503"), STRANGE])
@pytest.mark.parametrize("given_up", [False, True], ids=["at the deadline", "given up before"])
async def test_a_video_of_any_task_counts_when_the_job_is_given_up_also_under_an_unknown_status(
    rig: Rig, newest: QueryOutcome, given_up: bool
) -> None:
    job = await twice_paid(rig)
    rig.clock.ahead = 7300
    if given_up:
        job = await rig.confirm(job, WORKING, WORKING)
        assert job.watch_until is not None
    after = await rig.confirm(job, newest, SHOWS_VIDEO)
    if given_up:
        assert after.late is not None
        assert (after.state, after.late["output"], after.late["task_id"]) == (
            JobState.FAILED,
            VIDEO,
            "task_1",
        )
    else:
        assert (after.state, after.output, after.task_id) == (JobState.COMPLETED, VIDEO, "task_1")


async def test_before_the_deadline_a_video_under_an_unknown_status_decides_nothing(rig: Rig) -> None:
    assert (await rig.confirm(await twice_paid(rig), FAILED, SHOWS_VIDEO)).state is JobState.SUBMITTED


async def test_a_completed_task_outranks_a_video_under_an_unknown_status(rig: Rig) -> None:
    job = await twice_paid(rig)
    rig.clock.ahead = 7300
    newer = Found(replace(SHOWS_VIDEO.snapshot, task_id="task_2"))
    after = await rig.confirm(job, newer, done("task_1"))
    assert (after.state, after.task_id, list(after.warnings)) == (JobState.COMPLETED, "task_1", [])


async def test_a_job_with_one_task_was_not_paid_for_twice(rig: Rig) -> None:
    await rig.completed()
    assert "duplicate_spend|jobs" not in await rig.tally()
    assert rig.upstream.canceled == []


@pytest.mark.parametrize(
    "polls",
    [[FAILED, WORKING], [WORKING, FAILED], [Missing(), WORKING], [FAILED, Inconclusive("503")]],
    ids=["newest failed", "earlier failed", "newest lost", "earlier silent"],
)
async def test_a_job_goes_on_while_any_of_its_tasks_is_at_work(rig: Rig, polls: list[QueryOutcome]) -> None:
    job = await twice_paid(rig)
    rig.clock.ahead = 100
    assert (await rig.confirm(job, *polls)).state is JobState.SUBMITTED
    assert (await rig.confirm(job, FAILED, done("task_1"))).state is JobState.COMPLETED


async def test_a_job_fails_when_all_its_tasks_did(rig: Rig) -> None:
    job = await twice_paid(rig)
    after = await rig.confirm(job, FAILED, FAILED)
    assert (after.state, after.error) == (JobState.FAILED, {"code": "bad", "error_message": "it broke"})
    assert await rig.lease(job) is None


async def test_a_task_that_two_sources_name_is_polled_once(rig: Rig) -> None:
    job = await rig.accept()

    async def call_back() -> None:
        await rig.callback(job, "task_1")
        await rig.callback(job, "task_2")

    rig.upstream.after_gate = call_back
    await rig.submit(job, Accepted("task_2"))
    await rig.confirm(job, WORKING, WORKING)
    assert rig.upstream.queried == ["task_2", "task_1"]


async def test_a_job_with_several_tasks_teaches_nothing_about_durations(rig: Rig) -> None:
    await rig.confirm(await twice_paid(rig), done("task_2"), WORKING)
    assert await rig.redis.exists("{gw}:durations") == 0


async def test_a_job_with_one_task_teaches_how_long_its_kind_takes(rig: Rig) -> None:
    job = await rig.submitted()
    rig.clock.ahead = 200
    await rig.confirm(job, Found(working()))
    await rig.confirm(job, Found(completed()))
    mean = await rig.redis.hget("{gw}:durations", "720p:0:mean")  # type: ignore[misc]
    assert int(mean or 0) == pytest.approx(200_000, abs=5_000)


# -- polls that are asked for meanwhile


async def test_a_poll_that_is_asked_for_while_the_last_one_is_dropped_is_made(rig: Rig) -> None:
    job = await rig.accept()
    await rig.redis.zadd(keys.due(Role.CONFIRM), {str(confirm_ticket(job)): 1})
    await rig.resources.lanes.dispatch()
    ticket = await rig.ticket(Role.CONFIRM, job.id)
    claimed = await rig.resources.jobs.claim(await rig.ticket(Role.SUBMIT, job.id), "run")
    assert claimed
    assert await rig.resources.jobs.release(claimed)
    await rig.callback(job, "task_1")
    await rig.resources.jobs.drop(ticket)
    assert (await rig.ticket(Role.CONFIRM, job.id)).dispatch_number > ticket.dispatch_number


async def test_a_poll_that_is_due_later_is_not_lost_with_the_last_one(rig: Rig) -> None:
    job = await rig.accept()
    await rig.redis.zadd(keys.due(Role.CONFIRM), {str(confirm_ticket(job)): 1})
    await rig.resources.lanes.dispatch()
    ticket = await rig.ticket(Role.CONFIRM, job.id)
    await rig.submit(job, Accepted("task_1"))
    await rig.resources.jobs.drop(ticket)
    assert await rig.redis.zcard(keys.slots(Role.CONFIRM)) == 0
    assert await rig.due_in(Role.CONFIRM, confirm_ticket(job)) == pytest.approx(30, abs=5)


async def test_a_poll_that_nobody_asked_for_meanwhile_is_dropped_for_good(rig: Rig) -> None:
    job = await rig.accept()
    await rig.redis.zadd(keys.due(Role.CONFIRM), {str(confirm_ticket(job)): 1})
    await rig.resources.lanes.dispatch()
    await rig.confirmer.confirm(await rig.ticket(Role.CONFIRM, job.id))  # it waits to be sent
    assert await rig.redis.zcard(keys.slots(Role.CONFIRM)) == 0
    assert await rig.due_in(Role.CONFIRM, confirm_ticket(job)) is None


# -- the claim


async def test_the_same_claim_made_again_goes_on_and_another_is_refused(rig: Rig) -> None:
    job, jobs = await rig.accept(), rig.resources.jobs
    ticket = await rig.ticket(Role.SUBMIT, job.id)
    first = await jobs.claim(ticket, "run 1")
    assert first
    assert await jobs.claim(ticket, "run 1") == first
    assert await jobs.claim(ticket, "run 2") is None
    assert (await rig.read(job)).epoch == 1


async def test_a_claim_is_not_made_again_once_the_ticket_was_handed_to_another(rig: Rig) -> None:
    job, jobs = await rig.accept(), rig.resources.jobs
    ticket = await rig.ticket(Role.SUBMIT, job.id)
    assert await jobs.claim(ticket, "run 1")
    await rig.redis.zadd(keys.slots(Role.SUBMIT), {str(ticket): 1}, xx=True)
    await rig.sweep()
    assert await jobs.claim(ticket, "run 1") is None
    assert await jobs.claim(replace(ticket, dispatch_number=ticket.dispatch_number + 1), "run 2")
