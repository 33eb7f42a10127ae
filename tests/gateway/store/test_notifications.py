"""Waiting for a job's end, and following a tenant, through one subscription, whatever happens to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from gateway.lifecycle import JobEvent
from gateway.store import keys
from gateway.store import notifications as changes_module
from gateway.store.client import connection_pool
from gateway.store.effects import BindTask
from gateway.store.jobs import RedisJobStore
from gateway.store.notifications import Bell, Changes
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import Accept

SECONDS = 10


@pytest.fixture
async def changes(redis: Redis) -> AsyncIterator[Changes]:
    async with Changes(redis) as listening:
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


async def heard(bell: Bell) -> bool:
    await asyncio.wait_for(bell.wait(), SECONDS)
    return bell.was_rung()


async def test_who_waits_for_a_job_is_told_when_it_is_final(
    changes: Changes, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await accept()
    with changes.watch(job.id) as first, changes.watch(job.id) as second:
        await jobs.apply(job, Transition(JobEvent.CANCEL_REQUESTED))
        assert await heard(first)
        assert await heard(second)


async def test_nobody_is_told_of_another_s_job_or_of_a_move_that_is_not_final(
    changes: Changes, jobs: RedisJobStore, accept: Accept
) -> None:
    job, other = await accept(), await accept()
    with changes.watch(job.id) as mine, changes.watch(other.id) as theirs:
        await jobs.apply(job, Transition(JobEvent.CLAIMED))
        await jobs.apply(job, Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask("t-1")]))
        await jobs.apply(other, Transition(JobEvent.CANCEL_REQUESTED))
        assert await heard(theirs)
        assert not mine.rung


async def test_who_stopped_waiting_is_forgotten(changes: Changes) -> None:
    with changes.watch("job_1"), changes.watch("job_1"):
        pass
    assert changes._watched == {}


async def test_who_follows_a_tenant_is_told_of_its_events_and_of_no_other_s(
    changes: Changes, accept: Accept
) -> None:
    mine, theirs = Bell(), Bell()
    changes.follow("acme", mine.ring)
    changes.follow("other", theirs.ring)
    await accept("other")
    assert await heard(theirs)
    assert not mine.rung
    changes.unfollow("other")
    await accept("other")
    await accept("acme")
    assert await heard(mine)
    assert not theirs.rung


async def test_a_subscription_that_breaks_is_made_again_and_what_was_missed_is_found(
    changes: Changes,
    redis: Redis,
    jobs: RedisJobStore,
    accept: Accept,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(changes_module, "_RECONNECT_SECONDS", 0.05)
    over, waits = await accept(), await accept()
    followed = Bell()
    changes.follow("acme", followed.ring)
    with (
        capture_logs() as logged,
        changes.watch(over.id) as ended,
        changes.watch(waits.id) as not_yet,
        changes.watch("job_forgotten") as gone,
    ):
        broken = await subscribed(redis)
        await redis.client_kill_filter(_id=broken)
        # Without a word, as if it had been said while nobody listened.
        await redis.hset(keys.job(over.id), "state", "canceled")  # type: ignore[misc]
        assert await heard(ended)
        assert await heard(gone)
        assert await heard(followed)
        assert not not_yet.rung
        await subscribed(redis, besides=broken)
        await jobs.apply(waits, Transition(JobEvent.CANCEL_REQUESTED))
        assert await heard(not_yet)
    assert [line["event"] for line in logged] == ["changes_subscription_lost", "changes_subscription_back"]


async def test_what_was_missed_is_found_although_the_client_mended_the_connection_by_itself(
    redis: Redis, redis_url: str, accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes_module, "LOOK_AGAIN_SECONDS", 3600)
    pool = connection_pool(redis_url, timeout_seconds=5, retries=3, connections=8)
    job = await accept()
    async with Changes(Redis(connection_pool=pool)) as changes:
        with capture_logs() as logged, changes.watch(job.id) as bell:
            broken = await subscribed(redis)
            bell.was_rung()
            await redis.hset(keys.job(job.id), "state", "canceled")  # type: ignore[misc]
            await redis.client_kill_filter(_id=broken)
            assert await heard(bell)
    await pool.disconnect()
    assert logged == []


async def test_a_word_that_is_lost_without_a_sign_costs_time_and_nothing_else(
    redis: Redis, accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes_module, "LOOK_AGAIN_SECONDS", 0.02)
    job = await accept()
    async with Changes(redis) as changes:
        await subscribed(redis)
        with changes.watch(job.id) as bell:
            await redis.hset(keys.job(job.id), "state", "failed")  # type: ignore[misc]
            assert await heard(bell)


async def test_a_word_for_nobody_or_of_another_form_does_no_harm(
    changes: Changes, redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await accept()
    for text in (
        "",
        "acme",
        f"acme {job.id}",
        f"acme {job.id} job.failed_too 1-1",
        "acme job_unknown job.failed",
    ):
        await redis.publish(keys.CHANGES, text)
    with changes.watch(job.id) as bell:
        await jobs.apply(job, Transition(JobEvent.CANCEL_REQUESTED))
        assert await heard(bell)
    assert changes._watched == {}


async def test_the_subscription_ends_with_the_process(redis: Redis) -> None:
    async with Changes(redis):
        await subscribed(redis)
    async with asyncio.timeout(SECONDS):
        while any(one["sub"] == "1" for one in await redis.client_list()):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_bell_tells_each_of_its_sounds_once() -> None:
    bell = Bell()
    bell.ring()
    bell.beat()
    await bell.wait()
    assert (bell.was_rung(), bell.was_beaten()) == (True, True)
    assert (bell.was_rung(), bell.was_beaten()) == (False, False)
    sleeping = asyncio.create_task(bell.wait())
    await asyncio.sleep(0)
    assert not sleeping.done()
    bell.expire()
    await asyncio.wait_for(sleeping, SECONDS)
    assert (bell.was_rung(), bell.expired) == (True, True)


async def test_a_bell_outlives_a_sleeper_that_was_cancelled() -> None:
    bell = Bell()
    sleeping = asyncio.create_task(bell.wait())
    await asyncio.sleep(0)
    sleeping.cancel()
    await asyncio.wait([sleeping])
    bell.ring()
    await asyncio.wait_for(bell.wait(), SECONDS)
