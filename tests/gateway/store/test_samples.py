"""How the service did lately, and the lines in which somebody waits."""

from __future__ import annotations

import asyncio
import math

import pytest
from redis.asyncio import Redis

from gateway.dispatch import Role
from gateway.store import keys, samples
from gateway.store.lane_views import RedisLaneViews
from gateway.store.lanes import Lanes
from gateway.store.samples import RedisSamples
from gateway.store.script_runner import Scripts
from tests.gateway.store.conftest import Accept


async def test_a_sample_holds_how_it_stands_and_what_was_counted(
    redis: Redis, scripts: Scripts, accept: Accept
) -> None:
    for _ in range(5):
        await accept()
    await redis.hset(keys.TALLY, "jobs_finished|completed", "3")  # type: ignore[misc]
    await redis.hset(keys.TALLY, "jobs_finished|failed", "1")  # type: ignore[misc]
    past = RedisSamples(redis, scripts)
    assert await past.sample()
    [sample] = await past.read(60_000)
    assert (sample.waiting, sample.in_flight, sample.accepted) == (3, 2, 5)
    assert (sample.completed, sample.finished) == (3, 4)


async def test_however_many_take_samples_one_is_kept_of_each_time(
    redis: Redis, scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "SAMPLE_MS", 200)
    past = RedisSamples(redis, scripts)
    assert sum(await asyncio.gather(*(past.sample() for _ in range(20)))) == 1
    await asyncio.sleep(0.25)
    assert await past.sample()
    first, second = await past.read(60_000)
    assert first.at < second.at


async def test_the_line_in_which_somebody_waits_the_longest_comes_first(
    redis: Redis, lanes: Lanes, accept: Accept
) -> None:
    for _ in range(4):
        await accept(tenant="young")
    for _ in range(3):
        await accept(tenant="old")
    seconds, _ = await redis.time()
    for ticket in await redis.zrange(keys.waiting(Role.SUBMIT), 0, -1):
        if ticket.startswith("old|"):
            await redis.zadd(keys.waiting(Role.SUBMIT), {ticket: (seconds - 600) * 1000})
    await lanes.pause(Role.SUBMIT, "quiet", None)
    rows = await RedisLaneViews(redis).lanes(Role.SUBMIT, 10)
    assert [(row.lane, row.waiting, row.in_flight) for row in rows] == [
        ("old", 1, 2),
        ("young", 2, 2),
        ("quiet", 0, 0),
    ]
    assert rows[0].oldest_seconds == pytest.approx(600, abs=5)
    assert rows[2].paused_until == math.inf
    assert [row.lane for row in await RedisLaneViews(redis).lanes(Role.SUBMIT, 1)] == ["old"]


async def test_lines_that_are_named_come_in_that_order(redis: Redis, lanes: Lanes, accept: Accept) -> None:
    for _ in range(4):
        await accept(tenant="acme")
    await lanes.pause(Role.SUBMIT, "beta", None)
    rows = await RedisLaneViews(redis).named(Role.SUBMIT, ["beta", "acme"])
    assert [(row.lane, row.waiting, row.paused_until) for row in rows] == [
        ("beta", 0, math.inf),
        ("acme", 2, None),
    ]
    assert await RedisLaneViews(redis).named(Role.SUBMIT, []) == []
