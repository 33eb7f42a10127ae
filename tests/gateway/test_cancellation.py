"""Cancel in every state: free while the job waits, afterwards a conflict that says why."""

from __future__ import annotations

import pytest

from gateway.cancellation import cancel
from gateway.dispatch import Role
from gateway.errors import CannotCancel, Conflict, NotFound
from gateway.jobs import Job
from gateway.lifecycle import JobEvent, JobState
from gateway.resources import Resources
from gateway.store import keys
from gateway.store.base import AdmissionLimits
from gateway.store.effects import GiveBackSlot
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import dispatched, held, new_job


async def accept(resources: Resources, **fields: object) -> Job:
    job = new_job(**fields)  # type: ignore[arg-type]
    await resources.jobs.accept(job, None, "f", AdmissionLimits(queue_max=1000))
    return job


async def put_into(resources: Resources, state: JobState, **fields: int) -> Job:
    job = await accept(resources)
    await resources.redis.hset(keys.job(job.id), mapping={"state": state, **fields})  # type: ignore[misc]
    found = await resources.jobs.read(job.id)
    assert found
    return found


async def canceled(resources: Resources, job: Job, *, upstream_can: bool = False) -> Job:
    r = resources
    return await cancel(job, r.jobs, r.settlement, r.environment, upstream_can=upstream_can)


async def test_a_job_that_waits_is_canceled_and_leaves_its_lane(resources: Resources) -> None:
    jobs = [await accept(resources) for _ in range(7)]
    after = await canceled(resources, jobs[-1])
    assert (after.state, after.finished_at is not None) == (JobState.CANCELED, True)
    assert await resources.redis.zcard(keys.waiting(Role.SUBMIT)) == 1
    [place] = await resources.jobs.queue_positions([jobs[-2]])
    assert place
    assert place.position == 0


async def test_a_job_that_was_dispatched_but_not_begun_gives_its_slot_to_the_next(
    resources: Resources,
) -> None:
    jobs = [await accept(resources) for _ in range(6)]
    assert jobs[5].id not in await dispatched(resources.redis, Role.SUBMIT)
    await canceled(resources, jobs[0])
    assert (await dispatched(resources.redis, Role.SUBMIT))[-1] == jobs[5].id
    assert await resources.redis.zcard(keys.slots(Role.SUBMIT)) == 5


async def test_a_job_that_waits_for_a_busy_upstream_is_canceled_and_never_due_again(
    resources: Resources,
) -> None:
    job = await accept(resources)
    claimed = await resources.jobs.claim(await held(resources.redis, Role.SUBMIT, job.id))
    assert claimed
    await resources.jobs.apply(claimed, Transition(JobEvent.UPSTREAM_BUSY, effects=[GiveBackSlot(3_600_000)]))
    found = await resources.jobs.read(job.id)
    assert found
    assert (await canceled(resources, found)).state is JobState.CANCELED
    assert await resources.redis.zcard(keys.due(Role.SUBMIT)) == 0


async def test_cancel_again_is_no_error_and_notifies_nobody_twice(resources: Resources) -> None:
    job = await accept(resources, callback_url="https://client.example.com/hook")
    first = await canceled(resources, job)
    assert await canceled(resources, first) == first
    assert await canceled(resources, job) == first
    assert len(await resources.deliveries.of_job(job.id)) == 1


HANDED_OVER = [JobState.SUBMITTING, JobState.UNKNOWN, JobState.SUBMITTED]


@pytest.mark.parametrize("state", HANDED_OVER)
async def test_a_job_that_was_handed_over_is_not_canceled_where_the_upstream_cannot(
    resources: Resources, state: JobState
) -> None:
    job = await put_into(resources, state, released_at=1)
    with pytest.raises(CannotCancel, match="sent to the upstream"):
        await canceled(resources, job)
    assert await resources.jobs.read(job.id) == job


@pytest.mark.parametrize("state", HANDED_OVER)
async def test_where_the_upstream_can_the_wish_is_stored_and_a_poll_is_due(
    resources: Resources, state: JobState
) -> None:
    job = await put_into(resources, state, released_at=1)
    first = await canceled(resources, job, upstream_can=True)
    assert (first.state, first.cancel_wished_at is not None) == (state, True)
    assert await dispatched(resources.redis, Role.CONFIRM) == [job.id]
    assert await canceled(resources, first, upstream_can=True) == first


@pytest.mark.parametrize("state", [JobState.COMPLETED, JobState.FAILED])
async def test_a_finished_job_is_not_canceled(resources: Resources, state: JobState) -> None:
    job = await put_into(resources, state)
    with pytest.raises(Conflict, match=f"already {state}"):
        await canceled(resources, job)


async def test_a_worker_that_has_not_released_it_yet_is_fenced_by_the_cancel(resources: Resources) -> None:
    job = await accept(resources)
    claimed = await resources.jobs.claim(await held(resources.redis, Role.SUBMIT, job.id))
    assert claimed
    assert (await canceled(resources, job)).state is JobState.CANCELED
    assert not await resources.jobs.release(claimed)
    assert await resources.redis.zcard(keys.slots(Role.SUBMIT)) == 0


async def test_a_worker_that_was_quicker_wins(resources: Resources) -> None:
    job = await accept(resources)
    claimed = await resources.jobs.claim(await held(resources.redis, Role.SUBMIT, job.id))
    assert claimed
    assert await resources.jobs.release(claimed)
    for stale in (job, claimed):
        with pytest.raises(CannotCancel, match="sent to the upstream"):
            await canceled(resources, stale)
    found = await resources.jobs.read(job.id)
    assert found is not None
    assert found.state is JobState.SUBMITTING
    assert await resources.redis.zcard(keys.slots(Role.SUBMIT)) == 1


async def test_a_job_that_is_gone_is_not_found(resources: Resources) -> None:
    with pytest.raises(NotFound):
        await canceled(resources, new_job())
