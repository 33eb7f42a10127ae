"""Endpoints on the real server."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.endpoints import Endpoint, PreviousSecret
from gateway.events import EventType
from gateway.store import keys
from gateway.store.delivery_base import Written
from gateway.store.endpoints import RedisEndpointStore
from gateway.store.script_runner import Scripts

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
    await endpoints.create(MADE, 50)
    assert await endpoints.read("acme", "ep_1") == MADE


async def test_another_tenant_s_endpoint_is_not_there(endpoints: RedisEndpointStore) -> None:
    await endpoints.create(MADE, 50)
    assert await endpoints.read("zeta", "ep_1") is None
    assert await endpoints.of("zeta") == []


async def test_all_of_a_tenant_s_are_listed_by_id(endpoints: RedisEndpointStore) -> None:
    for name in ("ep_3", "ep_1", "ep_2"):
        await endpoints.create(replace(MADE, id=name), 50)
    assert [endpoint.id for endpoint in await endpoints.of("acme")] == ["ep_1", "ep_2", "ep_3"]


async def test_a_deleted_endpoint_leaves_nothing_behind(endpoints: RedisEndpointStore, redis: Redis) -> None:
    await endpoints.create(MADE, 50)
    await endpoints.delete(MADE)
    await endpoints.delete(MADE)
    assert await endpoints.read("acme", "ep_1") is None
    assert await endpoints.of("acme") == []
    assert await redis.keys("*") == []


async def test_a_disabled_endpoint_says_when_and_why(endpoints: RedisEndpointStore) -> None:
    await endpoints.create(MADE, 50)
    await endpoints.disable(MADE, "answered 410 Gone", 5)
    expected = replace(MADE, disabled_at=5, disabled_reason="answered 410 Gone")
    assert await endpoints.of("acme") == [expected]


async def test_an_endpoint_that_was_deleted_meanwhile_is_not_brought_back_by_disabling_it(
    endpoints: RedisEndpointStore, redis: Redis
) -> None:
    await endpoints.create(MADE, 50)
    await endpoints.delete(MADE)
    await endpoints.disable(MADE, "answered 410 Gone", 5)
    assert await redis.keys("*") == []
    assert await endpoints.of("acme") == []


async def test_no_secret_is_stored(endpoints: RedisEndpointStore, redis: Redis) -> None:
    await endpoints.create(MADE, 50)
    stored = await redis.hgetall(keys.endpoint("ep_1"))  # type: ignore[misc]
    named = {"id", "tenant", "url", "events", "kid", "version", "created_at", "description", "bytes"}
    assert set(stored) == named


async def test_a_change_is_written_only_over_what_it_was_made_from(endpoints: RedisEndpointStore) -> None:
    await endpoints.create(MADE, 50)
    rotated = replace(MADE, version=2)
    assert await endpoints.change(rotated, MADE) is Written.WRITTEN
    assert await endpoints.change(replace(MADE, description="late"), MADE) is Written.CHANGED
    assert await endpoints.read("acme", MADE.id) == rotated
    await endpoints.disable(rotated, "answered 410 Gone", 5)
    assert await endpoints.change(replace(rotated, url="https://b.example.com"), rotated) is Written.CHANGED
    found = await endpoints.read("acme", MADE.id)
    assert found is not None
    assert found.disabled_at == 5
    await endpoints.delete(MADE)
    assert await endpoints.change(rotated, found) is Written.MISSING


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": {"X-Team": "video"}, "schedule": (1.0, 60.5), "slots": 3},
        {"previous": (PreviousSecret("k1", 1, 99),), "version": 2, "disabled_at": 7, "disabled_reason": "x"},
        {"schedule": (), "description": "é"},
    ],
)
async def test_whatever_is_written_is_read_and_can_be_changed_back(
    endpoints: RedisEndpointStore, changes: dict[str, Any]
) -> None:
    await endpoints.create(MADE, 50)
    after = replace(MADE, **changes)
    assert await endpoints.change(after, MADE) is Written.WRITTEN
    assert await endpoints.read("acme", MADE.id) == after
    assert await endpoints.change(MADE, after) is Written.WRITTEN
    assert await endpoints.read("acme", MADE.id) == MADE


async def test_of_many_at_once_no_more_are_registered_than_allowed(endpoints: RedisEndpointStore) -> None:
    made = [replace(MADE, id=f"ep_{number}") for number in range(8)]
    written = await asyncio.gather(*(endpoints.create(one, 3) for one in made))
    assert sum(one is not None for one in written) == 3
    assert len(await endpoints.of("acme")) == 3


async def test_a_cap_of_its_own_is_known_to_dispatch_as_long_as_it_holds(
    endpoints: RedisEndpointStore, redis: Redis
) -> None:
    capped = replace(MADE, slots=3)
    await endpoints.create(capped, 50)
    assert await redis.hgetall("{gw}:deliver:caps") == {MADE.id: "3"}  # type: ignore[misc]
    await endpoints.change(MADE, capped)
    assert await redis.hgetall("{gw}:deliver:caps") == {}  # type: ignore[misc]


async def test_of_an_endpoint_that_is_forgotten_no_breaker_is_kept(
    endpoints: RedisEndpointStore, redis: Redis, scripts: Scripts
) -> None:
    await endpoints.create(MADE, 50)
    await scripts.run("pause_lane", ["{gw}:none"], ["deliver", MADE.id, "", ""])
    await redis.hset(f"{{gw}}:health:{MADE.id}", "failing_since", "1")  # type: ignore[misc]
    await endpoints.delete(MADE)
    assert await redis.keys("{gw}:*") == []


async def test_who_answered_at_an_address_of_before_does_not_disable_it(
    endpoints: RedisEndpointStore,
) -> None:
    await endpoints.create(MADE, 50)
    moved = replace(MADE, url="https://new.example.com/hook")
    assert await endpoints.change(moved, MADE) is Written.WRITTEN
    await endpoints.disable(MADE, "answered 410 Gone", 5)
    assert await endpoints.read("acme", MADE.id) == moved


async def test_a_change_whose_answer_was_lost_is_the_same_change(endpoints: RedisEndpointStore) -> None:
    await endpoints.create(MADE, 50)
    rotated = replace(MADE, version=4, previous=(PreviousSecret("k1", 3, 99),))
    assert [await endpoints.change(rotated, MADE) for _ in range(2)] == [Written.WRITTEN] * 2


async def test_an_endpoint_that_wants_nothing_harms_no_other(
    endpoints: RedisEndpointStore, redis: Redis
) -> None:
    await endpoints.create(MADE, 50)
    old = {MADE.id: '{"events":[],"disabled":false}'}
    await redis.hset(keys.tenant_endpoints("acme"), mapping=old)  # type: ignore[misc]
    other = replace(MADE, id="ep_2")
    assert await endpoints.create(other, 50)
    await endpoints.delete(other)
    assert await redis.smembers(keys.tenant_wanted("acme")) == set()  # type: ignore[misc]
