"""Lists of deliveries: newest first, by state, by lane, by job, and page by page without gap or repeat."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis.asyncio import Redis

from gateway.endpoints import Delivery
from gateway.lifecycle import DeliveryState
from gateway.store import keys
from gateway.store.deliveries import RedisDeliveryStore
from gateway.store.delivery_base import DeliveryQuery

ALL = tuple(DeliveryState)


async def put(
    redis: Redis, name: str, state: DeliveryState, at: int, lane: str = "ep_1", tenant: str = "acme"
) -> None:
    """A delivery as the scripts leave it."""
    fields = {
        "state": state,
        "event_id": "evt_1",
        "event_type": "job.completed",
        "tenant": tenant,
        "job_id": f"job_{name}",
        "lane": lane,
        "created_at": at,
    }
    await redis.hset(keys.delivery(name), mapping=fields)  # type: ignore[misc]
    await redis.zadd(keys.tenant_deliveries(tenant, state), {name: at})
    await redis.zadd(keys.lane_deliveries(lane, state), {name: at})
    await redis.sadd(keys.job_deliveries(f"job_{name}"), name)  # type: ignore[misc]


async def walk(deliveries: RedisDeliveryStore, query: DeliveryQuery) -> list[str]:
    """All pages, one after the other."""
    names: list[str] = []
    while True:
        page = await deliveries.page(query)
        assert len(page.deliveries) <= query.limit
        names += [one.id for one in page.deliveries]
        if not page.more:
            return names
        query = replace(query, after=page.deliveries[-1])


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
async def test_pages_have_no_gap_and_no_repeat_even_within_a_millisecond(
    redis: Redis, deliveries: RedisDeliveryStore, limit: int
) -> None:
    expected = []
    for number in range(12):
        state, at = ALL[number % len(ALL)], 100 + number // 4  # four of each millisecond
        await put(redis, f"dlv_{number:02}", state, at)
        expected.append((at, f"dlv_{number:02}"))
    names = await walk(deliveries, DeliveryQuery("acme", ALL, limit=limit))
    assert names == [name for _, name in sorted(expected, reverse=True)]


@pytest.mark.parametrize("limit", [1, 2, 4, 5, 20])
async def test_of_many_that_were_made_in_one_millisecond_none_is_left_out(
    redis: Redis, deliveries: RedisDeliveryStore, limit: int
) -> None:
    """As those of one event are, one for each endpoint."""
    names = [f"dlv_{job}_{endpoint}" for job in range(5) for endpoint in range(6)]
    for name in names:
        await put(redis, name, DeliveryState.DEAD, 100 + int(name.split("_")[1]))
    assert await walk(deliveries, DeliveryQuery("acme", (DeliveryState.DEAD,), limit=limit)) == names[::-1]


async def test_the_list_is_of_one_tenant_and_of_the_states_and_the_lane_that_were_asked_for(
    redis: Redis, deliveries: RedisDeliveryStore
) -> None:
    await put(redis, "dlv_dead", DeliveryState.DEAD, 1)
    await put(redis, "dlv_held", DeliveryState.HELD, 2, lane="ep_2")
    await put(redis, "dlv_sent", DeliveryState.DELIVERED, 3)
    await put(redis, "dlv_foreign", DeliveryState.DEAD, 4, lane="ep_3", tenant="zeta")
    dead = (DeliveryState.DEAD,)
    assert await walk(deliveries, DeliveryQuery("acme", dead)) == ["dlv_dead"]
    assert await walk(deliveries, DeliveryQuery("acme", ALL, lane="ep_2")) == ["dlv_held"]
    assert await walk(deliveries, DeliveryQuery("acme", dead, job_id="job_dlv_dead")) == ["dlv_dead"]
    assert await walk(deliveries, DeliveryQuery("acme", dead, job_id="job_dlv_foreign")) == []
    assert await walk(deliveries, DeliveryQuery("acme", dead, lane="ep_2", job_id="job_dlv_dead")) == []


async def test_a_delivery_is_read_by_its_tenant_only(redis: Redis, deliveries: RedisDeliveryStore) -> None:
    await put(redis, "dlv_1", DeliveryState.DEAD, 1)
    found = await deliveries.read("acme", "dlv_1")
    assert isinstance(found, Delivery)
    assert (found.id, found.state, found.trigger, found.since) == ("dlv_1", DeliveryState.DEAD, "auto", 0)
    assert await deliveries.read("zeta", "dlv_1") is None
    assert await deliveries.read("acme", "dlv_2") is None
