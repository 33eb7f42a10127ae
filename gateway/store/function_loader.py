"""Loads our library of functions into Redis when it is missing, and removes versions that nobody uses.

Redis replicates and persists functions. One may still be missing: after FUNCTION FLUSH, on another server
behind the same address, or because another process removed the version.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, OutOfMemoryError, RedisError, ResponseError

from gateway.background import cancel_all
from gateway.store import keys
from gateway.store.script_library import Library, library
from gateway.telemetry.logs import Outage

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


def library_of(redis: Redis) -> Library:
    """The library of this version for the client's database."""
    return library(int(redis.connection_pool.connection_kwargs.get("db") or 0))


class FunctionLoader:
    """Loads `library` into the server of `redis`. Logs once when the server begins not to take it. `alone`:
    no process of another version uses this Redis, as far as is known (`keeping_library`)."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.library = library_of(redis)
        self.alone = False
        self._loading: asyncio.Task[bool] | None = None
        self._outage = Outage("library_not_loaded", "library_loaded")

    async def load(self) -> bool:
        """Loads the library; calls at the same time share one load. False if the server does not take it,
        because it is full or forbids it. Raises redis' errors when it does not answer."""
        if self._loading is None or self._loading.done():
            self._loading = asyncio.create_task(self._load())
        return await asyncio.shield(self._loading)

    async def _load(self) -> bool:
        try:
            await self.redis.function_load(self.library.text.decode())  # type: ignore[misc]
        except OutOfMemoryError:  # FUNCTION LOAD is refused then, whatever flags the functions have
            self._outage.failed("Redis is full")
            return False
        except ResponseError as error:
            if "already exists" not in str(error):
                self._outage.failed(str(error))
                return False
        self._outage.recovered()
        return True


async def fault(redis: Redis) -> str | None:
    """Why this server cannot run our functions, in a sentence; None if it can. Loads the library. Raises
    redis' errors when the server does not answer."""
    ours = library_of(redis)
    probe: Any = (ours.functions["queue_positions"], 0, "[]")
    try:
        try:
            await redis.fcall(*probe)  # type: ignore[misc]
        except ResponseError as error:
            if not is_missing(error):
                raise
            await redis.function_load(ours.text.decode())  # type: ignore[misc]
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
async def keeping_library(loader: FunctionLoader) -> AsyncIterator[None]:
    """While this runs, no other process removes our version; versions that no process uses are removed."""
    task = asyncio.create_task(_keep(loader), name="library")
    try:
        yield
    finally:
        await cancel_all(task)


async def _keep(loader: FunctionLoader) -> None:
    outage = Outage("old_libraries_stay", "old_libraries_removed")
    while True:
        try:
            await loader.load()  # a full Redis refuses it, even if it is there: its use is named all the same
            loader.alone = await remove_unused(loader.redis)
            outage.recovered()
        except NoPermissionError as error:
            outage.failed(str(error))
        except (RedisError, OSError):
            loader.alone = False  # other tasks log when Redis is away
        await asyncio.sleep(NAMED_EVERY_SECONDS)


async def remove_unused(redis: Redis) -> bool:
    """Says that our version is in use, and removes those of this database of which no process has said so
    lately. Returns whether only ours is in use. NoPermissionError: the server forbids it."""
    ours = library_of(redis)
    naming: Any = (ours.functions["note_library"], 1, keys.LIBRARIES, ours.name, KEPT_MS)
    used: list[str] = await redis.fcall(*naming)  # type: ignore[misc]
    of_database = ours.name.rpartition("_")[0]
    found: Any = await redis.function_list(library=f"{of_database}_*")  # type: ignore[misc]
    for name in {_name_of(one) for one in found} - set(used):
        try:
            await redis.function_delete(name)  # type: ignore[misc]
        except NoPermissionError:
            raise
        except ResponseError:
            pass  # another process was faster
    return set(used) <= {ours.name}


def _name_of(listed: Any) -> str:
    """FUNCTION LIST answers a mapping with RESP3, and else a flat list."""
    fields = listed if isinstance(listed, dict) else dict(zip(listed[::2], listed[1::2], strict=True))
    return str(fields["library_name"])
