"""The gate: the last byte of a paid request goes out only while the job is provably ours."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest

from gateway.dispatch import Role, Ticket
from gateway.jobs import Job, submit_ticket
from gateway.lifecycle import JobEvent, JobState
from gateway.resources import Resources
from gateway.store import keys
from gateway.store.base import CallbackOutcome
from gateway.store.effects import HoldSlot
from gateway.store.jobs import RedisJobStore
from gateway.store.transitions import Transition
from gateway.upstream.base import Accepted, Busy, Rejected, Unknown, UpstreamError
from tests.gateway.store.conftest import dispatched, store_parts
from tests.workers.conftest import Clock, Rig, end
from tests.workers.failing import FailingGate, Outage
from tests.workers.scripted import nothing
from workers.submit import Submitter


class SlowGate(RedisJobStore):
    """Releases, but takes its time to say so."""

    def __init__(self, resources: Resources, clock: Clock, seconds: float) -> None:
        super().__init__(*store_parts(resources))
        self._clock, self._seconds = clock, seconds

    async def release(self, job: Job) -> bool:
        released = await super().release(job)
        self._clock.ahead += self._seconds
        return released


async def test_the_release_is_on_record_before_the_last_byte_goes_out(rig: Rig) -> None:
    job = await rig.accept()
    seen: list[Job] = []

    async def poll() -> None:
        seen.append(await rig.read(job))

    rig.upstream.before_gate = rig.upstream.after_gate = poll
    await rig.submit(job, Accepted("task_1"))
    before, after = seen
    assert (before.state, before.released_at) == (JobState.SUBMITTING, None)
    assert after.state is JobState.SUBMITTING
    assert after.released_at is not None


async def test_a_worker_that_lost_its_claim_never_sends_the_last_byte(rig: Rig) -> None:
    job = await rig.accept()

    async def lose() -> None:
        await rig.let_lease_run_out(Role.SUBMIT, submit_ticket(job))
        await rig.sweep()

    rig.upstream.before_gate = lose
    lost = await rig.ticket(Role.SUBMIT, job.id)
    await rig.submitter.submit(lost)
    assert len(rig.upstream.begun) == 1
    assert rig.upstream.released == []
    assert (await rig.read(job)).state is JobState.QUEUED
    assert await rig.ticket(Role.SUBMIT, job.id) != lost  # the sweep's dispatch still stands


async def test_a_worker_that_lost_its_claim_to_another_changes_nothing_of_the_other_s(rig: Rig) -> None:
    job = await rig.accept()
    rig.upstream.outcomes.append(Accepted("task_1"))

    async def be_overtaken() -> None:
        rig.upstream.before_gate = nothing
        await rig.let_lease_run_out(Role.SUBMIT, submit_ticket(job))
        await rig.sweep()
        await rig.submitter.submit(await rig.ticket(Role.SUBMIT, job.id))

    rig.upstream.before_gate = be_overtaken
    await rig.submitter.submit(await rig.ticket(Role.SUBMIT, job.id))
    assert len(rig.upstream.begun) == 2
    assert [sent.reference for sent in rig.upstream.released] == [rig.upstream.begun[1].reference]
    after = await rig.read(job)
    assert (after.state, after.epoch, after.task_id) == (JobState.SUBMITTED, 2, "task_1")
    assert await rig.lease(job) == float("inf")


async def test_a_release_that_took_too_long_to_answer_is_not_acted_upon(rig: Rig) -> None:
    job = await rig.accept()
    slow = replace(rig.submitter, jobs=SlowGate(rig.resources, rig.clock, seconds=3))
    await slow.submit(await rig.ticket(Role.SUBMIT, job.id))
    assert rig.upstream.released == []
    after = await rig.read(job)
    assert (after.state, after.released_at) == (JobState.QUEUED, None)
    assert await rig.lease(job) is None
    assert await rig.tally() == {"submissions|held_back": "1"}


async def test_a_release_within_its_time_is_acted_upon(rig: Rig) -> None:
    job = await rig.accept()
    rig.upstream.outcomes.append(Accepted("task_1"))
    slow = replace(rig.submitter, jobs=SlowGate(rig.resources, rig.clock, seconds=1))
    await slow.submit(await rig.ticket(Role.SUBMIT, job.id))
    assert len(rig.upstream.released) == 1


@pytest.mark.parametrize("acted", [False, True])
async def test_a_release_that_redis_did_not_answer_is_held_back_and_free_and_made_again_at_once(
    rig: Rig, acted: bool
) -> None:
    job = await rig.accept()
    away = replace(rig.submitter, jobs=FailingGate(rig.resources, Outage(1, acted=acted)))
    before = await rig.ticket(Role.SUBMIT, job.id)
    await away.submit(before)
    assert rig.upstream.released == []
    after = await rig.read(job)
    assert (after.state, after.epoch, after.released_at) == (JobState.QUEUED, 1, None)
    assert (await rig.ticket(Role.SUBMIT, job.id)).dispatch_number > before.dispatch_number


class RenewingStore(RedisJobStore):
    """Says when a lease was renewed."""

    def __init__(self, resources: Resources) -> None:
        super().__init__(*store_parts(resources))
        self.renewed = asyncio.Event()

    async def renew(self, ticket: Ticket) -> bool:
        renewed = await super().renew(ticket)
        self.renewed.set()
        return renewed


class DeafStore(RedisJobStore):
    """Loses the cancel of the first renewal, as asyncio.wait_for of Python 3.11 does now and then."""

    def __init__(self, resources: Resources) -> None:
        super().__init__(*store_parts(resources))
        self.renewing = asyncio.Event()

    async def renew(self, ticket: Ticket) -> bool:
        if not self.renewing.is_set():
            self.renewing.set()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        return await super().renew(ticket)


def brisk(rig: Rig, jobs: RedisJobStore) -> Submitter:
    """A submitter that renews its lease a hundred times a second."""
    settings = rig.submitter.settings.model_copy(update={"lease_seconds": 0.03})
    return replace(rig.submitter, jobs=jobs, settings=settings)


async def test_the_lease_is_kept_while_the_request_is_under_way(rig: Rig) -> None:
    job, jobs = await rig.accept(), RenewingStore(rig.resources)
    rig.upstream.outcomes.append(Accepted("task_1"))

    async def outlast_the_lease() -> None:
        await rig.let_lease_run_out(Role.SUBMIT, submit_ticket(job))
        jobs.renewed.clear()
        await asyncio.wait_for(jobs.renewed.wait(), 10)
        assert await rig.resources.lanes.expired(Role.SUBMIT) == []

    rig.upstream.before_gate = outlast_the_lease
    await brisk(rig, jobs).submit(await rig.ticket(Role.SUBMIT, job.id))
    assert len(rig.upstream.released) == 1


async def test_an_outcome_is_recorded_although_the_end_of_a_renewal_was_not_heard(rig: Rig) -> None:
    job, jobs = await rig.accept(), DeafStore(rig.resources)
    rig.upstream.outcomes.append(Accepted("task_1"))

    async def meet_a_renewal() -> None:
        await asyncio.wait_for(jobs.renewing.wait(), 10)

    rig.upstream.after_gate = meet_a_renewal
    ticket = await rig.ticket(Role.SUBMIT, job.id)
    submitting = asyncio.create_task(brisk(rig, jobs).submit(ticket))
    await asyncio.wait([submitting], timeout=2)
    after = await rig.read(job)
    await end(submitting)
    assert after.state is JobState.SUBMITTED


async def test_a_callback_may_overtake_the_answer_to_our_own_request(rig: Rig) -> None:
    job = await rig.accept()

    async def call_back() -> None:
        assert await rig.callback(job, "task_1") is CallbackOutcome.MOVED

    rig.upstream.after_gate = call_back
    after = await rig.submit(job, Accepted("task_1"))
    assert (after.state, after.task_id, after.epoch) == (JobState.SUBMITTED, "task_1", 1)
    assert await rig.redis.zcard(keys.slots(Role.SUBMIT)) == 1
    assert await rig.lease(job) == float("inf")
    assert await dispatched(rig.redis, Role.CONFIRM) == [
        job.id
    ]  # the callback's poll is not put off by the answer


@pytest.mark.parametrize(
    "late",
    [Unknown("reset"), Busy("429"), Rejected(UpstreamError("bad", "bad"))],
    ids=["unknown", "busy", "rejected"],
)
async def test_no_answer_of_our_own_undoes_what_a_callback_proved(
    rig: Rig, late: Unknown | Busy | Rejected
) -> None:
    job = await rig.accept()

    async def call_back() -> None:
        await rig.callback(job, "task_1")

    rig.upstream.after_gate = call_back
    after = await rig.submit(job, late)
    assert (after.state, after.task_id) == (JobState.SUBMITTED, "task_1")
    assert after.released_at is not None
    assert await rig.lease(job) == float("inf")


async def test_the_answer_to_our_own_request_outranks_the_task_that_a_callback_named(rig: Rig) -> None:
    job = await rig.accept()

    async def call_back() -> None:
        await rig.callback(job, "somebody_s_task")

    rig.upstream.after_gate = call_back
    after = await rig.submit(job, Accepted("task_1"))
    assert (after.state, after.task_id) == (JobState.SUBMITTED, "task_1")


async def test_a_late_answer_that_proves_a_submission_unpaid_queues_or_fails_it_at_once(rig: Rig) -> None:
    for late, state in ((Busy("429"), JobState.QUEUED), (Rejected(UpstreamError("x", "x")), JobState.FAILED)):
        job = await rig.accept()

        async def call_it_unknown(job: Job = job) -> None:
            found = await rig.read(job)
            await rig.resources.jobs.apply(found, Transition(JobEvent.OUTCOME_LOST, effects=[HoldSlot()]))

        rig.upstream.after_gate = call_it_unknown
        after = await rig.submit(job, late)
        assert after.state is state
        assert await rig.redis.zscore(keys.slots(Role.SUBMIT), str(submit_ticket(job))) is None


async def test_a_callback_without_a_task_changes_nothing_but_when_we_poll(rig: Rig) -> None:
    job = await rig.accept()

    async def call_back() -> None:
        await rig.callback(job, None)

    rig.upstream.after_gate = call_back
    after = await rig.submit(job, Accepted("task_1"))
    assert (after.state, after.task_id) == (JobState.SUBMITTED, "task_1")
    assert await dispatched(rig.redis, Role.CONFIRM) == [job.id]
