"""Waiting for a job's end through one subscription, whatever happens to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from gateway.lifecycle import JobEvent
from gateway.store import finals as finals_module
from gateway.store import keys
from gateway.store.base import Move
from gateway.store.finals import Finals
from gateway.store.jobs import RedisJobStore
from tests.gateway.store.conftest import Accept

SECONDS = 10


@pytest.fixture
async def finals(redis: Redis) -> AsyncIterator[Finals]:
    async with Finals(redis) as listening:
        await subscribed(redis)
        yield listening


async def subscribed(redis: Redis, besides: str | None = None) -> str:
    """The server's name for the subscription's connection, once there is one."""
    async with asyncio.timeout(SECONDS):
        while True:
            found = [one["id"] for one in await redis.client_list() if one["sub"] == "1"]
            if found and found[0] != besides:
                return str(found[0])
            await asyncio.sleep(0.005)


async def heard(notice: asyncio.Event) -> bool:
    await asyncio.wait_for(notice.wait(), SECONDS)
    return True


async def test_who_waits_for_a_job_is_told_when_it_is_final(
    finals: Finals, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await accept()
    with finals.watch(job.id) as first, finals.watch(job.id) as second:
        await jobs.apply(job, Move(JobEvent.CANCEL_REQUESTED))
        assert await heard(first)
        assert await heard(second)


async def test_nobody_is_told_of_another_s_job_or_of_a_move_that_is_not_final(
    finals: Finals, jobs: RedisJobStore, accept: Accept
) -> None:
    job, other = await accept(), await accept()
    with finals.watch(job.id) as mine, finals.watch(other.id) as theirs:
        await jobs.apply(job, Move(JobEvent.CLAIMED))
        await jobs.apply(other, Move(JobEvent.CANCEL_REQUESTED))
        assert await heard(theirs)
        assert not mine.is_set()


async def test_who_stopped_waiting_is_forgotten(finals: Finals) -> None:
    with finals.watch("job_1"), finals.watch("job_1"):
        pass
    assert finals._waiting == {}


async def test_a_subscription_that_breaks_is_made_again_and_everybody_looks_once(
    finals: Finals, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finals_module, "_RECONNECT_SECONDS", 0.01)
    with capture_logs() as logged, finals.watch("job_1") as notice:
        broken = await subscribed(redis)
        await redis.client_kill_filter(_id=broken)
        assert await heard(notice)  # a notice may have been lost meanwhile
        await subscribed(redis, besides=broken)
        notice.clear()
        await redis.publish(keys.FINALS, "job_1")
        assert await heard(notice)
    assert [line["event"] for line in logged] == ["finals_subscription_lost", "finals_subscription_back"]


async def test_a_notice_for_nobody_does_no_harm(finals: Finals, redis: Redis) -> None:
    await redis.publish(keys.FINALS, "job_unknown")
    with finals.watch("job_1") as notice:
        await redis.publish(keys.FINALS, "job_1")
        assert await heard(notice)
    assert finals._waiting == {}


async def test_the_subscription_ends_with_the_process(redis: Redis) -> None:
    async with Finals(redis):
        await subscribed(redis)
    async with asyncio.timeout(SECONDS):
        while any(one["sub"] == "1" for one in await redis.client_list()):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
