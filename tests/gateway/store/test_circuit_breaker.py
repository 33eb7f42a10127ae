"""How subscribers do: the breaker of a lane."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis.asyncio import Redis

from gateway.dispatch import Role
from gateway.lifecycle import DeliveryEvent
from gateway.store import keys
from gateway.store.deliveries import RedisDeliveryStore
from gateway.store.endpoints import RedisEndpointStore
from gateway.store.lanes import Lanes
from tests.gateway.store.conftest import ROLES, held
from tests.gateway.store.lane_scripts import ENTER, caller
from tests.gateway.store.subscribers import HOUR, LIMITS, START, Subscriber, of_a_job, registered


@pytest.fixture
async def subscriber(redis: Redis, endpoints: RedisEndpointStore) -> Subscriber:
    return await registered(redis, endpoints)


@pytest.fixture
def callback_url(redis: Redis) -> Subscriber:
    return of_a_job(redis)


async def test_nine_failures_pause_nothing_and_the_tenth_does(subscriber: Subscriber) -> None:
    await subscriber.result(False, 9)
    assert await subscriber.paused_for() is None
    await subscriber.result(False)
    assert await subscriber.paused_for() == 30_000


async def test_a_lane_of_which_most_goes_well_is_not_paused(subscriber: Subscriber) -> None:
    await subscriber.result(True, 4)
    await subscriber.result(False, 9)  # 69 of a hundred
    assert await subscriber.paused_for() is None
    await subscriber.result(False)
    assert await subscriber.paused_for() == 30_000


async def test_results_of_more_than_five_minutes_ago_do_not_count(subscriber: Subscriber) -> None:
    await subscriber.result(False, 9)
    await subscriber.result(False, after=5 * 60_000)
    assert await subscriber.paused_for() is None
    await subscriber.result(False, 8, after=4 * 60_000)
    assert await subscriber.paused_for() is None
    await subscriber.result(False)
    assert await subscriber.paused_for() == 30_000


async def test_only_the_window_is_kept(subscriber: Subscriber) -> None:
    for _ in range(40):
        await subscriber.result(True, after=LIMITS.bucket_ms)
        await subscriber.result(False)
    kept = await subscriber.redis.hkeys("{gw}:health:ep_1")  # type: ignore[misc]
    assert len([name for name in kept if name.startswith("t:")]) == 10
    assert len([name for name in kept if name.startswith("f:")]) == 10


async def test_a_paused_lane_gets_an_attempt_when_its_time_has_come_and_not_before(
    subscriber: Subscriber,
) -> None:
    await subscriber.result(False, 10)
    assert not await subscriber.tried(after=29_999)
    assert await subscriber.tried(after=1)


async def test_each_attempt_that_fails_again_pauses_the_lane_for_twice_as_long(
    subscriber: Subscriber,
) -> None:
    await subscriber.result(False, 10)
    waits = []
    for _ in range(8):
        wait = await subscriber.paused_for()
        assert wait is not None
        waits.append(wait // 1000)
        assert await subscriber.tried(after=wait)
        await subscriber.result(False)
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]


async def test_a_success_closes_the_breaker_and_forgets_the_failures(subscriber: Subscriber) -> None:
    await subscriber.result(False, 10)
    assert await subscriber.tried(after=30_000)
    await subscriber.result(True)
    await subscriber.result(False, 9)
    assert await subscriber.paused_for() is None
    assert await subscriber.redis.smembers("{gw}:deliver:probing") == set()  # type: ignore[misc]
    await subscriber.result(False)
    assert await subscriber.paused_for() == 30_000  # 9 of 10 and more, and from the beginning


async def test_what_ends_while_the_lane_is_paused_changes_not_for_how_long(subscriber: Subscriber) -> None:
    await subscriber.result(False, 10)
    await subscriber.result(False, 5, after=1_000)
    await subscriber.result(True, after=1_000)
    assert await subscriber.paused_for() == 28_000
    assert await subscriber.kinds() == ["endpoint_parked"]


async def test_an_episode_is_an_ops_event_at_its_beginning_and_at_its_end(subscriber: Subscriber) -> None:
    await subscriber.result(True, 2)
    await subscriber.result(False, 8)
    for _ in range(3):
        wait = await subscriber.paused_for()
        assert wait
        await subscriber.tried(after=wait)
        await subscriber.result(False)
    wait = await subscriber.paused_for()
    assert wait
    await subscriber.tried(after=wait)
    await subscriber.result(True, 3)
    assert await subscriber.kinds() == ["endpoint_parked", "endpoint_recovered"]
    opened, _ = await subscriber.ops_events()
    about = {"lane": "ep_1", "endpoint": "ep_1", "tenant": "acme", "attempts": "10", "failed": "8"}
    assert about.items() <= opened.items()
    assert int(opened["until"]) == START + 30_000


async def test_a_job_s_own_callback_url_has_a_breaker_which_is_not_kept_for_ever(
    callback_url: Subscriber,
) -> None:
    await callback_url.result(False, 10)
    assert await callback_url.paused_for() == 30_000
    assert 0 < await callback_url.redis.pttl("{gw}:health:url-0a") <= 2 * HOUR


async def test_an_operator_who_resumes_a_lane_lets_it_begin_anew(
    subscriber: Subscriber, lanes: Lanes
) -> None:
    await subscriber.result(False, 10)
    await lanes.resume(Role.DELIVER, "ep_1")
    assert await subscriber.paused_for() is None
    await subscriber.result(False, 9)
    assert await subscriber.paused_for() is None
    assert (await lanes.health("ep_1")).failing_since == subscriber.at


async def test_the_breaker_of_a_lane_is_shown(redis: Redis, subscriber: Subscriber, lanes: Lanes) -> None:
    seconds, _ = await redis.time()
    subscriber.at = seconds * 1000
    await subscriber.result(True, 2)
    await subscriber.result(False, 3)
    found = await lanes.health("ep_1")
    assert (found.total, found.failed, found.failing_since) == (5, 3, subscriber.at)
    await subscriber.result(False, 5)
    found = await lanes.health("ep_1")
    assert (found.paused, found.paused_until, found.probing) == (True, subscriber.at + 30_000, False)
    assert await redis.type("{gw}:health:nobody") == "none"


# -- by way of the record of an attempt


async def attempt(
    redis: Redis, deliveries: RedisDeliveryStore, name: str, ok: bool | None, *, number: int = 0
) -> str:
    """What becomes of the record of an attempt at a delivery of ep_1. `number`: of another dispatch."""
    fields = {"state": "pending", "event_id": "evt_1", "event_type": "job.completed", "tenant": "acme"}
    fields |= {"job_id": "job_1", "lane": "ep_1", "created_at": "1", "endpoint_id": "ep_1"}
    await redis.hset(keys.delivery(name), mapping=fields)  # type: ignore[misc]
    await caller(redis)(ENTER, "deliver", f"ep_1|{name}", "new", 1)
    await Lanes(deliveries._scripts, ROLES).dispatch()
    ticket = await held(redis, Role.DELIVER, name)
    delivery = await deliveries.read("acme", name)
    assert delivery
    answer = await deliveries.finish(
        replace(ticket, dispatch_number=number or ticket.dispatch_number),
        delivery,
        DeliveryEvent.ATTEMPT_FAILED,
        retry_in_ms=3_600_000,
        tally=[],
        health_ok=ok,
    )
    return answer.outcome


async def test_an_attempt_that_is_recorded_is_judged_in_the_same_step(
    subscriber: Subscriber, redis: Redis, deliveries: RedisDeliveryStore, lanes: Lanes
) -> None:
    for n in range(10):
        assert not (await lanes.health("ep_1")).paused
        assert await attempt(redis, deliveries, f"dlv_{n}", False) == "repeated"
    found = await lanes.health("ep_1")
    assert (found.paused, found.failed, found.total) == (True, 10, 10)


async def test_an_attempt_that_says_nothing_of_the_subscriber_is_not_judged(
    subscriber: Subscriber, redis: Redis, deliveries: RedisDeliveryStore, lanes: Lanes
) -> None:
    assert await attempt(redis, deliveries, "dlv_1", None) == "repeated"
    assert (await lanes.health("ep_1")).total == 0


async def test_a_worker_that_lost_its_lease_has_no_say_in_how_a_subscriber_does(
    subscriber: Subscriber, redis: Redis, deliveries: RedisDeliveryStore, lanes: Lanes
) -> None:
    assert await attempt(redis, deliveries, "dlv_1", False, number=999) == "stale"
    assert (await lanes.health("ep_1")).total == 0
