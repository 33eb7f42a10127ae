"""Connections to Redis for many calls at once: no call waits for the reply to another.

redis-py connects, authenticates and selects the database. After that it would serve one caller at a time, so
the calls are written and their replies are read here, with hiredis. Redis replies in the order of the calls.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final, NamedTuple

import hiredis
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import DefaultParser
from redis.exceptions import (
    ConnectionError,  # noqa: A004
    DataError,
    InvalidResponse,
    ResponseError,
    TimeoutError,  # noqa: A004
)

from gateway.store.replies import check_served

#: Calls, and bytes of calls, that are sent and not yet answered. Later calls wait for their turn.
IN_FLIGHT: Final = 128
_IN_FLIGHT_BYTES: Final = 2**20
#: Redis reads 16 KiB of a connection at a time, runs the calls in them, and with `appendfsync always` syncs
#: the disk before it replies and reads on. So what is beyond three such parts goes over another connection,
#: and is synced together with the rest. Three, because the replies to one part keep us busy while Redis works
#: on the next.
FULL_BYTES: Final = 3 * 14_000
_CONNECTIONS: Final = 8
#: Calls that wait for their turn. There are more only if Redis cannot keep up; they fail at once.
_WAITING: Final = 4096
_INCOMPLETE: Final = object()


class PipelinedConnections:
    """As many connections of `pool` as the calls of the moment need: up to eight, or a sixteenth of the
    pool."""

    def __init__(self, pool: ConnectionPool) -> None:
        count = max(1, min(_CONNECTIONS, pool.max_connections // 16))
        self._connections = [PipelinedConnection(pool) for _ in range(count)]

    async def call(self, *words: str | bytes | int | float) -> Any:
        """As `PipelinedConnection.call`."""
        for connection in self._connections:
            if connection.unanswered < FULL_BYTES:
                return await connection.call(*words)
        emptiest = min(self._connections, key=lambda one: one.unanswered)
        return await emptiest.call(*words)


class PipelinedConnection:
    """One connection of `pool`: taken at the first call, kept, and made again after it broke. The pool closes
    it. `unanswered`: bytes of the calls that have no reply yet."""

    def __init__(self, pool: ConnectionPool) -> None:
        self.unanswered = 0
        self._pool: Any = pool
        self._connection: Any = None
        self._exchange: _Exchange | None = None
        self._connecting: asyncio.Task[_Exchange] | None = None

    async def call(self, *words: str | bytes | int | float) -> Any:
        """The reply to one command, with strings decoded if the pool decodes. A command whose reply was lost,
        or which reached a server that does not serve our keys, is sent again on a new connection, as often
        as the pool says; it may run twice. Raises redis-py's errors."""
        try:
            packed = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub knows tuples of one
        except TypeError as error:
            raise DataError(str(error)) from error
        self.unanswered += len(packed)
        try:
            if self._exchange is None or self._exchange.error is not None:
                await self._open()  # before the first attempt: redis-py has its own retries for connecting
            return await self._connection.retry.call_with_retry(lambda: self._attempt(packed), _forget)
        finally:
            self.unanswered -= len(packed)

    async def _attempt(self, packed: bytes) -> Any:
        exchange = self._exchange
        if exchange is None or exchange.error is not None:
            exchange = await self._open()
        return await exchange.send(packed)

    async def _open(self) -> _Exchange:
        """All callers share one attempt, which goes on when one of them is cancelled."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> _Exchange:
        try:
            if self._connection is None:
                self._connection = self._pool.get_available_connection()
            # Always a new one: one that was used before could still owe a reply to another caller.
            await self._connection.disconnect(nowait=True)
            await self._connection.connect()
            self._exchange = _Exchange(self._connection)
            return self._exchange
        finally:
            self._connecting = None


async def _forget(_: Exception) -> None:
    """What redis-py does between two attempts is done by the exchange."""


class _Sent(NamedTuple):
    packed: bytes
    reply: asyncio.Future[Any]
    deadline: float


class _Exchange(asyncio.Protocol):
    """The calls and replies of one open connection. `error`: why it is no longer usable."""

    def __init__(self, connection: Any) -> None:
        self.error: Exception | None = None
        self._loop = asyncio.get_running_loop()
        self._timeout: float | None = connection.socket_timeout
        self._waiting: deque[_Sent] = deque()
        self._in_flight: deque[_Sent] = deque()
        self._bytes = 0
        self._writable = True
        self._timer: asyncio.TimerHandle | None = None
        decoding = connection.encoder
        self._replies = hiredis.Reader(
            protocolError=InvalidResponse,
            replyError=DefaultParser.parse_error,
            notEnoughData=_INCOMPLETE,
            encoding=decoding.encoding if decoding.decode_responses else None,
            errors=decoding.encoding_errors,
        )
        self._transport: asyncio.Transport = connection._writer.transport
        self._streams = self._transport.get_protocol()  # redis-py waits for it when it closes the connection
        self._transport.set_protocol(self)
        if self._transport.is_closing():
            self._end(_closed_by_server())

    def send(self, packed: bytes) -> asyncio.Future[Any]:
        """The reply to come. A caller that is cancelled does not disturb the others: its reply is dropped."""
        if self.error is not None:
            raise self.error
        if len(self._waiting) >= _WAITING:
            raise ConnectionError("Too many calls")
        if not self._waiting:
            self._loop.call_soon(self._flush)  # with all calls that are made in this turn of the loop
        reply: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append(_Sent(packed, reply, self._loop.time() + (self._timeout or 0)))
        return reply

    def data_received(self, data: bytes) -> None:
        self._replies.feed(data)
        try:
            while (reply := self._replies.gets()) is not _INCOMPLETE:
                if isinstance(reply, ConnectionError):  # starting, or no longer authenticated
                    raise reply
                if isinstance(reply, ResponseError):
                    check_served(reply)
                if not self._in_flight:
                    raise InvalidResponse("a reply without a call")
                self._settle(self._in_flight.popleft(), reply)
        except Exception as error:  # noqa: BLE001  # it is not known which reply belongs to which call
            self._end(error)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._streams.connection_lost(exc)
        self._end(_closed_by_server() if exc is None else ConnectionError(f"Connection lost: {exc}"))

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._flush()

    def _settle(self, call: _Sent, reply: Any) -> None:
        self._bytes -= len(call.packed)
        if call.reply.done():  # its caller was cancelled
            return
        if isinstance(reply, Exception):
            call.reply.set_exception(reply)
        else:
            call.reply.set_result(reply)

    def _flush(self) -> None:
        """Sends the calls whose turn has come, in one write."""
        pieces: list[bytes] = []
        while self._waiting and self._has_room(len(self._waiting[0].packed)):
            call = self._waiting.popleft()
            if not call.reply.done():
                pieces.append(call.packed)
                self._in_flight.append(call)
                self._bytes += len(call.packed)
        if not pieces:
            return
        if self._timeout is not None and self._timer is None:
            self._timer = self._loop.call_at(self._in_flight[0].deadline, self._check_time)
        try:
            self._transport.writelines(pieces)
        except (OSError, RuntimeError) as error:  # uvloop's RuntimeError: the connection was just cut
            self._end(ConnectionError(f"Error while writing to socket: {error}"))

    def _has_room(self, size: int) -> bool:
        """A call of any size is sent when nothing else is in flight."""
        if not self._in_flight:
            return self._writable
        return self._writable and len(self._in_flight) < IN_FLIGHT and self._bytes + size <= _IN_FLIGHT_BYTES

    def _check_time(self) -> None:
        """Replies come in the order of the calls, so the oldest call is the first to be late."""
        self._timer = None
        if not self._in_flight:
            return
        deadline = self._in_flight[0].deadline
        if deadline <= self._loop.time():
            self._end(TimeoutError("Timeout reading from socket"))
        else:
            self._timer = self._loop.call_at(deadline, self._check_time)

    def _end(self, error: Exception) -> None:
        """Every call without a reply fails: it may have run or not."""
        if self.error is not None:
            return
        self.error = error
        if self._timer is not None:
            self._timer.cancel()
        self._transport.abort()
        for call in (*self._in_flight, *self._waiting):
            if not call.reply.done():
                call.reply.set_exception(error)
        self._in_flight.clear()
        self._waiting.clear()


def _closed_by_server() -> ConnectionError:
    return ConnectionError("Connection closed by server.")
