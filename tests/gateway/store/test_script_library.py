"""Our functions are in Redis, whatever happens to them there."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError
from structlog.testing import capture_logs

from gateway.dispatch import CallbackLimits, Role
from gateway.errors import StoreUnavailable
from gateway.settings.types import Demand
from gateway.store import durability, function_loader, keys
from gateway.store.base import AdmissionLimits
from gateway.store.function_loader import remove_unused
from gateway.store.jobs import RedisJobStore
from gateway.store.lanes import Lanes
from gateway.store.script_library import STEM, as_script, build, library, parts, verbs
from gateway.store.script_runner import Scripts
from tests import least_rights
from tests.gateway.store.conftest import ROLES, fill, new_job
from tests.processes import machine

ASK: Any = ("expired_leases", ["{gw}:lanes"], ["submit", 10])


@pytest.fixture(autouse=True)
async def as_it_was(redis: Redis) -> AsyncIterator[None]:
    yield
    await redis.config_set("maxmemory", "0")
    await redis.function_flush()  # type: ignore[misc]


async def loaded(redis: Redis) -> set[str]:
    found = await redis.function_list(library=f"{STEM}*")  # type: ignore[misc]
    return {function_loader._name_of(one) for one in found}


async def load(redis: Redis, number: int) -> str:
    """Another version of the library; its name."""
    other = build(parts(), {"only": f"return {number}\n"})
    await redis.function_load(other.text.decode())  # type: ignore[misc]
    return other.name


def test_another_text_has_another_name() -> None:
    changed = build(parts(), {**verbs(), "release": "return 1\n"})
    assert changed.name != library().name
    assert not set(changed.functions.values()) & set(library().functions.values())


async def test_a_function_that_is_missing_is_loaded_and_called_again(redis: Redis) -> None:
    scripts = Scripts(redis)
    for _ in range(2):
        await redis.function_flush()  # type: ignore[misc]
        assert await scripts.run(*ASK) == []
    assert await loaded(redis) == {library().name}


async def test_calls_of_one_batch_that_all_miss_it_load_it_once(redis: Redis) -> None:
    await redis.function_flush()  # type: ignore[misc]
    before = (await redis.info("commandstats")).get("cmdstat_function|load", {"calls": 0})["calls"]
    scripts = Scripts(redis)
    assert await asyncio.gather(*(scripts.run(*ASK) for _ in range(20))) == [[]] * 20
    after = (await redis.info("commandstats"))["cmdstat_function|load"]["calls"]
    assert after - before <= 3  # one for each batch


async def test_a_full_redis_without_the_library_still_finishes_jobs_and_takes_no_new_ones(
    redis: Redis, scripts: Scripts, jobs: RedisJobStore
) -> None:
    await redis.function_flush()  # type: ignore[misc]
    used = (await redis.info("memory"))["used_memory"]
    await redis.config_set("maxmemory", str(used + 5_000_000))
    await fill(redis)
    await scripts.run("heartbeat", [keys.WORKERS, keys.SWEEP, keys.LEADER], ["w", "[]", "pid", 1])
    assert await redis.zcard(keys.WORKERS) == 1
    with pytest.raises(StoreUnavailable):
        await jobs.accept(new_job(), None, "fingerprint", AdmissionLimits(queue_max=10))
    assert await loaded(redis) == set()


@pytest.mark.parametrize("verb", sorted(verbs()))
async def test_every_verb_is_a_script_too(redis: Redis, verb: str) -> None:
    await redis.script_load(as_script(verb).decode())


async def test_versions_live_side_by_side_until_no_process_names_them(redis: Redis) -> None:
    await Scripts(redis).run(*ASK)
    named, unnamed = await load(redis, 1), await load(redis, 2)
    seconds, _ = await redis.time()
    await redis.zadd(keys.LIBRARIES, {named: seconds * 1000 - 60_000})
    assert not await remove_unused(redis)
    assert await loaded(redis) == {library().name, named}
    assert unnamed not in await loaded(redis)
    await redis.zadd(keys.LIBRARIES, {named: seconds * 1000 - function_loader.KEPT_MS})
    assert await remove_unused(redis)
    assert await loaded(redis) == {library().name}


async def test_a_library_of_somebody_else_stays(redis: Redis) -> None:
    other = "#!lua name=other\nredis.register_function('other_one', function() return 1 end)"
    await redis.function_load(other)  # type: ignore[misc]
    await Scripts(redis).run(*ASK)
    await remove_unused(redis)
    assert await redis.fcall("other_one", 0) == 1  # type: ignore[misc]


async def test_the_versions_of_another_database_stay(redis: Redis, redis_url: str) -> None:
    """Functions belong to the whole server."""
    await Scripts(redis).run(*ASK)
    async with Redis.from_url(redis_url, db=1, decode_responses=True) as other:
        assert await Scripts(other).run(*ASK) == []
        await remove_unused(other)
        await remove_unused(redis)
    assert await loaded(redis) == {library().name, library(1).name}


async def test_a_server_that_takes_no_library_is_logged_once_and_so_is_the_end_of_it(redis: Redis) -> None:
    await redis.function_flush()  # type: ignore[misc]
    used = (await redis.info("memory"))["used_memory"]
    await redis.config_set("maxmemory", str(used + 5_000_000))
    await fill(redis)
    scripts = Scripts(redis)
    with capture_logs() as logged:
        for _ in range(2):
            assert await scripts.run(*ASK) == []
        await redis.config_set("maxmemory", "0")
        assert await scripts.run(*ASK) == []
    assert [line["event"] for line in logged] == ["library_not_loaded", "library_loaded"]


async def test_a_user_who_may_not_remove_old_versions_is_logged(redis: Redis, redis_url: str) -> None:
    rules = ["+@all", "-function|delete"]
    execute: Any = redis.execute_command
    await execute("ACL", "SETUSER", "keeper", "on", "nopass", "~*", "&*", *rules)
    host = redis_url.replace("redis://", "redis://keeper:x@").replace("unix://", "unix://keeper:x@")
    await load(redis, 1)
    async with Redis.from_url(host, decode_responses=True) as client:
        with capture_logs() as logged:
            async with function_loader.keeping_library(Scripts(client).loader), asyncio.timeout(10):
                while not logged:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
    assert [line["event"] for line in logged] == ["old_libraries_stay"]
    await redis.acl_deluser("keeper")


async def test_a_process_names_its_version_while_it_runs(redis: Redis) -> None:
    loader = Scripts(redis).loader
    assert not loader.alone
    async with function_loader.keeping_library(loader), asyncio.timeout(10):
        while not loader.alone:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await redis.zscore(keys.LIBRARIES, library().name)
    assert await loaded(redis) == {library().name}


async def test_a_call_that_failed_leaves_nothing_to_the_next(redis: Redis, jobs: RedisJobStore) -> None:
    """A library outlives its calls: what one has counted must not be counted by the next."""
    job = new_job()
    await jobs.accept(job, None, "fingerprint", AdmissionLimits(queue_max=10))
    before = int(await redis.hget(keys.job(job.id), "bytes"))  # type: ignore[misc]
    broken = build(
        parts(),
        {
            "fails": "quotas.count_bytes(KEYS[1], 7)\nerror('halfway')\n",
            "writes": "quotas.count_bytes(KEYS[1], 0)\nreturn 1\n",
        },
    )
    await redis.function_load(broken.text.decode())  # type: ignore[misc]
    fails: Any = (broken.functions["fails"], 1, keys.job(job.id))
    writes: Any = (broken.functions["writes"], 1, keys.job(job.id))
    with pytest.raises(ResponseError, match="halfway"):
        await redis.fcall(*fails)  # type: ignore[misc]
    await redis.fcall(*writes)  # type: ignore[misc]
    assert int(await redis.hget(keys.job(job.id), "bytes")) == before + 7  # type: ignore[misc]


async def test_a_call_that_fails_halfway_writes_the_records_that_it_decided(redis: Redis) -> None:
    """It may have changed their indexes by then."""
    broken = build(parts(), {"fails": "record.create(KEYS[1], { state = 'queued' })\nredis.call('NO')\n"})
    await redis.function_load(broken.text.decode())  # type: ignore[misc]
    fails: Any = (broken.functions["fails"], 1, keys.job("job_1"))
    with pytest.raises(ResponseError, match="Unknown"):
        await redis.fcall(*fails)  # type: ignore[misc]
    assert await redis.hgetall(keys.job("job_1")) == {"state": "queued"}  # type: ignore[misc]


async def test_a_job_whose_dispatch_failed_has_a_record_and_runs_later(
    redis: Redis, jobs: RedisJobStore, lanes: Lanes
) -> None:
    other, job = new_job("aaa"), replace(new_job(), idempotency="key")
    limits = AdmissionLimits(queue_max=10)
    await redis.hset("{gw}:paused", "at", "1")  # type: ignore[misc]
    await jobs.accept(other, None, "fingerprint", limits)
    await redis.delete("{gw}:paused")
    lane = keys.lane(Role.SUBMIT, "aaa")
    await redis.rename(lane, "whole")
    await redis.set(lane, "damaged")
    with pytest.raises(ResponseError):
        await jobs.accept(job, None, "fingerprint", limits)
    again = await jobs.accept(replace(new_job(), idempotency="key"), None, "fingerprint", limits)
    assert (again.job_id, again.replayed) == (job.id, True)
    assert await jobs.read(job.id) == job
    await redis.rename("whole", lane)
    assert await lanes.dispatch() == 2


@pytest.mark.parametrize("name", sorted(parts()))
def test_only_the_part_for_it_keeps_anything_from_one_call_to_the_next(name: str) -> None:
    """At its top a part has functions and constants, and no table that its functions could fill."""
    top = re.findall(r"^local (\w+) = \{\}$", parts()[name], re.MULTILINE)
    assert top == ([name, "kept"] if name == "call" else [name])


async def test_what_the_server_lacks_is_said_in_words(redis: Redis, redis_url: str) -> None:
    assert await function_loader.fault(redis) is None
    await redis.acl_setuser(
        "reader", enabled=True, nopass=True, keys="*", categories=["+@all"], commands=["-function"]
    )
    host = redis_url.replace("redis://", "redis://reader:x@").replace("unix://", "unix://reader:x@")
    async with Redis.from_url(host, decode_responses=True) as client:
        await redis.function_flush()  # type: ignore[misc]
        assert "function|load" in (await function_loader.fault(client) or "")
    await redis.acl_deluser("reader")


async def test_the_user_of_the_shipped_file_may_do_what_we_need(redis: Redis, redis_url: str) -> None:
    [rules] = re.findall(r"^user gateway (.*)$", least_rights.users(), re.MULTILINE)
    execute: Any = redis.execute_command
    await execute("ACL", "SETUSER", "gateway", *rules.split())
    host = least_rights.as_gateway(redis_url)
    async with Redis.from_url(host, decode_responses=True) as client:
        await redis.function_flush()  # type: ignore[misc]
        await load(redis, 1)
        store = RedisJobStore(client, Scripts(client), ROLES, CallbackLimits(90_000, 30_000, 604_800_000))
        await store.accept(new_job(), None, "fingerprint", AdmissionLimits(queue_max=10))
        await remove_unused(client)
        assert await function_loader.fault(client) is None
        assert "functions" not in " ".join(await durability.faults(client, Demand("require")))
        await redis.function_flush()  # type: ignore[misc]
        await client.eval(as_script("queue_positions").decode(), 0, "[]")
    await redis.acl_deluser("gateway")


async def test_a_server_without_functions_is_named(monkeypatch: pytest.MonkeyPatch, redis: Redis) -> None:
    async def unknown(*_: object) -> None:
        raise ResponseError("unknown command 'FCALL', with args beginning with: ")

    monkeypatch.setattr(redis, "fcall", unknown)
    assert "Dragonfly" in (await function_loader.fault(redis) or "")


@pytest.mark.processes
def test_functions_outlive_a_restart_of_the_server(tmp_path: Path) -> None:
    import redis as plain

    with machine(tmp_path) as made, plain.Redis.from_url(made.url, decode_responses=True) as client:
        made.kill_valkey()  # the library is there, because a key was made
        made.start_valkey()
        assert client.fcall(library().functions["queue_positions"], 0, "[]") == []
        client.bgrewriteaof()
        while client.info("persistence")["aof_rewrite_in_progress"]:
            pass
        made.kill_valkey()
        made.start_valkey()
        with contextlib.closing(client):
            assert client.fcall(library().functions["queue_positions"], 0, "[]") == []
