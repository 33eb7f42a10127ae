"""Checks that Redis' writes are durable: when a process starts, and for /readyz and /metrics."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from gateway.errors import ConfigurationError, StoreUnavailable
from gateway.store import function_loader, record_format
from gateway.store.client import connection_pool, store_errors

_OLDEST: Final = (7, 0)
_TIMEOUT_SECONDS: Final = 2.0
_RETRY_SECONDS: Final = 1.0
_SETTINGS: Final = {
    "appendfsync": ("always", "a power cut loses up to a second of accepted jobs and of paid submissions"),
    "maxmemory-policy": ("noeviction", "a full Redis would silently drop jobs"),
}
_SNAPSHOT: Final = ("save", "stop-writes-on-bgsave-error")


async def faults(redis: Redis) -> list[str]:
    """What could make Redis lose acknowledged writes, in sentences; empty if nothing. Raises
    StoreUnavailable."""
    with store_errors():
        try:
            info = await redis.info()
        except NoPermissionError:
            return ["its state cannot be read (INFO is forbidden)"]
    if info.get("loading"):  # its facts about the append-only file are not right yet
        raise StoreUnavailable("Redis is loading its data")
    with store_errors():
        try:
            names: list[str] = [*_SETTINGS, *_SNAPSHOT]
            settings: dict[str, str] = await redis.config_get(*names)  # type: ignore[arg-type]
        except ResponseError:
            settings = {}
    return [*_of_server(info), *_of_settings(settings), *_of_snapshots(info, settings)]


def _of_server(info: dict[str, Any]) -> list[str]:
    found = []
    version = tuple(int(part) for part in str(info["redis_version"]).split(".")[:2])
    if version < _OLDEST:
        found.append(f"Redis {info['redis_version']} is too old; 7.0 is the oldest supported version")
    if info.get("role") != "master":
        found.append("it is a replica, and takes no writes")
    if not info.get("aof_enabled"):
        found.append("appendonly is no: a restart loses everything; set appendonly yes")
    elif info.get("aof_last_write_status") != "ok":
        found.append("its last write to the append-only file failed: is the disk full?")
    if info.get("maxmemory") == 0:
        found.append(
            "maxmemory is 0: Redis grows until the kernel kills it; set maxmemory to half of its memory"
        )
    return found


def _of_settings(settings: dict[str, str]) -> list[str]:
    if not settings:
        return ["its settings cannot be read (CONFIG is forbidden)"]
    return [
        f"{name} is {settings.get(name)}: {harm}; set {name} {wanted}"
        for name, (wanted, harm) in _SETTINGS.items()
        if settings.get(name) != wanted
    ]


def _of_snapshots(info: dict[str, Any], settings: dict[str, str]) -> list[str]:
    if info.get("rdb_last_bgsave_status") == "ok" or not settings.get("save"):
        return []
    if settings.get("stop-writes-on-bgsave-error") != "yes":
        return []
    return ["its last snapshot failed, and it takes no writes until one succeeds: is the disk full?"]


async def check(url: str, durability: str) -> None:
    """Checks once, before the gateway starts. Raises ConfigurationError when Redis could lose writes (unless
    `durability` is "assume"), cannot run our functions, or refuses us. A Redis that does not answer is left
    to /readyz."""
    try:
        await _judge(url, durability)
    except StoreUnavailable as error:
        structlog.get_logger().warning("store_away_at_start", reason=str(error))


async def check_when_there(url: str, durability: str, stop: asyncio.Event) -> None:
    """The same for a process that can do nothing without Redis: waits for Redis until `stop` is set."""
    log = structlog.get_logger()
    waited = False
    while not stop.is_set():
        try:
            await _judge(url, durability)
        except StoreUnavailable as error:
            if not waited:
                log.warning("store_away_at_start", reason=str(error))
            waited = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_SECONDS):
                    await stop.wait()
            continue
        if waited:
            log.info("store_back")
        return


async def _judge(url: str, durability: str) -> None:
    lacking, found = await _faults_at(url)
    if lacking:
        raise ConfigurationError(f"GATEWAY_REDIS_URL: {lacking}")
    if found and durability == "require":
        sentences = "\n".join(f"  - {fault}" for fault in found)
        raise ConfigurationError(
            f"GATEWAY_REDIS_URL: this Redis could lose accepted jobs:\n{sentences}\n"
            "  Fix it, or set GATEWAY_DURABILITY=assume to run anyway."
        )
    if found:
        structlog.get_logger().warning("durability_assumed", faults=found)


async def _faults_at(url: str) -> tuple[str | None, list[str]]:
    """Why the server cannot run our functions, if it cannot; and how it could lose writes."""
    pool = connection_pool(url, timeout_seconds=_TIMEOUT_SECONDS, retries=0, connections=1)
    try:
        redis = Redis(connection_pool=pool)
        found = await faults(redis)
        await record_format.refuse_newer(redis)  # in a cluster, only the node that has our keys answers
        try:
            with store_errors():
                return await function_loader.fault(redis), found
        except StoreUnavailable:
            if found:  # such as a replica, which takes no library
                return None, found
            raise
    except StoreUnavailable as error:
        if refusal := _refusal(error):
            raise ConfigurationError(f"GATEWAY_REDIS_URL: {refusal}") from None
        raise
    finally:
        await pool.disconnect()


def _refusal(error: BaseException) -> str | None:
    """The cause if waiting cannot fix it. redis-py wraps errors while connecting, so this checks the
    chain."""
    cause = error.__cause__
    while cause is not None:
        if isinstance(cause, AuthenticationError):
            return "Redis wants another user name or password"
        if isinstance(cause, ResponseError) and "DB index" in str(cause):
            return "Redis has no database with this number"
        if (reply := str(cause)).startswith("MOVED"):
            return f"another node of its cluster has our keys ({reply}); name the node that has them"
        cause = cause.__cause__
    return None
