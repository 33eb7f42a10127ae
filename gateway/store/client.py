"""The connection to Redis, and the translation of its errors."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import (
    BusyLoadingError,
    ConnectionError,  # noqa: A004
    DataError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004
)

from gateway.errors import ConfigurationError, StoreUnavailable

#: Error codes of a server that runs but cannot serve now: full, read-only, unable to persist, starting, or no
#: longer the primary during a blocking command.
_PASSING = (
    *("OOM", "MISCONF", "READONLY", "LOADING", "BUSY", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN"),
    "UNBLOCKED",
)


def connection_pool(url: str, *, timeout_seconds: float, retries: int, connections: int) -> ConnectionPool:
    """A pool for one process. `timeout_seconds`: for each command. `retries`: how often a command is sent
    again after its connection broke; this is safe because every script is idempotent. Raises
    ConfigurationError."""
    try:
        pool = ConnectionPool.from_url(
            url,
            decode_responses=True,
            max_connections=connections,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=min(timeout_seconds, 0.5),
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.02), retries),
            retry_on_error=[ConnectionError, TimeoutError, BusyLoadingError, ReadOnlyError]
            if retries
            else [],
            health_check_interval=0,
        )
        pool.connection_class = _mapping_runtime_errors(pool.connection_class)
        return pool
    except ValueError:
        raise ConfigurationError("GATEWAY_REDIS_URL: is not a URL of Redis") from None


def _mapping_runtime_errors(of: type[AbstractConnection]) -> type[AbstractConnection]:
    """A connection class that raises ConnectionError, which redis-py retries, where uvloop raises
    RuntimeError: when a connection is cut right after it was made."""

    class MappedConnection(of):  # type: ignore[misc, valid-type]
        async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
            try:
                await super().send_packed_command(command, check_health)
            except RuntimeError as error:
                raise ConnectionError(str(error)) from error

    return MappedConnection


def store_errors() -> AbstractContextManager[None, None]:
    """Turns Redis' errors into StoreUnavailable, except those that mean a fault of ours."""
    return _STORE_ERRORS


class _StoreErrors:
    """Has no state, so that one serves every call."""

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        match error:
            case None | DataError():
                return
            case OutOfMemoryError() | ReadOnlyError():  # redis-py removes the error code from their text
                raise StoreUnavailable(f"Redis cannot serve: {type(error).__name__}") from error
            case ResponseError():
                if str(error).startswith(_PASSING):
                    raise StoreUnavailable(f"Redis cannot serve: {str(error).split(' ', 1)[0]}") from error
            case RedisError() | OSError():
                raise StoreUnavailable(f"Redis does not answer: {type(error).__name__}") from error
            case _:
                return


_STORE_ERRORS = _StoreErrors()


@contextlib.asynccontextmanager
async def redis_at(url: str, timeout_seconds: float) -> AsyncIterator[Redis]:
    """A client for a process that runs one command."""
    pool = connection_pool(url, timeout_seconds=timeout_seconds, retries=1, connections=2)
    try:
        yield Redis(connection_pool=pool)
    finally:
        await pool.disconnect()
