"""Client keys on the real server, and the short memory in front of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.client_keys import REMEMBERED_SECONDS, RedisKeyStore
from gateway.store.script_runner import Scripts
from gateway.tenants import CLIENT_SCOPES, Key, Scope, digest_of

MADE = Key("0a0b0c", "acme", frozenset(CLIENT_SCOPES), digest_of("secret"), "ci", 1_795_334_400_007)


@dataclass(slots=True)
class Clock:
    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(redis: Redis, scripts: Scripts, clock: Clock) -> RedisKeyStore:
    return RedisKeyStore(redis, scripts, clock)


async def test_a_key_is_found_as_it_was_added(store: RedisKeyStore) -> None:
    await store.add(MADE, by="test")
    assert await store.find("0a0b0c") == MADE
    assert await store.all() == [MADE]


async def test_a_key_that_is_added_again_is_as_it_became_since(store: RedisKeyStore, redis: Redis) -> None:
    """A script whose answer was lost runs twice."""
    old = replace(MADE, id="0d0e0f")
    made = replace(MADE, replaces=old.id)
    await store.add(old, by="test")
    await store.add(made, until=1_795_334_500_007, by="test")
    await store.revoke(made.id, 7, by="key1")
    await redis.hset(keys.client_key(old.id), "expires_at", "8")  # type: ignore[misc]
    before = {name: await redis.dump(name) for name in await redis.keys("*")}
    await store.add(made, until=1_795_334_500_007, by="test")
    assert {name: await redis.dump(name) for name in await redis.keys("*")} == before


async def test_a_rotation_lists_the_new_key_and_ends_the_old_one_in_one_step(
    store: RedisKeyStore, redis: Redis
) -> None:
    old, made = replace(MADE, id="0d0e0f"), replace(MADE, replaces="0d0e0f", expires_at=1_795_334_600_007)
    await store.add(old, by="test")
    await store.add(made, until=1_795_334_500_007, by="test")
    assert await store.of_tenant("acme") == [made, replace(old, expires_at=1_795_334_500_007)]
    assert await redis.zrange(keys.TENANTS, 0, -1) == ["acme"]


async def test_a_key_without_scopes_is_kept_too(store: RedisKeyStore) -> None:
    bare = replace(MADE, scopes=frozenset())
    await store.add(bare, by="test")
    assert await store.find("0a0b0c") == bare


async def test_an_unknown_key_is_none_and_is_not_remembered_as_such(store: RedisKeyStore) -> None:
    assert await store.find("0a0b0c") is None
    await store.add(MADE, by="test")
    assert await store.find("0a0b0c") == MADE


async def test_a_key_costs_one_read_of_redis_in_five_seconds(
    store: RedisKeyStore, redis: Redis, clock: Clock
) -> None:
    await store.add(MADE, by="test")
    await store.find("0a0b0c")
    await redis.hset(keys.client_key("0a0b0c"), "tenant", "zeta")  # type: ignore[misc]
    clock.seconds += REMEMBERED_SECONDS - 0.1
    assert await store.find("0a0b0c") == MADE
    clock.seconds += 0.2
    assert await store.find("0a0b0c") == replace(MADE, tenant="zeta")


async def test_a_revoked_key_is_refused_at_once_where_it_was_revoked(store: RedisKeyStore) -> None:
    await store.add(MADE, by="test")
    await store.find("0a0b0c")
    assert await store.revoke("0a0b0c", 7, by="key1")
    found = await store.find("0a0b0c")
    assert found is not None
    assert found.revoked_at == 7
    assert not found.matches("secret")


async def test_a_key_revoked_elsewhere_is_refused_within_five_seconds(
    store: RedisKeyStore, redis: Redis, scripts: Scripts, clock: Clock
) -> None:
    await store.add(MADE, by="test")
    await store.find("0a0b0c")
    await RedisKeyStore(redis, scripts, clock).revoke("0a0b0c", 7, by="key1")
    clock.seconds += REMEMBERED_SECONDS
    found = await store.find("0a0b0c")
    assert found is not None
    assert found.revoked_at == 7


async def test_a_second_revocation_does_not_change_when_it_was(store: RedisKeyStore) -> None:
    await store.add(MADE, by="test")
    await store.revoke("0a0b0c", 7, by="key1")
    await store.revoke("0a0b0c", 8, by="key1")
    [found] = await store.all()
    assert found.revoked_at == 7


async def test_a_key_that_does_not_exist_cannot_be_revoked(store: RedisKeyStore, redis: Redis) -> None:
    assert not await store.revoke("0a0b0c", 7, by="key1")
    assert await redis.keys("*") == []


async def test_keys_are_listed_by_id(store: RedisKeyStore) -> None:
    for name in ("0c", "0a", "0b"):
        await store.add(replace(MADE, id=name, scopes=frozenset({Scope.OPS_READ})), by="test")
    assert [key.id for key in await store.all()] == ["0a", "0b", "0c"]


async def test_redis_never_holds_a_secret(store: RedisKeyStore, redis: Redis) -> None:
    await store.add(MADE, by="test")
    stored = await redis.hgetall(keys.client_key("0a0b0c"))  # type: ignore[misc]
    assert "secret" not in stored.values()
