"""Workers that die, hang or run twice: a job is lost to none of them and paid for at most once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from gateway.dispatch import Role, Ticket
from gateway.jobs import Job, submit_ticket
from gateway.lifecycle import JobState
from gateway.store import keys
from gateway.store.base import CallbackOutcome
from gateway.upstream.base import Accepted, Found, Unknown
from tests.gateway.store.conftest import dispatched
from tests.workers.conftest import Rig
from tests.workers.scripted import completed, nothing


@contextlib.asynccontextmanager
async def under_way(rig: Rig, job: Job, *, released: bool) -> AsyncIterator[None]:
    """A submission that stopped before or after its last byte; it is cut off when the block ends."""
    reached = asyncio.Event()

    async def hang() -> None:
        reached.set()
        await asyncio.Event().wait()

    if released:
        rig.upstream.after_gate = hang
    else:
        rig.upstream.before_gate = hang
    task = asyncio.create_task(rig.submitter.submit(await rig.ticket(Role.SUBMIT, job.id)))
    try:
        await asyncio.wait_for(reached.wait(), 10)
        rig.upstream.before_gate = rig.upstream.after_gate = nothing
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def dies(rig: Rig, job: Job, *, released: bool) -> None:
    async with under_way(rig, job, released=released):
        pass
    await rig.let_lease_run_out(Role.SUBMIT, submit_ticket(job))


async def test_a_worker_that_died_before_the_release_cost_nothing_and_the_job_goes_again(rig: Rig) -> None:
    job = await rig.accept()
    await dies(rig, job, released=False)
    await rig.sweep()
    back = await rig.read(job)
    assert (back.state, back.epoch, back.released_at) == (JobState.QUEUED, 1, None)
    after = await rig.submit(job, Accepted("task_1"))
    assert (after.state, after.epoch) == (JobState.SUBMITTED, 2)
    assert len(rig.upstream.released) == 1
    assert await rig.redis.zcard(keys.slots(Role.SUBMIT)) == 1


async def test_a_worker_that_died_after_the_release_leaves_an_unknown_that_nobody_sends_again(
    rig: Rig,
) -> None:
    job = await rig.accept()
    await dies(rig, job, released=True)
    for _ in range(3):
        await rig.sweep()
        await rig.let_lease_run_out(Role.SUBMIT, submit_ticket(job))
    after = await rig.read(job)
    assert (after.state, after.epoch) == (JobState.UNKNOWN, 1)
    assert len(rig.upstream.begun) == 1
    assert await rig.due_in(Role.SUBMIT, submit_ticket(job)) is None
    assert await rig.lease(job) is not None  # a task may be running upstream: its place stays taken


async def test_an_unknown_job_is_moved_on_by_the_callback_of_its_own_attempt(rig: Rig) -> None:
    job = await rig.accept()
    await dies(rig, job, released=True)
    await rig.sweep()
    assert await rig.callback(job, "task_1") is CallbackOutcome.MOVED
    assert (await rig.read(job)).task_id == "task_1"
    rig.nobody_gainsays()
    after = await rig.confirm(job, Found(completed()))
    assert after.state is JobState.COMPLETED
    assert len(rig.upstream.begun) == 1
    assert await rig.lease(job) is None


async def test_a_task_of_an_earlier_attempt_ends_the_wait_for_the_newest(rig: Rig) -> None:
    job = await rig.accept()
    await dies(rig, job, released=False)
    await rig.sweep()
    await dies(rig, job, released=True)
    await rig.sweep()
    assert await rig.callback(job, "task_0", epoch=1) is CallbackOutcome.EARLIER
    after = await rig.read(job)
    assert (after.state, after.task_id, after.epoch) == (JobState.SUBMITTED, "task_0", 2)


async def test_an_answer_that_comes_after_the_job_was_called_unknown_still_counts(rig: Rig) -> None:
    job = await rig.accept()

    async def be_failed() -> None:
        await rig.let_lease_run_out(Role.SUBMIT, submit_ticket(job))
        await rig.sweep()
        assert (await rig.read(job)).state is JobState.UNKNOWN

    rig.upstream.after_gate = be_failed
    after = await rig.submit(job, Accepted("task_1"))
    assert (after.state, after.task_id) == (JobState.SUBMITTED, "task_1")


@pytest.mark.parametrize("released", [False, True])
async def test_a_ticket_that_is_run_twice_leaves_the_first_run_its_slot_and_lease(
    rig: Rig, released: bool
) -> None:
    job = await rig.accept()
    ticket = await rig.ticket(Role.SUBMIT, job.id)
    async with under_way(rig, job, released=released):
        await rig.submitter.submit(ticket)
        assert len(rig.upstream.begun) == 1
        assert await rig.lease(job) is not None
    await rig.let_lease_run_out(Role.SUBMIT, ticket)
    await rig.sweep()
    found = (await rig.read(job)).state
    assert found is (JobState.UNKNOWN if released else JobState.QUEUED)


@pytest.mark.parametrize("outcome", [Accepted("task_1"), Unknown("reset")], ids=["submitted", "unknown"])
async def test_a_ticket_that_is_run_again_after_its_end_keeps_the_task_s_slot(
    rig: Rig, outcome: Accepted | Unknown
) -> None:
    job = await rig.accept()
    ticket = await rig.ticket(Role.SUBMIT, job.id)
    before = await rig.submit(job, outcome)
    await rig.submitter.submit(ticket)
    assert await rig.read(job) == before
    assert len(rig.upstream.begun) == 1
    assert await rig.lease(job) == float("inf")


async def test_a_ticket_of_an_older_dispatch_does_nothing_at_all(rig: Rig) -> None:
    job = await rig.accept()
    ticket = await rig.ticket(Role.SUBMIT, job.id)
    old = Ticket(ticket.role, ticket.lane, ticket.name, ticket.dispatch_number - 1)
    await rig.submitter.submit(old)
    assert rig.upstream.begun == []
    assert (await rig.read(job)).state is JobState.QUEUED
    assert await dispatched(rig.redis, Role.SUBMIT) == [job.id]
    assert await rig.ticket(Role.SUBMIT, job.id) == ticket


async def test_a_ticket_of_a_job_that_is_gone_gives_its_slot_back(rig: Rig) -> None:
    job = await rig.accept()
    ticket = await rig.ticket(Role.SUBMIT, job.id)
    await rig.redis.delete(keys.job(job.id))
    await rig.submitter.submit(ticket)
    assert rig.upstream.begun == []
    assert await rig.lease(job) is None


async def test_a_frozen_worker_that_comes_back_finds_its_job_gone_and_does_not_pay(rig: Rig) -> None:
    job = await rig.accept()
    ticket = await rig.ticket(Role.SUBMIT, job.id)
    workers = rig.resources.workers

    async def freeze() -> None:
        rig.upstream.before_gate = nothing
        long_ago = (rig.clock() - 4) * 1000
        await rig.redis.zadd(keys.WORKERS, {"frozen": long_ago, "alive": long_ago + 3000})
        await rig.redis.hset(keys.worker("alive"), "steady_since", f"{long_ago:.0f}")  # type: ignore[misc]
        await rig.redis.sadd(keys.held_by("frozen"), ticket.arq_name)  # type: ignore[misc]
        assert (await workers.beat("alive", {"pid": 1})).ended == 1
        await rig.sweep()
        assert (await rig.submit(job, Accepted("task_1"))).epoch == 2

    rig.upstream.before_gate = freeze
    await rig.submitter.submit(ticket)
    after = await rig.read(job)
    assert (after.state, after.task_id, after.epoch) == (JobState.SUBMITTED, "task_1", 2)
    assert len(rig.upstream.begun) == 2
    assert len(rig.upstream.released) == 1
