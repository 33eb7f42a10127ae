"""The list of unknown jobs, on the real server."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from gateway.lifecycle import OnUnknown
from gateway.store import keys
from gateway.store.tenants import RedisTenants
from gateway.store.unknown_jobs import RedisUnknownJobs
from tests.gateway.store.conftest import Accept


@pytest.fixture
def unknown_jobs(redis: Redis) -> RedisUnknownJobs:
    return RedisUnknownJobs(redis)


async def unknown_names(unknown_jobs: RedisUnknownJobs, page: int) -> list[str]:
    names: list[str] = []
    after, more = None, True
    while more:
        found, more = await unknown_jobs.page(after, page)
        names += [job.job_id for job in found]
        after = (found[-1].since, found[-1].job_id)
    return names


@pytest.mark.parametrize("page", [1, 2, 3, 100])
async def test_unknown_jobs_are_read_page_by_page_the_longest_first(
    redis: Redis, unknown_jobs: RedisUnknownJobs, accept: Accept, page: int
) -> None:
    made = [(await accept()).id for _ in range(5)]
    at = dict(zip(made, (9, 5, 5, 5, 1), strict=True))
    await redis.zadd(keys.UNKNOWNS, at)
    assert await unknown_names(unknown_jobs, page) == [made[4], *sorted(made[1:4]), made[0]]


async def test_a_page_goes_on_though_the_job_before_it_is_resolved(
    redis: Redis, unknown_jobs: RedisUnknownJobs, accept: Accept
) -> None:
    first, second = sorted([(await accept()).id, (await accept()).id])
    await redis.zadd(keys.UNKNOWNS, {second: 5})
    found, more = await unknown_jobs.page((5, first), 10)
    assert ([job.job_id for job in found], more) == ([second], False)


async def test_an_unknown_job_shows_what_becomes_of_it_and_what_is_known(
    redis: Redis, tenants: RedisTenants, unknown_jobs: RedisUnknownJobs, accept: Accept
) -> None:
    own, owner, neither = await accept(on_unknown=OnUnknown.MANUAL), await accept(), await accept("zeta")
    await tenants.change("acme", {"on_unknown": OnUnknown.RESUBMIT}, "key1")
    await redis.hset(keys.job(owner.id), mapping={"epoch": 2, "evidence": "callback"})  # type: ignore[misc]
    await redis.zadd(keys.UNKNOWNS, {own.id: 1, owner.id: 2, neither.id: 3, "job_forgotten": 4})
    found, _ = await unknown_jobs.page(None, 10)
    told = [(job.tenant, job.epoch, job.since, job.on_unknown, job.evidence) for job in found]
    assert told == [
        ("acme", 0, 1, OnUnknown.MANUAL, None),
        ("acme", 2, 2, OnUnknown.RESUBMIT, "callback"),
        ("zeta", 0, 3, None, None),
    ]


async def test_nothing_is_unknown_in_an_empty_store(unknown_jobs: RedisUnknownJobs) -> None:
    assert await unknown_jobs.page(None, 10) == ([], False)


async def test_a_task_that_nobody_named_has_no_owner(unknown_jobs: RedisUnknownJobs) -> None:
    assert await unknown_jobs.owner_of("task-0") is None
