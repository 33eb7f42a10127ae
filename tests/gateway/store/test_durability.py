"""A Redis that could forget is refused at start, in words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from gateway.errors import ConfigurationError, StoreUnavailable
from gateway.local.valkey import prepared, valkey
from gateway.settings.types import Demand
from gateway.store import durability
from gateway.store.client import connection_pool


@pytest.fixture
async def weakened(redis: Redis) -> AsyncIterator[Redis]:
    before = await redis.config_get("*")
    await redis.config_set("appendfsync", "everysec")
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    await redis.config_set("maxmemory", 0)
    yield redis
    for name in ("appendfsync", "maxmemory-policy", "maxmemory"):
        await redis.config_set(name, before[name])


async def test_every_weakness_is_named_at_once(weakened: Redis, redis_url: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        await durability.check(redis_url, Demand("require"))
    assert "appendfsync is everysec" in str(refusal.value)
    assert "maxmemory-policy is allkeys-lru" in str(refusal.value)
    assert "maxmemory is 0: Redis grows until the kernel kills it" in str(refusal.value)
    assert "GATEWAY_DURABILITY=assume" in str(refusal.value)


async def test_weakness_may_be_assumed_to_be_all_right(weakened: Redis, redis_url: str) -> None:
    await weakened.config_set("maxmemory-policy", "noeviction")
    with capture_logs() as logged:
        await durability.check(redis_url, Demand("assume"))
    [line] = logged
    assert line["event"] == "durability_assumed"
    assert any("appendfsync is everysec" in fault for fault in line["faults"])


async def test_what_drops_jobs_when_it_is_full_is_never_all_right(weakened: Redis, redis_url: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        await durability.check(redis_url, Demand("assume"))
    assert "maxmemory-policy is allkeys-lru" in str(refusal.value)
    assert "appendfsync" not in str(refusal.value)
    assert "assume" not in str(refusal.value)


async def test_a_managed_store_is_asked_for_eviction_but_not_for_its_disk(
    weakened: Redis, redis_url: str
) -> None:
    with pytest.raises(ConfigurationError, match="maxmemory-policy is allkeys-lru"):
        await durability.check(redis_url, Demand("managed"))
    await weakened.config_set("maxmemory-policy", "noeviction")
    assert await durability.faults(weakened, Demand("managed")) == []


async def test_a_store_that_forbids_config_is_told_of_the_managed_mode(redis: Redis, redis_url: str) -> None:
    await redis.acl_setuser("reader", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-config"])
    client = Redis.from_url(redis_url, username="reader", password="x", decode_responses=True)
    [fault] = [one for one in await durability.faults(client, Demand("require")) if "CONFIG" in one]
    assert "CONFIG is forbidden" in fault
    assert "GATEWAY_DURABILITY=managed" in fault
    assert await durability.faults(client, Demand("managed")) == []
    await client.aclose()
    await redis.acl_deluser("reader")


async def test_snapshots_that_fail_and_stop_all_writes_are_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with valkey(data, "--dbfilename", "dump.rdb") as server:
        pool = connection_pool(server.url, timeout_seconds=5, retries=0, connections=2)
        redis = Redis(connection_pool=pool)
        (data / "dump.rdb").mkdir()  # what is in the way of the snapshot's last step
        await redis.bgsave()
        async with asyncio.timeout(10):
            while (await redis.info("persistence"))["rdb_last_bgsave_status"] == "ok":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (
            await durability.faults(redis, Demand("require")) == []
        )  # nobody asked for snapshots, and nothing stops
        await redis.config_set("save", "3600 1")
        [fault] = await durability.faults(redis, Demand("require"))
        assert "its last snapshot failed, and it takes no writes" in fault
        await redis.config_set("stop-writes-on-bgsave-error", "no")
        assert await durability.faults(redis, Demand("require")) == []
        await redis.config_set("save", "")  # or it would not stop without a snapshot
        await pool.disconnect()


async def test_the_server_that_we_start_ourselves_has_no_faults(tmp_path: Path) -> None:
    with valkey(tmp_path) as server:
        await durability.check(server.url, Demand("require"))


async def test_a_redis_that_is_away_does_not_keep_a_process_from_starting() -> None:
    await durability.check("redis://127.0.0.1:1/0", Demand("require"))


async def test_a_password_that_redis_refuses_is_a_wrong_setting_and_is_not_shown(redis_url: str) -> None:
    url = redis_url.replace("unix://", "unix://:a-wrong-secret@")
    with pytest.raises(ConfigurationError, match="GATEWAY_REDIS_URL") as refusal:
        await durability.check(url, Demand("require"))
    assert "a-wrong-secret" not in str(refusal.value)


async def test_a_database_that_redis_does_not_have_is_a_wrong_setting(redis_url: str) -> None:
    with pytest.raises(ConfigurationError, match="GATEWAY_REDIS_URL"):
        await durability.check(f"{redis_url}?db=9999", Demand("require"))


async def test_a_process_that_needs_redis_waits_for_it_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durability, "_RETRY_SECONDS", 0.01)
    with capture_logs() as logged, prepared(tmp_path, tmp_path / "log") as (server, url):
        waiting = asyncio.create_task(durability.check_when_there(url, Demand("require"), asyncio.Event()))
        async with asyncio.timeout(10):
            while not logged:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        server.start()
        try:
            await asyncio.wait_for(waiting, 10)
        finally:
            server.stop()
    assert [line["event"] for line in logged] == ["store_away_at_start", "store_back"]


async def test_a_redis_that_could_forget_is_refused_also_when_it_was_waited_for(
    weakened: Redis, redis_url: str
) -> None:
    with pytest.raises(ConfigurationError):
        await durability.check_when_there(redis_url, Demand("require"), asyncio.Event())


async def test_who_is_asked_to_stop_waits_no_longer() -> None:
    stop = asyncio.Event()
    waiting = asyncio.create_task(
        durability.check_when_there("redis://127.0.0.1:1/0", Demand("require"), stop)
    )
    stop.set()
    await asyncio.wait_for(waiting, 10)


async def test_a_server_that_is_still_loading_is_not_judged(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def info(*_: object) -> dict[str, object]:
        return {"loading": 1, "aof_enabled": 0, "redis_version": "7.0.15", "role": "master"}

    monkeypatch.setattr(redis, "info", info)
    with pytest.raises(StoreUnavailable, match="loading"):
        await durability.faults(redis, Demand("require"))
