"""Connections to Redis for many calls at once: no call waits for the reply to another.

redis-py connects, authenticates and selects the database. After that it would serve one caller at a time, so
the calls are written and their replies are read here, with hiredis. Redis replies in the order of the calls.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from redis.asyncio import ConnectionPool

from gateway.store.exchange import Exchange, Word, packed_words

#: Redis reads 16 KiB of a connection at a time, runs the calls in them, and with `appendfsync always` syncs
#: the disk before it replies and reads on. So what is beyond three such parts goes over another connection,
#: and is synced together with the rest. Three, because the replies to one part keep us busy while Redis works
#: on the next.
FULL_BYTES: Final = 3 * 14_000
_CONNECTIONS: Final = 8


class PipelinedConnections:
    """As many connections of `pool` as the calls of the moment need: up to eight, or a sixteenth of the
    pool."""

    def __init__(self, pool: ConnectionPool) -> None:
        count = max(1, min(_CONNECTIONS, pool.max_connections // 16))
        self._connections = [PipelinedConnection(pool) for _ in range(count)]

    async def call(self, *words: Word, writes: bool = True) -> Any:
        """As `PipelinedConnection.call`."""
        for connection in self._connections:
            if connection.unanswered < FULL_BYTES and not connection.waits_for_replicas:
                return await connection.call(*words, writes=writes)
        emptiest = min(self._connections, key=lambda one: one.unanswered)
        return await emptiest.call(*words, writes=writes)


class PipelinedConnection:
    """One connection of `pool`: taken at the first call, kept, and made again after it broke. The pool closes
    it. `unanswered`: bytes of the calls that have no reply yet."""

    def __init__(self, pool: ConnectionPool) -> None:
        self.unanswered = 0
        self._pool: Any = pool
        self._connection: Any = None
        self._exchange: Exchange | None = None
        self._connecting: asyncio.Task[Exchange] | None = None

    @property
    def waits_for_replicas(self) -> bool:
        """Whether a call that is made now would wait until replicas have acknowledged earlier ones."""
        return self._exchange is not None and self._exchange.waits_for_replicas

    async def call(self, *words: Word, writes: bool = True) -> Any:
        """The reply to one command, with strings decoded if the pool decodes. A command whose reply was lost,
        or which reached a server that does not serve our keys, is sent again on a new connection, as often
        as the pool says; it may run twice. `writes`: its reply is held back until the replicas that the pool
        demands have what it wrote. Raises redis-py's errors, and TooFewReplicasError: it ran, but what it
        wrote may be lost."""
        packed = packed_words(*words)
        self.unanswered += len(packed)
        try:
            if self._exchange is None or self._exchange.error is not None:
                await self._open()  # before the first attempt: redis-py has its own retries for connecting
            return await self._connection.retry.call_with_retry(
                lambda: self._attempt(packed, writes), _forget
            )
        finally:
            self.unanswered -= len(packed)

    async def _attempt(self, packed: bytes, writes: bool) -> Any:
        exchange = self._exchange
        if exchange is None or exchange.error is not None:
            exchange = await self._open()
        return await exchange.send(packed, writes)

    async def _open(self) -> Exchange:
        """All callers share one attempt, which goes on when one of them is cancelled."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> Exchange:
        try:
            if self._connection is None:
                self._connection = self._pool.get_available_connection()
            # Always a new one: one that was used before could still owe a reply to another caller.
            await self._connection.disconnect(nowait=True)
            await self._connection.connect()
            self._exchange = Exchange(self._connection)
            return self._exchange
        finally:
            self._connecting = None


async def _forget(_: Exception) -> None:
    """What redis-py does between two attempts is done by the exchange."""
