"""Checks that Redis' writes are durable: when a process starts, and for /readyz and /metrics."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final, NamedTuple

import structlog
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from gateway.errors import ConfigurationError, StoreUnavailable
from gateway.settings.types import Demand
from gateway.store import function_loader, record_format
from gateway.store.client import connection_pool, store_errors
from gateway.store.refusals import explained, refusal

_OLDEST: Final = (7, 0)
_TIMEOUT_SECONDS: Final = 2.0
_RETRY_SECONDS: Final = 1.0
_APPENDFSYNC: Final = "a power cut loses up to a second of accepted jobs and of paid submissions"
_NO_CONFIG: Final = (
    "its settings cannot be read (CONFIG is forbidden); if its service guarantees that acknowledged writes "
    "survive, set GATEWAY_DURABILITY=managed"
)
_FAILOVER: Final = (
    "its replicas get writes a moment later, so a failover loses acknowledged ones; "
    "set GATEWAY_DURABILITY=replicated"
)
_SETTINGS: Final = ("appendfsync", "maxmemory-policy", "save", "stop-writes-on-bgsave-error")


class _Fault(NamedTuple):
    """`always`: no demand makes it acceptable. `passing`: waiting may mend it."""

    text: str
    always: bool = False
    passing: bool = False


async def faults(redis: Redis, demand: Demand) -> list[str]:
    """What could make Redis lose acknowledged writes, in sentences; empty if nothing. Raises
    StoreUnavailable."""
    return [fault.text for fault in await _faults(redis, demand)]


async def refusals(redis: Redis, demand: Demand) -> list[str]:
    """Those that the demand does not accept."""
    return [fault.text for fault in await _faults(redis, demand) if _is_refused(fault, demand)]


def _is_refused(fault: _Fault, demand: Demand) -> bool:
    return demand.mode != "assume" or fault.always


async def _faults(redis: Redis, demand: Demand) -> list[_Fault]:
    with store_errors():
        try:
            info = await redis.info()
        except NoPermissionError:
            return [_Fault("its state cannot be read (INFO is forbidden)")]
    if info.get("loading"):  # its facts about the append-only file are not right yet
        raise StoreUnavailable("Redis is loading its data")
    settings: dict[str, str] = {}
    if demand.mode != "managed":  # such services forbid CONFIG, and keep writes in their own way
        with store_errors(), contextlib.suppress(ResponseError):
            settings = await redis.config_get(*_SETTINGS)  # type: ignore[arg-type]
    found = [*_of_server(info), *_of_eviction(info, settings)]
    if demand.mode != "managed":
        found += [*_of_disk(info), *_of_settings(settings), *_of_snapshots(info, settings)]
    return found + _of_replicas(info, demand)


def _of_server(info: dict[str, Any]) -> list[_Fault]:
    found = []
    version = tuple(int(part) for part in str(info["redis_version"]).split(".")[:2])
    if version < _OLDEST:
        text = f"Redis {info['redis_version']} is too old; 7.0 is the oldest supported version"
        found.append(_Fault(text))
    if info.get("role") != "master":
        found.append(_Fault("it is a replica, and takes no writes", always=True))
    return found


def _of_eviction(info: dict[str, Any], settings: dict[str, str]) -> list[_Fault]:
    policy = info.get("maxmemory_policy", settings.get("maxmemory-policy"))
    if policy is None:
        return [
            _Fault("it does not say what it does when it is full; its maxmemory-policy must be noeviction")
        ]
    if policy != "noeviction":
        text = f"maxmemory-policy is {policy}: a full Redis would silently drop jobs"
        return [_Fault(f"{text}; set maxmemory-policy noeviction", always=True)]
    return []


def _of_disk(info: dict[str, Any]) -> list[_Fault]:
    found = []
    if not info.get("aof_enabled"):
        found.append(_Fault("appendonly is no: a restart loses everything; set appendonly yes"))
    elif info.get("aof_last_write_status") != "ok":
        found.append(_Fault("its last write to the append-only file failed: is the disk full?"))
    if info.get("maxmemory") == 0:
        text = "maxmemory is 0: Redis grows until the kernel kills it; set maxmemory to half of its memory"
        found.append(_Fault(text))
    return found


def _of_settings(settings: dict[str, str]) -> list[_Fault]:
    if not settings:
        return [_Fault(_NO_CONFIG)]
    if (value := settings.get("appendfsync")) != "always":
        return [_Fault(f"appendfsync is {value}: {_APPENDFSYNC}; set appendfsync always")]
    return []


def _of_snapshots(info: dict[str, Any], settings: dict[str, str]) -> list[_Fault]:
    if info.get("rdb_last_bgsave_status") == "ok" or not settings.get("save"):
        return []
    if settings.get("stop-writes-on-bgsave-error") != "yes":
        return []
    text = "its last snapshot failed, and it takes no writes until one succeeds: is the disk full?"
    return [_Fault(text)]


def _of_replicas(info: dict[str, Any], demand: Demand) -> list[_Fault]:
    connected = int(info.get("connected_slaves", 0))
    if demand.mode == "replicated" and connected < demand.acknowledgements:
        text = (
            f"{connected} replicas are connected, and {demand.acknowledgements} must acknowledge each write"
        )
        return [_Fault(f"{text}; start them, or lower GATEWAY_REPLICAS_ACK", passing=True)]
    if demand.mode == "require" and demand.replicated:
        return [_Fault(_FAILOVER)]
    return []


async def check(url: str, demand: Demand) -> None:
    """Checks once, before the gateway starts. Raises ConfigurationError when Redis could lose writes (if only
    a failure could, "assume" accepts it), cannot run our functions, or refuses us. A Redis that does not
    answer, or whose replicas do not, is left to /readyz."""
    try:
        await _judge(url, demand)
    except StoreUnavailable as error:
        structlog.get_logger().warning("store_away_at_start", reason=str(error))


async def check_when_there(url: str, demand: Demand, stop: asyncio.Event) -> None:
    """The same for a process that can do nothing without Redis: waits for Redis until `stop` is set."""
    log = structlog.get_logger()
    waited = False
    while not stop.is_set():
        try:
            await _judge(url, demand)
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


async def _judge(url: str, demand: Demand) -> None:
    unable, found = await _faults_at(url, demand)
    if unable:
        raise ConfigurationError(f"GATEWAY_REDIS_URL: {unable}")
    if found and all(fault.passing for fault in found):
        raise StoreUnavailable(f"this Redis takes no write yet: {'; '.join(fault.text for fault in found)}")
    if fatal := [fault.text for fault in found if _is_refused(fault, demand)]:
        sentences = "\n".join(f"  - {text}" for text in fatal)
        way_out = "" if demand.mode == "assume" else ", or set GATEWAY_DURABILITY=assume to run anyway"
        raise ConfigurationError(
            f"GATEWAY_REDIS_URL: this Redis could lose accepted jobs:\n{sentences}\n  Fix it{way_out}."
        )
    if found:
        structlog.get_logger().warning("durability_assumed", faults=[fault.text for fault in found])


async def _faults_at(url: str, demand: Demand) -> tuple[str | None, list[_Fault]]:
    """Why the server cannot run our functions, if it cannot; and how it could lose writes."""
    pool = connection_pool(url, timeout_seconds=_TIMEOUT_SECONDS, retries=0, connections=1)
    try:
        redis = Redis(connection_pool=pool)
        found = await _faults(redis, demand)
        await record_format.refuse_newer(redis)  # in a cluster, only the node that has our keys answers
        try:
            with store_errors():
                return await function_loader.fault(redis), found
        except StoreUnavailable:
            if found:  # such as a replica, which takes no library
                return None, found
            raise
    except StoreUnavailable as error:
        if reason := refusal(await explained(error, pool)):
            raise ConfigurationError(f"GATEWAY_REDIS_URL: {reason}") from None
        raise
    finally:
        await pool.disconnect()
