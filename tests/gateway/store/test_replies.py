"""A server that does not serve our keys is left, and counts as a store that is away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError
from structlog.testing import capture_logs

from gateway.errors import ConfigurationError, StoreUnavailable
from gateway.settings.types import Demand
from gateway.store import durability
from gateway.store.client import connection_pool, store_errors
from gateway.store.script_library import library

ELSEWHERE = [
    b"-READONLY You can't write against a read only replica.",
    b"-MOVED 11293 127.0.0.1:7001",
    b"-ASK 11293 127.0.0.1:7001",
    b"-CLUSTERDOWN The cluster is down",
    b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    b"-TRYAGAIN Multiple keys request during rehashing of slot",
    b"-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
    b"-ERR Script attempted to access a non local key in a cluster node",
]


@contextlib.asynccontextmanager
async def moving(refusal: bytes, refusing: int) -> AsyncIterator[tuple[str, list[int]]]:
    """A name behind which the first connections reach a server that refuses every GET and BLPOP. Yields its
    URL, and how many of these came in on each connection."""
    seen: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(seen)
        seen.append(0)
        while sent := await reader.read(65_536):
            asked = sent.count(b"\r\nGET\r\n") + sent.count(b"\r\nBLPOP\r\n")
            seen[number] += asked
            for _ in range(asked):
                writer.write(refusal + b"\r\n" if number < refusing else b"$2\r\nok\r\n")
            for _ in range(sent.count(b"\r\nCLIENT\r\n")):
                writer.write(b"+OK\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen
    finally:
        server.close()


@contextlib.asynccontextmanager
async def client_of(url: str, retries: int) -> AsyncIterator[Redis]:
    pool = connection_pool(url, timeout_seconds=5, retries=retries, connections=1)
    try:
        yield Redis(connection_pool=pool)
    finally:
        await pool.disconnect()


@pytest.mark.parametrize("refusal", ELSEWHERE)
async def test_the_call_is_repeated_on_a_new_connection(refusal: bytes) -> None:
    async with moving(refusal, 2) as (url, seen), client_of(url, 2) as redis:
        assert [await redis.get("name"), await redis.get("name")] == ["ok", "ok"]
        assert seen == [1, 1, 2]


@pytest.mark.parametrize("refusal", ELSEWHERE)
async def test_without_retries_the_store_is_away_and_the_connection_is_not_used_again(refusal: bytes) -> None:
    async with moving(refusal, 1) as (url, seen), client_of(url, 0) as redis:
        with pytest.raises(StoreUnavailable, match="does not serve our keys here"), store_errors():
            await redis.get("name")
        assert await redis.get("name") == "ok"
        assert seen == [1, 1]


async def test_another_error_leaves_the_connection_as_it_is(redis: Redis) -> None:
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await redis.set("name", "text")
        await redis.lpush("name", "x")  # type: ignore[misc]
    assert await redis.get("name") == "text"


@pytest.mark.parametrize(
    ("reply", "verb"),
    [
        ("Script attempted to access a non local key in a cluster node", None),
        (
            "Script attempted to access a non local key in a cluster node script: "
            f"{library().functions['record_copy']}, on @user_function:2.",
            "record_copy",
        ),
        ("Attempted to access a non local key in a cluster node script: on @user_function:2.", None),
    ],
    ids=["plain", "Redis 7", "Valkey 9"],
)
async def test_a_script_that_was_cut_off_is_reported_with_its_verb_and_the_way_out(
    reply: str, verb: str | None
) -> None:
    async with moving(b"-ERR " + reply.encode(), 1) as (url, _), client_of(url, 1) as redis:
        with capture_logs() as logged:
            await redis.get("name")
    [line] = logged
    assert (line["event"], line["log_level"]) == ("script_cut_off", "error")
    assert (line["verb"], line["reply"]) == (verb, reply)
    assert "move the slot" in line["reason"]


async def test_a_node_of_a_cluster_without_our_keys_is_refused_at_the_start(
    redis: Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def moved(*_: object) -> None:
        raise StoreUnavailable("Redis does not serve our keys here: MOVED") from ResponseError(
            "MOVED 11293 127.0.0.1:7001"
        )

    monkeypatch.setattr(durability, "_touch", moved)
    with pytest.raises(ConfigurationError, match="another node of its cluster"):
        await durability.check(redis_url, Demand("require"))
