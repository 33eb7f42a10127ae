"""The list of unknown jobs, on the real server."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from gateway.lifecycle import OnUnknown
from gateway.store import keys
from gateway.store.operators import UNKNOWNS, RedisOperatorStore
from gateway.store.script_runner import Scripts
from tests.gateway.store.conftest import ROLES, Accept


@pytest.fixture
def operators(redis: Redis, scripts: Scripts) -> RedisOperatorStore:
    return RedisOperatorStore(redis, scripts, ROLES)


async def unknown_names(operators: RedisOperatorStore, page: int) -> list[str]:
    names: list[str] = []
    after, more = None, True
    while more:
        found, more = await operators.unknown(after, page)
        names += [job.job_id for job in found]
        after = (found[-1].since, found[-1].job_id)
    return names


@pytest.mark.parametrize("page", [1, 2, 3, 100])
async def test_unknown_jobs_are_read_page_by_page_the_longest_first(
    redis: Redis, operators: RedisOperatorStore, accept: Accept, page: int
) -> None:
    made = [(await accept()).id for _ in range(5)]
    at = dict(zip(made, (9, 5, 5, 5, 1), strict=True))
    await redis.zadd(UNKNOWNS, at)
    assert await unknown_names(operators, page) == [made[4], *sorted(made[1:4]), made[0]]


async def test_a_page_goes_on_though_the_job_before_it_is_resolved(
    redis: Redis, operators: RedisOperatorStore, accept: Accept
) -> None:
    first, second = sorted([(await accept()).id, (await accept()).id])
    await redis.zadd(UNKNOWNS, {second: 5})
    found, more = await operators.unknown((5, first), 10)
    assert ([job.job_id for job in found], more) == ([second], False)


async def test_an_unknown_job_tells_what_becomes_of_it_and_what_is_known(
    redis: Redis, operators: RedisOperatorStore, accept: Accept
) -> None:
    own, owner, neither = await accept(on_unknown=OnUnknown.MANUAL), await accept(), await accept("zeta")
    await operators.tenants.change("acme", {"on_unknown": OnUnknown.RESUBMIT}, "key1")
    await redis.hset(keys.job(owner.id), mapping={"epoch": 2, "evidence": "callback"})  # type: ignore[misc]
    await redis.zadd(UNKNOWNS, {own.id: 1, owner.id: 2, neither.id: 3, "job_forgotten": 4})
    found, _ = await operators.unknown(None, 10)
    told = [(job.tenant, job.epoch, job.since, job.on_unknown, job.evidence) for job in found]
    assert told == [
        ("acme", 0, 1, OnUnknown.MANUAL, None),
        ("acme", 2, 2, OnUnknown.RESUBMIT, "callback"),
        ("zeta", 0, 3, None, None),
    ]


async def test_nothing_is_unknown_in_an_empty_store(operators: RedisOperatorStore) -> None:
    assert await operators.unknown(None, 10) == ([], False)
