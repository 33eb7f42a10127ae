"""Redis' errors in our own words, and pools that are what they were asked to be."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import (
    BusyLoadingError,
    ConnectionError,  # noqa: A004
    DataError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004
)

from gateway.errors import ConfigurationError, StoreUnavailable
from gateway.store.base import AdmissionLimits
from gateway.store.client import connection_pool, store_errors
from gateway.store.jobs import RedisJobStore
from gateway.store.script_runner import Scripts
from tests.gateway.store.conftest import new_job


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("Error 111 connecting to redis://:hunter2@h"),
        TimeoutError("Timeout reading from socket"),
        BusyLoadingError("Redis is loading the dataset in memory"),
        ReadOnlyError("You can't write against a read only replica."),
        ResponseError("OOM command not allowed when used memory > 'maxmemory'."),
        ResponseError("MISCONF Errors writing to the AOF file: No space left on device"),
        ResponseError("MASTERDOWN Link with MASTER is down"),
        OSError("Broken pipe"),
    ],
)
def test_a_server_that_cannot_serve_just_now_is_unavailable(error: Exception) -> None:
    with pytest.raises(StoreUnavailable) as told, store_errors():
        raise error
    assert told.value.__cause__ is error
    assert "hunter2" not in str(told.value)
    assert told.value.retry_after_seconds > 0


@pytest.mark.parametrize(
    "error",
    [
        ResponseError("WRONGTYPE Operation against a key"),
        ResponseError("ERR user_script:3: attempt to call nil"),
    ],
)
def test_a_fault_of_ours_stays_what_it_is(error: RedisError) -> None:
    with pytest.raises(ResponseError), store_errors():
        raise error


def test_an_error_that_is_not_redis_s_passes_through() -> None:
    with pytest.raises(ValueError), store_errors():
        raise ValueError("ours")


def test_a_value_that_cannot_be_sent_is_not_called_an_outage() -> None:
    with pytest.raises(DataError), store_errors():
        raise DataError("Invalid input of type: 'NoneType'")


@pytest.mark.parametrize("url", ["", "127.0.0.1:6379", "http://127.0.0.1", "redis://127.0.0.1:port/0"])
def test_a_url_that_is_none_of_redis_s_names_the_setting(url: str) -> None:
    with pytest.raises(ConfigurationError, match="GATEWAY_REDIS_URL"):
        connection_pool(url, timeout_seconds=1, retries=0, connections=1)


async def test_a_script_that_the_server_does_not_know_is_sent_whole(redis: Redis) -> None:
    await redis.script_flush()
    scripts = Scripts(redis)
    for _ in range(2):
        assert await scripts.run("expired_leases", ["{gw}:lanes"], ["submit", 10]) == []


async def test_a_server_that_is_full_is_unavailable(redis: Redis, jobs: RedisJobStore) -> None:
    await redis.config_set("maxmemory", "1")
    try:
        with pytest.raises(StoreUnavailable), store_errors():
            await redis.set("name", "value")
        with pytest.raises(StoreUnavailable):
            await jobs.accept(new_job(), None, "fingerprint", AdmissionLimits(queue_max=10))
    finally:
        await redis.config_set("maxmemory", "0")


async def test_a_script_s_own_fault_is_not_called_an_outage(redis: Redis) -> None:
    with pytest.raises(ResponseError):
        await Scripts(redis).run("dispatch", ["{gw}:lanes"], ["no json"])


async def test_a_pool_decodes(redis_url: str) -> None:
    pool = connection_pool(redis_url, timeout_seconds=5, retries=0, connections=1)
    redis = Redis(connection_pool=pool)
    await redis.set("name", "ü")
    assert await redis.get("name") == "ü"
    await pool.disconnect()


async def test_a_connection_that_is_cut_as_it_is_made_is_a_lost_one(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def closed(*_: object) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    monkeypatch.setattr(AbstractConnection, "_send_packed_command", closed)
    pool = connection_pool(redis_url, timeout_seconds=1, retries=0, connections=2)
    with pytest.raises(StoreUnavailable), store_errors():
        await Redis(connection_pool=pool).ping()
    await pool.disconnect()
