"""Endpoints on the real server."""

from __future__ import annotations

from dataclasses import replace

from redis.asyncio import Redis

from gateway.endpoints import Endpoint
from gateway.events import EventType
from gateway.store import keys
from gateway.store.deliveries import RedisEndpointStore

MADE = Endpoint(
    id="ep_1",
    tenant="acme",
    url="https://a.example.com/hook?x=ü",
    events=(EventType.FAILED, EventType.COMPLETED),
    kid="k1",
    created_at=1_795_334_400_007,
    version=3,
    description="for the shop",
)


async def test_an_endpoint_is_read_as_it_was_made(endpoints: RedisEndpointStore) -> None:
    await endpoints.create(MADE)
    assert await endpoints.read("acme", "ep_1") == MADE


async def test_another_tenant_s_endpoint_is_not_there(endpoints: RedisEndpointStore) -> None:
    await endpoints.create(MADE)
    assert await endpoints.read("zeta", "ep_1") is None
    assert await endpoints.of("zeta") == []


async def test_all_of_a_tenant_s_are_listed_by_id(endpoints: RedisEndpointStore) -> None:
    for name in ("ep_3", "ep_1", "ep_2"):
        await endpoints.create(replace(MADE, id=name))
    assert [endpoint.id for endpoint in await endpoints.of("acme")] == ["ep_1", "ep_2", "ep_3"]


async def test_a_deleted_endpoint_leaves_nothing_behind(endpoints: RedisEndpointStore, redis: Redis) -> None:
    await endpoints.create(MADE)
    await endpoints.delete(MADE)
    await endpoints.delete(MADE)
    assert await endpoints.read("acme", "ep_1") is None
    assert await endpoints.of("acme") == []
    assert await redis.keys("*") == []


async def test_a_disabled_endpoint_says_when_and_why(endpoints: RedisEndpointStore) -> None:
    await endpoints.create(MADE)
    await endpoints.disable(MADE, "answered 410 Gone", 5)
    expected = replace(MADE, disabled_at=5, disabled_reason="answered 410 Gone")
    assert await endpoints.of("acme") == [expected]


async def test_an_endpoint_that_was_deleted_meanwhile_is_not_brought_back_by_disabling_it(
    endpoints: RedisEndpointStore, redis: Redis
) -> None:
    await endpoints.create(MADE)
    await endpoints.delete(MADE)
    await endpoints.disable(MADE, "answered 410 Gone", 5)
    assert await redis.keys("*") == []
    assert await endpoints.of("acme") == []


async def test_no_secret_is_stored(endpoints: RedisEndpointStore, redis: Redis) -> None:
    await endpoints.create(MADE)
    stored = await redis.hgetall(keys.endpoint("ep_1"))  # type: ignore[misc]
    assert set(stored) == {"id", "tenant", "url", "events", "kid", "version", "created_at", "description"}
