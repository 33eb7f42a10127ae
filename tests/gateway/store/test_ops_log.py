"""What operators did and should know, and what is kept in quarantine, on the real server."""

from __future__ import annotations

import time

import pytest
from redis.asyncio import Redis

from gateway.lifecycle import OnUnknown
from gateway.store import keys
from gateway.store.accounts import RedisAccounts
from gateway.store.client_keys import RedisKeyStore
from gateway.store.ops_log import SHOWN_BYTES, RedisOpsLog
from gateway.store.script_runner import Scripts
from gateway.store.tenants import RedisTenants
from gateway.tenants import Key, Scope

KEY = Key("0a0b0c", "acme", frozenset({Scope.JOBS_READ}), "digest", "test", 1)


@pytest.fixture
def client_keys(redis: Redis, scripts: Scripts) -> RedisKeyStore:
    return RedisKeyStore(redis, scripts, time.monotonic)


async def test_events_are_read_page_by_page(redis: Redis, ops_log: RedisOpsLog) -> None:
    for at in range(5):
        await redis.xadd(keys.OPS_EVENTS, {"kind": "noted", "number": str(at), "empty": ""})
    first = await ops_log.events(None, 3)
    assert [row["number"] for row in first.rows] == ["0", "1", "2"]
    assert first.more
    assert "empty" not in first.rows[0]
    rest = await ops_log.events(first.rows[-1]["id"], 3)
    assert [row["number"] for row in rest.rows] == ["3", "4"]
    assert not rest.more


async def test_raw_bytes_in_quarantine_are_shown_as_text_and_cut(redis: Redis, ops_log: RedisOpsLog) -> None:
    for raw in (b'{"id": \xff\x00 "caf\xc3\xa9"', b"x" * 5000, b""):
        fields: dict[str, str | bytes] = {"at": "7", "why": "unreadable", "job": "job_1", "raw": raw}
        await redis.xadd(keys.QUARANTINE, fields)  # type: ignore[arg-type]
    rows = (await ops_log.quarantine(None, 10)).rows
    assert rows[0]["raw"] == '{"id": \\xff\x00 "café"'
    assert rows[1]["raw"] == "x" * SHOWN_BYTES
    assert "raw" not in rows[2]
    assert {row["why"] for row in rows} == {"unreadable"}
    later = await ops_log.quarantine(rows[0]["id"], 1)
    assert (later.rows[0]["id"], later.more) == (rows[1]["id"], True)


async def test_a_full_redis_still_takes_an_operator_s_word(
    redis: Redis, accounts: RedisAccounts, client_keys: RedisKeyStore, tenants: RedisTenants
) -> None:
    before = (await redis.config_get("maxmemory"))["maxmemory"]
    await redis.config_set("maxmemory", "1")
    try:
        await accounts.pause("full", "key1")
        await client_keys.add(KEY, by="key1")
        await client_keys.revoke(KEY.id, 7, by="key1")
        await tenants.change("acme", {"on_unknown": OnUnknown.HOLD}, "key1")
    finally:
        await redis.config_set("maxmemory", before)
    assert await redis.xlen(keys.OPS_EVENTS) == 4
    assert (await tenants.read("acme")).on_unknown is OnUnknown.HOLD
