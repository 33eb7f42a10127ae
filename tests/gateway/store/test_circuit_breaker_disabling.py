"""The slow end of an endpoint that always fails."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.endpoints import RedisEndpointStore
from gateway.store.lanes import Lanes
from tests.gateway.store.subscribers import DAY, HOUR, START, Subscriber, of_a_job, registered


@pytest.fixture
async def subscriber(redis: Redis, endpoints: RedisEndpointStore) -> Subscriber:
    return await registered(redis, endpoints)


@pytest.fixture
def callback_url(redis: Redis) -> Subscriber:
    return of_a_job(redis)


async def fail_for(subscriber: Subscriber, days: float, every: int = 6 * HOUR) -> None:
    """Fails now, and then again and again until so many days have passed."""
    end = subscriber.at + int(days * DAY)
    await subscriber.result(False)
    while subscriber.at < end:
        await subscriber.result(False, after=min(every, end - subscriber.at))


async def disabled(subscriber: Subscriber) -> dict[str, str]:
    found: dict[str, str] = await subscriber.redis.hgetall(keys.endpoint("ep_1"))  # type: ignore[misc]
    return {name: value for name, value in found.items() if name.startswith("disabled")}


async def test_an_endpoint_that_fails_for_five_days_is_disabled_and_not_before(
    subscriber: Subscriber,
) -> None:
    await fail_for(subscriber, 4.99)
    assert not await disabled(subscriber)
    await subscriber.result(False, after=DAY // 100)
    reason = "no attempt has succeeded for 5 days"
    assert await disabled(subscriber) == {"disabled_at": str(subscriber.at), "disabled_reason": reason}
    ops_events = (await subscriber.ops_events())[-1]
    expected = {"kind": "endpoint_disabled", "endpoint": "ep_1", "tenant": "acme", "reason": reason}
    assert expected.items() <= ops_events.items()


async def test_a_tenant_cannot_flood_the_ops_events_with_its_endpoints(
    subscriber: Subscriber, callback_url: Subscriber, endpoints: RedisEndpointStore
) -> None:
    for _ in range(100):
        await subscriber.result(False, 10)
        await callback_url.result(False, 10)
        for one in (subscriber, callback_url):
            one.at += DAY
            assert await one.tried(after=0)
            await one.result(True)
    ops_events = await subscriber.ops_events()
    for kind in ("endpoint_parked", "endpoint_recovered"):
        mine = [event for event in ops_events if event["kind"] == kind]
        assert len(mine) == 20
        assert [event for event in mine if "muted_ms" in event] == [mine[-1]]
        assert 0 < int(mine[-1]["muted_ms"]) <= HOUR
    other = replace(subscriber, tenant="zeta", lane="ep_2", endpoint="")
    await other.result(False, 10)
    assert (await subscriber.ops_events())[-1]["tenant"] == "zeta"


async def test_events_for_an_endpoint_that_was_disabled_are_held(subscriber: Subscriber) -> None:
    await fail_for(subscriber, 6)
    wish = await subscriber.redis.hget(keys.tenant_endpoints("acme"), "ep_1")  # type: ignore[misc]
    assert orjson.loads(wish) == {"events": ["job.completed"], "disabled": True}


async def test_the_lane_of_an_endpoint_that_is_disabled_goes_on_so_that_what_waits_is_held(
    subscriber: Subscriber, lanes: Lanes
) -> None:
    await subscriber.result(False, 10)
    await fail_for(subscriber, 6)
    assert await disabled(subscriber)
    assert await subscriber.paused_for() is None
    assert not await subscriber.redis.exists("{gw}:health:ep_1")


async def test_any_success_begins_the_five_days_anew(subscriber: Subscriber) -> None:
    await fail_for(subscriber, 4.9)
    await subscriber.result(True)
    await fail_for(subscriber, 4.9)
    assert not await disabled(subscriber)


async def test_two_failures_five_days_apart_and_none_between_disable_nothing(subscriber: Subscriber) -> None:
    await subscriber.result(False, 3)
    await subscriber.result(False, after=11 * HOUR)
    await subscriber.result(False, after=6 * DAY)
    assert not await disabled(subscriber)
    await subscriber.result(False)
    assert await disabled(subscriber)


async def test_the_end_is_announced_at_half_of_the_time_and_twice_more(subscriber: Subscriber) -> None:
    await fail_for(subscriber, 6, every=HOUR)
    about = [fields for fields in await subscriber.ops_events() if fields["kind"] == "endpoint_failing"]
    assert [fields["percent"] for fields in about] == ["50", "70", "90"]
    assert {fields["since"] for fields in about} == {str(START)}
    assert [(int(fields["at"]) - START) / DAY for fields in about] == pytest.approx([2.5, 3.5, 4.5], abs=0.05)


async def test_an_announcement_that_was_passed_by_is_not_made_up_for(subscriber: Subscriber) -> None:
    await subscriber.result(False)
    for _ in range(3):
        await subscriber.result(False, after=int(1.55 * DAY))
    about = [
        fields["percent"] for fields in await subscriber.ops_events() if fields["kind"] == "endpoint_failing"
    ]
    assert about == ["50", "90"]


async def test_after_a_success_the_end_is_announced_again(subscriber: Subscriber) -> None:
    for _ in range(2):
        await fail_for(subscriber, 3)
        await subscriber.result(True)
    about = [
        fields["percent"] for fields in await subscriber.ops_events() if fields["kind"] == "endpoint_failing"
    ]
    assert about == ["50", "50"]


async def test_a_job_s_own_callback_url_is_never_disabled(callback_url: Subscriber) -> None:
    await fail_for(callback_url, 20)
    assert set(await callback_url.kinds()) <= {"endpoint_parked"}


async def test_an_endpoint_that_was_deleted_meanwhile_leaves_no_breaker_behind(
    subscriber: Subscriber, endpoints: RedisEndpointStore
) -> None:
    endpoint = await endpoints.read("acme", "ep_1")
    assert endpoint
    await endpoints.delete(endpoint)
    await subscriber.result(False, 20)
    assert not await subscriber.redis.exists("{gw}:health:ep_1", "{gw}:deliver:parked")


async def test_disabling_again_keeps_the_first_time_and_reason_and_is_one_ops_event(
    subscriber: Subscriber, endpoints: RedisEndpointStore
) -> None:
    endpoint = await endpoints.read("acme", "ep_1")
    assert endpoint
    await endpoints.disable(endpoint, "answered 410 Gone", 5)
    await endpoints.disable(endpoint, "another reason", 6)
    assert await disabled(subscriber) == {"disabled_at": "5", "disabled_reason": "answered 410 Gone"}
    assert await subscriber.kinds() == ["endpoint_disabled"]


async def test_what_a_disabled_endpoint_answers_is_not_judged_any_more(
    subscriber: Subscriber, endpoints: RedisEndpointStore
) -> None:
    endpoint = await endpoints.read("acme", "ep_1")
    assert endpoint
    await endpoints.disable(endpoint, "answered 410 Gone", 5)
    await subscriber.result(False, 20)
    assert await subscriber.paused_for() is None
