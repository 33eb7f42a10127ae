"""A full Redis takes in nothing new, and what it holds can be worked off."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from gateway.dispatch import Role
from gateway.errors import StoreUnavailable
from gateway.jobs import Job
from gateway.lifecycle import JobEvent
from gateway.store.base import Move, Outcome
from gateway.store.jobs import RedisJobStore
from gateway.store.lanes import Lanes
from gateway.tickets import submit_ticket
from tests.gateway.store.conftest import Accept, held, new_job


@pytest.fixture
async def waiting(redis: Redis, accept: Accept) -> AsyncIterator[Job]:
    """A job that was accepted before the server was full."""
    job = await accept()
    await redis.config_set("maxmemory", 1)
    yield job
    await redis.config_set("maxmemory", 0)


async def test_a_full_redis_accepts_no_job(jobs: RedisJobStore, waiting: Job) -> None:
    with pytest.raises(StoreUnavailable):
        await jobs.accept(new_job(), None, "f", queue_max=10)


async def test_a_full_redis_lets_what_it_holds_run_to_its_end(
    redis: Redis, jobs: RedisJobStore, lanes: Lanes, waiting: Job
) -> None:
    claimed = await jobs.claim(await held(redis, Role.SUBMIT, waiting.id))
    assert claimed
    assert await jobs.release(claimed)
    await lanes.dispatch()
    done = Move(JobEvent.UPSTREAM_REJECTED, fields={"finished_at": 1}, done=[submit_ticket(waiting)])
    assert (await jobs.apply(claimed, done)).outcome is Outcome.MOVED
