"""A full Redis takes in nothing new, and what it holds can be worked off: on a real server that is full."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from gateway import events
from gateway.dispatch import Role
from gateway.errors import StoreUnavailable
from gateway.jobs import Job, confirm_ticket, submit_ticket
from gateway.lifecycle import DeliveryEvent, DeliveryState, JobEvent, JobState
from gateway.local.valkey import valkey
from gateway.store.base import AdmissionLimits, Outcome
from gateway.store.client import connection_pool
from gateway.store.deliveries import RedisDeliveryStore
from gateway.store.effects import BindTask, Finish, HoldSlot, OweEvent, PollAfter, SetFields
from gateway.store.jobs import RedisJobStore
from gateway.store.lanes import Lanes
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import Accept, fill, held, new_job

HOOK = "https://client.example.com/hook"


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[Redis]:
    """A durable server of this test's own with room for 4 MB."""
    with valkey(tmp_path, "--maxmemory", "4mb") as server:
        pool = connection_pool(server.url, timeout_seconds=5, retries=0, connections=64)
        yield Redis(connection_pool=pool)
        await pool.disconnect()


@pytest.fixture
async def inside(redis: Redis, accept: Accept) -> Job:
    """A job that was accepted before the server was full."""
    job = await accept(callback_url=HOOK, payload_characters=None)
    await fill(redis)
    await redis.config_set("maxmemory", "2mb")  # also full when the server lets go of its buffers
    return job


async def test_a_full_redis_accepts_no_job_and_keeps_nothing_of_it(
    redis: Redis, jobs: RedisJobStore, inside: Job
) -> None:
    before = set(await redis.keys("{gw}:*"))
    with pytest.raises(StoreUnavailable):
        await jobs.accept(new_job(idempotency="a1b2"), "payload", "f", AdmissionLimits(queue_max=10))
    assert set(await redis.keys("{gw}:*")) == before


async def test_a_full_redis_lets_what_it_holds_run_to_its_end(
    redis: Redis, jobs: RedisJobStore, deliveries: RedisDeliveryStore, lanes: Lanes, inside: Job
) -> None:
    claimed = await jobs.claim(await held(redis, Role.SUBMIT, inside.id), "a run")
    assert claimed
    assert await jobs.release(claimed)
    move = Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask("task_1"), HoldSlot(), PollAfter(0)])
    assert (await jobs.apply(claimed, move)).outcome is Outcome.MOVED
    await lanes.dispatch()
    looked = await jobs.begin_confirm(await held(redis, Role.CONFIRM, inside.id))
    assert looked
    done = replace(looked, state=JobState.COMPLETED, finished_at=looked.created_at + 1)
    move = Transition(
        JobEvent.UPSTREAM_SUCCEEDED,
        effects=[
            SetFields({"finished_at": done.finished_at, "output": [{"content": [{"url": "u" * 10_000}]}]}),
            Finish([submit_ticket(looked), confirm_ticket(looked)]),
            OweEvent(events.make(done, None), HOOK),
        ],
    )
    assert (await jobs.apply(looked, move)).outcome is Outcome.MOVED
    [owed] = await deliveries.of_job(inside.id)
    ticket = await held(redis, Role.DELIVER, owed.id)
    assert await deliveries.begin(ticket)
    await deliveries.finish(ticket, owed, DeliveryEvent.ATTEMPT_SUCCEEDED, retry_in_ms=None, tally=[])
    [delivered] = await deliveries.of_job(inside.id)
    assert delivered.state is DeliveryState.DELIVERED
    with pytest.raises(OutOfMemoryError):
        await redis.set("ballast", "one more")


async def test_it_accepts_again_when_there_is_room(redis: Redis, jobs: RedisJobStore, inside: Job) -> None:
    await redis.delete(*await redis.keys("ballast:*"))
    job = new_job()
    await jobs.accept(job, None, "f", AdmissionLimits(queue_max=10))
    assert await jobs.read(job.id)
