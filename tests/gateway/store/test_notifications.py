"""Waiting for a job's end, and following a tenant, through one subscription, whatever happens to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from gateway.lifecycle import JobEvent
from gateway.store import keys
from gateway.store import notifications as notifications_module
from gateway.store.client import connection_pool
from gateway.store.effects import BindTask
from gateway.store.jobs import RedisJobStore
from gateway.store.notifications import Notifications, WakeSignal
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import Accept

SECONDS = 10


@pytest.fixture
async def notifications(redis: Redis) -> AsyncIterator[Notifications]:
    async with Notifications(redis) as listening:
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


async def heard(signal: WakeSignal) -> bool:
    await asyncio.wait_for(signal.wait(), SECONDS)
    return signal.was_notified()


async def test_who_waits_for_a_job_is_notified_when_it_is_final(
    notifications: Notifications, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await accept()
    with notifications.watch(job.id) as first, notifications.watch(job.id) as second:
        await jobs.apply(job, Transition(JobEvent.CANCEL_REQUESTED))
        assert await heard(first)
        assert await heard(second)


async def test_nobody_is_notified_of_another_s_job_or_of_a_transition_that_is_not_final(
    notifications: Notifications, jobs: RedisJobStore, accept: Accept
) -> None:
    job, other = await accept(), await accept()
    with notifications.watch(job.id) as mine, notifications.watch(other.id) as theirs:
        await jobs.apply(job, Transition(JobEvent.CLAIMED))
        await jobs.apply(job, Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask("t-1")]))
        await jobs.apply(other, Transition(JobEvent.CANCEL_REQUESTED))
        assert await heard(theirs)
        assert not mine.notified


async def test_who_stopped_waiting_is_forgotten(notifications: Notifications) -> None:
    with notifications.watch("job_1"), notifications.watch("job_1"):
        pass
    assert notifications._watched == {}


async def test_who_follows_a_tenant_gets_its_events_and_no_other_s(
    notifications: Notifications, accept: Accept
) -> None:
    mine, theirs = WakeSignal(), WakeSignal()
    notifications.follow("acme", mine.notify)
    notifications.follow("other", theirs.notify)
    await accept("other")
    assert await heard(theirs)
    assert not mine.notified
    notifications.unfollow("other")
    await accept("other")
    await accept("acme")
    assert await heard(mine)
    assert not theirs.notified


async def test_a_subscription_that_breaks_is_made_again_and_what_was_missed_is_found(
    notifications: Notifications,
    redis: Redis,
    jobs: RedisJobStore,
    accept: Accept,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notifications_module, "_RECONNECT_SECONDS", 0.05)
    over, waits = await accept(), await accept()
    followed = WakeSignal()
    notifications.follow("acme", followed.notify)
    with (
        capture_logs() as logged,
        notifications.watch(over.id) as ended,
        notifications.watch(waits.id) as not_yet,
        notifications.watch("job_forgotten") as gone,
    ):
        broken = await subscribed(redis)
        await redis.client_kill_filter(_id=broken)
        # Without a word, as if it had been said while nobody listened.
        await redis.hset(keys.job(over.id), "state", "canceled")  # type: ignore[misc]
        assert await heard(ended)
        assert await heard(gone)
        assert await heard(followed)
        assert not not_yet.notified
        await subscribed(redis, besides=broken)
        await jobs.apply(waits, Transition(JobEvent.CANCEL_REQUESTED))
        assert await heard(not_yet)
    assert [line["event"] for line in logged] == ["changes_subscription_lost", "changes_subscription_back"]


async def test_what_was_missed_is_found_although_the_client_mended_the_connection_by_itself(
    redis: Redis, redis_url: str, accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications_module, "CHECK_SECONDS", 3600)
    pool = connection_pool(redis_url, timeout_seconds=5, retries=3, connections=8)
    job = await accept()
    async with Notifications(Redis(connection_pool=pool)) as notifications:
        with capture_logs() as logged, notifications.watch(job.id) as signal:
            broken = await subscribed(redis)
            signal.was_notified()
            await redis.hset(keys.job(job.id), "state", "canceled")  # type: ignore[misc]
            await redis.client_kill_filter(_id=broken)
            assert await heard(signal)
    await pool.disconnect()
    assert logged == []


async def test_a_word_that_is_lost_without_a_sign_costs_time_and_nothing_else(
    redis: Redis, accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications_module, "CHECK_SECONDS", 0.02)
    job = await accept()
    async with Notifications(redis) as notifications:
        await subscribed(redis)
        with notifications.watch(job.id) as signal:
            await redis.hset(keys.job(job.id), "state", "failed")  # type: ignore[misc]
            assert await heard(signal)


async def test_a_word_for_nobody_or_of_another_form_does_no_harm(
    notifications: Notifications, redis: Redis, jobs: RedisJobStore, accept: Accept
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
    with notifications.watch(job.id) as signal:
        await jobs.apply(job, Transition(JobEvent.CANCEL_REQUESTED))
        assert await heard(signal)
    assert notifications._watched == {}


async def test_the_subscription_ends_with_the_process(redis: Redis) -> None:
    async with Notifications(redis):
        await subscribed(redis)
    async with asyncio.timeout(SECONDS):
        while any(one["sub"] == "1" for one in await redis.client_list()):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_bell_tells_each_of_its_sounds_once() -> None:
    signal = WakeSignal()
    signal.notify()
    signal.remind()
    await signal.wait()
    assert (signal.was_notified(), signal.was_reminded()) == (True, True)
    assert (signal.was_notified(), signal.was_reminded()) == (False, False)
    sleeping = asyncio.create_task(signal.wait())
    await asyncio.sleep(0)
    assert not sleeping.done()
    signal.expire()
    await asyncio.wait_for(sleeping, SECONDS)
    assert (signal.was_notified(), signal.expired) == (True, True)


async def test_a_bell_outlives_a_sleeper_that_was_cancelled() -> None:
    signal = WakeSignal()
    sleeping = asyncio.create_task(signal.wait())
    await asyncio.sleep(0)
    sleeping.cancel()
    await asyncio.wait([sleeping])
    signal.notify()
    await asyncio.wait_for(signal.wait(), SECONDS)
