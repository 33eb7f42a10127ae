"""A walk over the finished jobs sees each once, also those of one millisecond, and comes back to a few."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.finished_walk import FinishedWalk
from gateway.store.script_runner import Scripts


@pytest.fixture
def walk(redis: Redis, scripts: Scripts) -> FinishedWalk:
    return FinishedWalk(redis, scripts, "archive", 0)


async def walked(walk: FinishedWalk, limit: int, again: Sequence[str] = ()) -> list[str]:
    found = []
    while True:
        stretch = await walk.due(limit)
        found += stretch.jobs
        await walk.passed(stretch, [name for name in stretch.jobs if name in again])
        if not stretch.more:
            return found


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_each_finished_job_is_seen_once_in_order(walk: FinishedWalk, redis: Redis, limit: int) -> None:
    await redis.zadd(keys.FINISHED, {"a": 1, "b": 2, "c": 2, "d": 2, "e": 3})
    assert await walked(walk, limit) == ["a", "b", "c", "d", "e"]
    assert await walked(walk, limit) == []
    await redis.zadd(keys.FINISHED, {"f": 4})
    assert await walked(walk, limit) == ["f"]


async def test_a_stretch_that_was_not_passed_is_walked_again(walk: FinishedWalk, redis: Redis) -> None:
    await redis.zadd(keys.FINISHED, {"a": 1})
    assert (await walk.due(10)).jobs == (await walk.due(10)).jobs == ["a"]


async def test_what_must_be_looked_at_again_comes_back_later_and_then_no_more(
    walk: FinishedWalk, redis: Redis
) -> None:
    await redis.zadd(keys.FINISHED, {"a": 1, "b": 2})
    assert await walked(walk, 10, again=["a"]) == ["a", "b"]
    assert await walked(walk, 10) == []
    later = keys.walk_later("archive")
    seconds, _ = await redis.time()
    assert await redis.zscore(later, "a") > seconds * 1000 + 500_000
    await redis.zadd(later, {"a": 1})
    assert await walked(walk, 10) == ["a"]
    assert await redis.exists(later) == 0


async def test_a_walk_never_goes_back(walk: FinishedWalk, redis: Redis) -> None:
    await redis.zadd(keys.FINISHED, {"a": 1, "b": 2})
    behind = await walk.due(1)
    assert await walked(walk, 10) == ["a", "b"]
    await walk.passed(behind, [])
    assert await walked(walk, 10) == []


async def test_a_job_is_not_seen_before_it_is_due(redis: Redis, scripts: Scripts) -> None:
    seconds, _ = await redis.time()
    await redis.zadd(keys.FINISHED, {"old": seconds * 1000 - 60_000, "new": seconds * 1000})
    assert await walked(FinishedWalk(redis, scripts, "archive", 30_000), 10) == ["old"]
    assert await walked(FinishedWalk(redis, scripts, "other", 0), 1) == ["old", "new"]


async def test_the_lag_is_how_long_the_first_job_that_was_not_passed_is_due(
    redis: Redis, scripts: Scripts
) -> None:
    walk = FinishedWalk(redis, scripts, "archive", 30_000)
    assert await walk.lag_seconds() == 0
    seconds, _ = await redis.time()
    await redis.zadd(keys.FINISHED, {"a": (seconds - 90) * 1000, "b": (seconds - 60) * 1000})
    assert 60 <= await walk.lag_seconds() < 90
    await walk.passed(await walk.due(1), [])
    assert 30 <= await walk.lag_seconds() < 60
    await walk.passed(await walk.due(1), [])
    await redis.zadd(keys.FINISHED, {"new": seconds * 1000})
    assert await walk.lag_seconds() == 0
