"""A Redis that could forget is refused at start, in words."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from gateway.embedded import valkey
from gateway.errors import ConfigurationError
from gateway.settings import Settings
from gateway.store import durability

_KEYS = f"k1:{base64.b64encode(bytes(32)).decode()}"


def settings(url: str, **more: object) -> Settings:
    values = {"redis_url": url, "secret_keys": _KEYS, "upstream_key": "k"} | more
    return Settings.model_validate(values)


@pytest.fixture
async def weakened(redis: Redis) -> AsyncIterator[Redis]:
    before = await redis.config_get("*")
    await redis.config_set("appendfsync", "everysec")
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    yield redis
    for name in ("appendfsync", "maxmemory-policy"):
        await redis.config_set(name, before[name])


async def test_every_weakness_is_told_at_once(weakened: Redis, redis_url: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        await durability.check(settings(redis_url))
    assert "appendfsync is everysec" in str(refusal.value)
    assert "maxmemory-policy is allkeys-lru" in str(refusal.value)
    assert "GATEWAY_DURABILITY=assume" in str(refusal.value)


async def test_weakness_may_be_assumed_to_be_all_right(weakened: Redis, redis_url: str) -> None:
    await durability.check(settings(redis_url, durability="assume"))


async def test_the_server_that_we_start_ourselves_has_no_faults(tmp_path: Path) -> None:
    with valkey(tmp_path) as server:
        await durability.check(settings(server.url))


async def test_a_redis_that_is_away_does_not_keep_a_process_from_starting() -> None:
    await durability.check(settings("redis://127.0.0.1:1/0"))
