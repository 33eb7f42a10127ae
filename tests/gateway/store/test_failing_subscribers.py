"""Subscribers whose last attempt failed: whose they are, where they are, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.dispatch import Role
from gateway.lifecycle import DeliveryEvent
from gateway.store import keys
from gateway.store.deliveries import RedisDeliveryStore
from gateway.store.effects import AuditEntry
from gateway.store.endpoints import RedisEndpointStore
from gateway.store.jobs import RedisJobStore
from gateway.store.lane_views import FailingSubscriber, RedisLaneViews
from gateway.store.lanes import Lanes
from tests.gateway.store.conftest import held
from tests.gateway.store.redelivering import ENDPOINT, Post

HOUR_MS = 3_600_000
SECRET = "https://client.example.com:8443/hooks/s3cret?token=s3cret"
ENTRY = {"url": SECRET, "outcome": "http_5xx", "status": 503}


@pytest.fixture
def views(redis: Redis) -> RedisLaneViews:
    return RedisLaneViews(redis)


@pytest.fixture
def post(
    redis: Redis, jobs: RedisJobStore, deliveries: RedisDeliveryStore, endpoints: RedisEndpointStore
) -> Post:
    return Post(redis, jobs, deliveries, endpoints)


async def attempt(post: Post, entry: dict[str, object] | None, **fields: Any) -> str:
    """One attempt of a new delivery; `entry`: of its log if it fails. Returns its lane."""
    owed = await post.owe(**fields)
    ticket = await held(post.redis, Role.DELIVER, owed.id)
    event = DeliveryEvent.ATTEMPTS_EXHAUSTED if entry else DeliveryEvent.ATTEMPT_SUCCEEDED
    made = replace(owed, attempts=1, log=[entry] if entry else [])
    await post.deliveries.finish(ticket, made, event, retry_in_ms=None, tally=[], health_ok=entry is None)
    return owed.lane


async def test_a_host_of_callback_urls_is_shown_without_what_may_be_secret(
    post: Post, views: RedisLaneViews
) -> None:
    lane = await attempt(post, ENTRY, callback_url=SECRET)
    [found] = await views.failing(10)
    assert replace(found, seconds=0) == FailingSubscriber(
        lane, "acme", "https://client.example.com:8443", "HTTP 503", seconds=0, open=False
    )


async def test_an_endpoint_is_shown_by_its_url_and_an_error_without_a_status_by_its_name(
    post: Post, views: RedisLaneViews, endpoints: RedisEndpointStore
) -> None:
    await endpoints.create(replace(ENDPOINT, url="https://all.example.com/hook?token=s3cret"), 10)
    lane = await attempt(post, {"url": "https://all.example.com/hook", "outcome": "connection_refused"})
    [found] = await views.failing(10)
    assert (found.lane, found.url) == (lane, "https://all.example.com/hook")
    assert found.error == "connection refused"


async def test_it_no_longer_fails_after_a_success_or_when_it_is_resumed(
    post: Post, views: RedisLaneViews, lanes: Lanes
) -> None:
    await attempt(post, ENTRY, callback_url=SECRET)
    await attempt(post, None, callback_url=SECRET)
    assert await views.failing(10) == []
    lane = await attempt(post, ENTRY, callback_url=SECRET)
    await lanes.resume(Role.DELIVER, lane)
    assert await views.failing(10) == []


async def test_the_time_counts_from_the_first_failure_and_the_error_is_the_last(
    post: Post, views: RedisLaneViews, redis: Redis
) -> None:
    lane = await attempt(post, ENTRY, callback_url=SECRET)
    await redis.zincrby(keys.FAILING, -600_000, lane)
    await attempt(post, {"url": SECRET, "outcome": "timeout"}, callback_url=SECRET)
    [found] = await views.failing(10)
    assert found.error == "timeout"
    assert found.seconds == pytest.approx(600, abs=30)


async def test_a_pause_by_an_operator_is_not_the_work_of_the_circuit_breaker(
    post: Post, views: RedisLaneViews, lanes: Lanes
) -> None:
    lane = await attempt(post, ENTRY, callback_url=SECRET)
    for _ in range(9):
        await attempt(post, ENTRY, callback_url=SECRET)
    assert [one.open for one in await views.failing(10)] == [True]
    [paused] = await lanes.paused(10)
    assert (paused.lane, paused.by, paused.reason) == (lane, None, None)
    audit = AuditEntry("subscriber_parked", "key1")
    await lanes.pause(Role.DELIVER, lane, None, reason="they asked", asked="1", audit=audit)
    assert [one.open for one in await views.failing(10)] == [False]
    [paused] = await lanes.paused(10)
    assert (paused.by, paused.reason) == ("key1", "they asked")


async def test_an_operator_s_pause_can_be_repeated_and_is_audited_once(lanes: Lanes, redis: Redis) -> None:
    audit = AuditEntry("subscriber_parked", "key1")
    for asked in ("1", "1", "2"):  # a repeat, and the same wish again
        await lanes.pause(Role.DELIVER, "ep_1", None, reason="x", asked=asked, audit=audit)
    assert await redis.xlen(keys.AUDIT) == 1
    for _ in range(2):
        await lanes.pause(Role.DELIVER, "ep_1", 60_000, reason="x", asked="3", audit=audit)
    assert await redis.xlen(keys.AUDIT) == 2


async def past(redis: Redis, lane: str) -> None:
    """As if the last attempt of this host of callback URLs was made hours ago."""
    await redis.delete(keys.health(lane))  # as its time to live does
    await redis.zincrby(keys.FAILING_URLS, -3 * HOUR_MS, lane)


async def test_what_is_forgotten_of_a_callback_host_is_forgotten_here_by_the_sweep(
    post: Post, views: RedisLaneViews, lanes: Lanes, redis: Redis
) -> None:
    lane = await attempt(post, ENTRY, callback_url=SECRET)
    await past(redis, lane)
    assert await views.failing(10) == []
    assert await redis.zcard(keys.FAILING) == 1
    await lanes.note_sweep()
    assert await redis.zcard(keys.FAILING) == await redis.zcard(keys.FAILING_URLS) == 0


async def test_a_callback_host_is_forgotten_behind_any_number_that_really_fail(
    post: Post, views: RedisLaneViews, lanes: Lanes, redis: Redis
) -> None:
    for number in range(100):
        await redis.zadd(keys.FAILING, {f"ep_{number}": number})
        await redis.hset(keys.health(f"ep_{number}"), "failing_since", "1")  # type: ignore[misc]
    recent = await attempt(post, ENTRY, callback_url="https://recent.example.com/hook")
    lane = await attempt(post, ENTRY, callback_url=SECRET)
    await past(redis, lane)
    await lanes.note_sweep()
    failing = await redis.zrange(keys.FAILING, 0, -1)
    assert lane not in failing
    assert recent in failing
    assert len(failing) == 101


async def test_callback_hosts_are_forgotten_once_a_minute_however_often_is_swept(
    post: Post, lanes: Lanes, redis: Redis
) -> None:
    await lanes.note_sweep()
    lane = await attempt(post, ENTRY, callback_url=SECRET)
    await past(redis, lane)
    await redis.config_resetstat()
    for _ in range(3):
        await lanes.note_sweep()
    asked = (await redis.info("commandstats")).get("cmdstat_zrangebyscore", {"calls": 0})
    assert asked["calls"] <= 1  # a minute may have ended in between
    await redis.decrby(keys.SWEPT, 60_000)
    await lanes.note_sweep()
    assert await redis.zcard(keys.FAILING) == 0


async def test_after_a_success_nothing_is_left_to_forget(post: Post, redis: Redis) -> None:
    await attempt(post, ENTRY, callback_url=SECRET)
    await attempt(post, None, callback_url=SECRET)
    assert await redis.zcard(keys.FAILING) == await redis.zcard(keys.FAILING_URLS) == 0
