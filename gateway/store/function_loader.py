"""Loads our library of functions into Redis when it is missing, and removes versions that nobody uses.

Redis replicates and persists functions. One may still be missing: after FUNCTION FLUSH, on another server
behind the same address, or because another process removed the version.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, OutOfMemoryError, RedisError, ResponseError

from gateway.background import cancel_all
from gateway.store import keys
from gateway.store.script_library import STEM, library

#: How often a process says which version it uses, and how long a version is kept without that.
NAMED_EVERY_SECONDS: Final = 60.0
KEPT_MS: Final = 600_000
_MISSING: Final = "Function not found"
_NONE: Final = "it has no functions: use Redis 7, Valkey 8 or newer (Dragonfly and KeyDB have none)"
_FORBIDDEN: Final = (
    "its user may not use functions: allow fcall, function|load, function|list, function|delete, and eval"
)


def is_missing(error: ResponseError) -> bool:
    """Whether the server does not have the function."""
    return str(error).startswith(_MISSING)


class FunctionLoader:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._loading: asyncio.Task[bool] | None = None

    async def load(self) -> bool:
        """Loads the library; calls at the same time share one load. False if the server does not take it,
        because it is full or forbids it. Raises redis' errors when it does not answer."""
        if self._loading is None or self._loading.done():
            self._loading = asyncio.create_task(_load(self._redis))
        return await asyncio.shield(self._loading)


async def _load(redis: Redis) -> bool:
    try:
        await redis.function_load(library().text.decode())  # type: ignore[misc]
    except (
        OutOfMemoryError
    ):  # FUNCTION LOAD is refused when memory is full, whatever flags the functions have
        return False
    except ResponseError as error:
        if "already exists" in str(error):
            return True
        structlog.get_logger().warning("library_not_loaded", reason=str(error))
        return False
    return True


async def fault(redis: Redis) -> str | None:
    """Why this server cannot run our functions, in a sentence; None if it can. Loads the library. Raises
    redis' errors when the server does not answer."""
    probe: Any = (library().functions["queue_positions"], 0, "[]")
    try:
        try:
            await redis.fcall(*probe)  # type: ignore[misc]
        except ResponseError as error:
            if not is_missing(error):
                raise
            await redis.function_load(library().text.decode())  # type: ignore[misc]
    except OutOfMemoryError:
        return None  # it runs scripts instead, until there is room
    except NoPermissionError:
        return _FORBIDDEN
    except ResponseError as error:
        if "already exists" in str(error):
            return None
        if "unknown command" in str(error).lower():
            return _NONE
        raise
    return None


@contextlib.asynccontextmanager
async def keeping_library(redis: Redis) -> AsyncIterator[None]:
    """While this runs, no other process removes our version; versions that no process uses are removed."""
    task = asyncio.create_task(_keep(redis), name="library")
    try:
        yield
    finally:
        await cancel_all(task)


async def _keep(redis: Redis) -> None:
    loader = FunctionLoader(redis)
    while True:
        with contextlib.suppress(RedisError, OSError):  # other tasks log when Redis is away
            if await loader.load():
                await remove_unused(redis)
        await asyncio.sleep(NAMED_EVERY_SECONDS)


async def remove_unused(redis: Redis) -> None:
    """Says that our version is in use, and removes those of which no process has said so lately."""
    naming: Any = (library().functions["note_library"], 1, keys.LIBRARIES, library().name, KEPT_MS)
    used: list[str] = await redis.fcall(*naming)  # type: ignore[misc]
    found: Any = await redis.function_list(library=f"{STEM}*")  # type: ignore[misc]
    for name in {_name_of(one) for one in found} - set(used):
        with contextlib.suppress(ResponseError):  # another process was faster
            await redis.function_delete(name)  # type: ignore[misc]


def _name_of(listed: Any) -> str:
    """FUNCTION LIST answers a mapping with RESP3, and else a flat list."""
    fields = listed if isinstance(listed, dict) else dict(zip(listed[::2], listed[1::2], strict=True))
    return str(fields["library_name"])
