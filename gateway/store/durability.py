"""Does this Redis keep what it acknowledges? Looked at when a process starts."""

from __future__ import annotations

from typing import Any, Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from gateway.errors import ConfigurationError, StoreUnavailable
from gateway.settings import Settings
from gateway.store.client import connection_pool, store_errors

_OLDEST: Final = (7, 0)
_TIMEOUT_SECONDS: Final = 2.0
_SETTINGS: Final = {
    "appendfsync": ("always", "a power cut loses up to a second of accepted jobs and of paid submissions"),
    "maxmemory-policy": ("noeviction", "a full Redis would silently drop jobs"),
}


async def faults(redis: Redis) -> list[str]:
    """What could make it forget, in sentences; empty when nothing could. StoreUnavailable."""
    with store_errors():
        info = await redis.info()
        try:
            settings: dict[str, str] = await redis.config_get(*list[str](_SETTINGS))  # type: ignore[arg-type]
        except ResponseError:
            settings = {}
    return [*_of_server(info), *_of_settings(settings)]


def _of_server(info: dict[str, Any]) -> list[str]:
    found = []
    version = tuple(int(part) for part in str(info["redis_version"]).split(".")[:2])
    if version < _OLDEST:
        found.append(f"Redis {info['redis_version']} is too old; 7.0 is the oldest that will do")
    if info.get("role") != "master":
        found.append("it is a replica, and takes no writes")
    if not info.get("aof_enabled"):
        found.append("appendonly is no: a restart loses everything; set appendonly yes")
    elif info.get("aof_last_write_status") != "ok":
        found.append("its last write to the append-only file failed: is the disk full?")
    return found


def _of_settings(settings: dict[str, str]) -> list[str]:
    if not settings:
        return ["its settings cannot be read (CONFIG is forbidden)"]
    return [
        f"{name} is {settings.get(name)}: {harm}; set {name} {wanted}"
        for name, (wanted, harm) in _SETTINGS.items()
        if settings.get(name) != wanted
    ]


async def check(settings: Settings) -> None:
    """Once, before a process begins. ConfigurationError when Redis could forget, unless that is assumed to be
    all right. A Redis that does not answer is not judged: the process starts and waits for it."""
    log = structlog.get_logger()
    pool = connection_pool(settings.redis_url, timeout_seconds=_TIMEOUT_SECONDS, retries=0, connections=1)
    try:
        found = await faults(Redis(connection_pool=pool))
    except StoreUnavailable as error:
        log.warning("store_away_at_start", reason=str(error))
        return
    finally:
        await pool.disconnect()
    if found and settings.durability == "require":
        sentences = "\n".join(f"  - {fault}" for fault in found)
        raise ConfigurationError(
            f"GATEWAY_REDIS_URL: this Redis could lose accepted jobs:\n{sentences}\n"
            "  Mend it, or set GATEWAY_DURABILITY=assume to run all the same."
        )
    if found:
        log.warning("durability_assumed", faults=found)
