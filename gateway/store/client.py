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
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004
)

from gateway.errors import ConfigurationError, StoreUnavailable
from gateway.settings.redis_url import read_redis_url
from gateway.store.located import Locator, locator_of
from gateway.store.refusals import name_of
from gateway.store.replies import NotHereError, TooFewReplicasError, check_served, not_here
from gateway.store.tls import use_tls

#: Error codes of a server that runs but cannot serve now: full, unable to persist, starting, or without
#: enough replicas.
_PASSING = ("OOM", "MISCONF", "LOADING", "BUSY", "NOREPLICAS")


def connection_pool(
    url: str, *, timeout_seconds: float, retries: int, connections: int, acknowledgements: int = 0
) -> ConnectionPool:
    """A pool for one process. `timeout_seconds`: for each command. `retries`: how often a command is sent
    again after its connection broke; this is safe because every script is idempotent. `acknowledgements`:
    replicas that must have what a script wrote before it counts. Raises ConfigurationError."""
    try:
        locator, parsed = locator_of(url), read_redis_url(url)
        pool = ConnectionPool.from_url(
            parsed.of_server(parsed.hosts[0]) if parsed.mode else url,
            decode_responses=True,
            max_connections=connections,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=min(timeout_seconds, 0.5),
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.02), retries),
            retry_on_error=[ConnectionError, TimeoutError, BusyLoadingError] if retries else [],
            health_check_interval=0,
        )
        use_tls(pool)
        pool.connection_class = _located(pool.connection_class, locator, acknowledgements)
        return pool
    except ValueError:
        raise ConfigurationError("GATEWAY_REDIS_URL: is not a URL of Redis") from None


def _located(
    of: type[AbstractConnection], locator: Locator, acknowledged_by: int
) -> type[AbstractConnection]:
    """A connection class that asks where the primary is each time it connects.

    It raises ConnectionError, which redis-py retries: where uvloop raises RuntimeError, when a connection is
    cut right after it was made; and where the server does not serve our keys. Then the connection is closed
    too, so that it does not go back to the pool."""

    class LocatedConnection(of):  # type: ignore[misc, valid-type]
        acknowledgements = acknowledged_by  # for PipelinedConnection

        async def _connect(self) -> None:
            place = await locator.primary()
            if place is not None:
                self.host, self.port = place
            await super()._connect()

        async def on_connect(self) -> None:
            await super().on_connect()
            if locator.must_be_primary:
                await self.send_command("ROLE")
                role = (await self.read_response())[0]
                if role not in ("master", b"master"):
                    raise NotHereError("the server that was named is not the primary")

        async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
            try:
                await super().send_packed_command(command, check_health)
            except RuntimeError as error:
                raise ConnectionError(str(error)) from error

        async def read_response(self, *args: Any, **kwargs: Any) -> Any:
            try:
                return await super().read_response(*args, **kwargs)
            except ResponseError as error:
                try:
                    check_served(error)
                except NotHereError:
                    await self.disconnect(nowait=True)
                    raise
                raise

    return LocatedConnection


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
            case OutOfMemoryError():  # redis-py removes the error code from its text
                raise StoreUnavailable("Redis cannot serve: OutOfMemoryError") from error
            case TooFewReplicasError():
                raise StoreUnavailable(f"too few replicas of Redis acknowledged a write: {error}") from error
            case NotHereError():
                raise StoreUnavailable(f"Redis does not serve our keys here: {error}") from error
            case ResponseError():
                if reason := not_here(error):  # a part of a transaction
                    raise StoreUnavailable(f"Redis does not serve our keys here: {reason}") from error
                if str(error).startswith(_PASSING):
                    raise StoreUnavailable(f"Redis cannot serve: {str(error).split(' ', 1)[0]}") from error
            case RedisError() | OSError():
                if isinstance(error.__cause__, NotHereError):  # redis-py wraps what happened as it connected
                    raise StoreUnavailable(f"Redis is not found: {error.__cause__}") from error
                raise StoreUnavailable(f"Redis does not answer: {name_of(error)}") from error
            case _:
                return


_STORE_ERRORS = _StoreErrors()


@contextlib.asynccontextmanager
async def redis_at(url: str, timeout_seconds: float, acknowledgements: int = 0) -> AsyncIterator[Redis]:
    """A client for a process that runs one command. `acknowledgements`: as of `connection_pool`."""
    pool = connection_pool(
        url,
        timeout_seconds=timeout_seconds,
        retries=1,
        connections=2,
        acknowledgements=acknowledgements,
    )
    try:
        yield Redis(connection_pool=pool)
    finally:
        await pool.disconnect()
