"""A worker that is asked to stop: what is not released is let go for free, what is released is finished."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.dispatch import Role
from gateway.errors import Fenced
from gateway.jobs import Job, Spend, submit_ticket
from gateway.lifecycle import JobState
from gateway.upstream.base import Accepted, Unknown
from tests.workers.conftest import Rig, eventually
from tests.workers.scripted import nothing
from workers.release_gate import ReleaseGate
from workers.submit import Submitter


def stopping(rig: Rig) -> Submitter:
    """A submitter of a process of its own."""
    return replace(rig.submitter, stopping=asyncio.Event())


async def test_an_armed_submission_is_let_go_and_another_worker_takes_it_at_once(rig: Rig) -> None:
    job, worker = await rig.accept(), stopping(rig)

    async def hear_the_signal() -> None:
        worker.stopping.set()
        await asyncio.Event().wait()

    rig.upstream.before_gate = hear_the_signal
    ticket = await rig.ticket(Role.SUBMIT, job.id)
    await asyncio.wait_for(worker.submit(ticket), 10)
    after = await rig.read(job)
    assert (after.state, after.released_at, after.spend) == (JobState.QUEUED, None, Spend.NONE)
    assert rig.upstream.released == []
    assert await rig.tally() == {"submissions|held_back": "1"}
    rig.upstream.before_gate = nothing
    assert (
        await rig.ticket(Role.SUBMIT, job.id)
    ).dispatch_number > ticket.dispatch_number  # handed out in the same step
    again = await rig.submit(job, Accepted("task_1"))
    assert (again.state, again.epoch, again.lost) == (JobState.SUBMITTED, 2, 0)


@pytest.mark.parametrize("outcome", [Accepted("task_1"), Unknown("reset")], ids=["accepted", "unknown"])
async def test_a_released_submission_is_finished_and_its_outcome_recorded(
    rig: Rig, outcome: Accepted | Unknown
) -> None:
    job, worker = await rig.accept(), stopping(rig)
    reply = asyncio.Event()
    rig.upstream.outcomes.append(outcome)
    rig.upstream.after_gate = reply.wait  # type: ignore[assignment]
    running = asyncio.create_task(worker.submit(await rig.ticket(Role.SUBMIT, job.id)))

    async def released() -> bool:
        return bool(rig.upstream.released)

    await eventually(released)
    worker.stopping.set()
    await asyncio.sleep(0)
    assert not running.done()
    reply.set()
    await asyncio.wait_for(running, 10)
    after = await rig.read(job)
    expected = JobState.SUBMITTED if isinstance(outcome, Accepted) else JobState.UNKNOWN
    assert (after.state, after.epoch) == (expected, 1)
    assert await rig.lease(job) == float("inf")


async def test_a_worker_that_was_asked_to_stop_begins_nothing_that_it_would_pay_for(rig: Rig) -> None:
    job, worker = await rig.accept(), stopping(rig)
    worker.stopping.set()
    rig.upstream.before_gate = pause
    await worker.submit(await rig.ticket(Role.SUBMIT, job.id))
    assert rig.upstream.released == []
    assert (await rig.read(job)).state is JobState.QUEUED
    assert await rig.due_in(Role.SUBMIT, submit_ticket(job)) is None  # in its lane or handed out, not put off


async def pause() -> None:
    await asyncio.sleep(0.01)


async def claimed(rig: Rig) -> Job:
    job = await rig.resources.jobs.claim(await rig.ticket(Role.SUBMIT, (await rig.accept()).id), "run")
    assert job
    return job


async def test_a_gate_that_was_closed_opens_for_nobody(rig: Rig) -> None:
    gate = ReleaseGate(rig.resources.jobs, rig.resources.environment, await claimed(rig))
    assert gate.close()
    with pytest.raises(Fenced):
        await gate()
    assert (await rig.read(gate.job)).released_at is None


async def test_a_gate_that_was_entered_is_not_closed_any_more(rig: Rig) -> None:
    gate = ReleaseGate(rig.resources.jobs, rig.resources.environment, await claimed(rig))
    await gate()
    assert not gate.close()
    assert (await rig.read(gate.job)).released_at is not None
