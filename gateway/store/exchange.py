"""The calls and replies of one open connection to Redis, many at once.

If writes must reach replicas, each batch of calls is followed by a WAIT on the same connection, and no reply
of the batch is given out before enough replicas have acknowledged all of them. Calls that come meanwhile form
the next batch. WAIT is about the last write of its connection; a call that is repeated on a new one may find
its work done and write nothing, so each batch ends with a small write.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final, NamedTuple

import hiredis
from redis.asyncio.connection import DefaultParser
from redis.exceptions import (
    ConnectionError,  # noqa: A004
    DataError,
    InvalidResponse,
    ResponseError,
    TimeoutError,  # noqa: A004
)

from gateway.store import keys
from gateway.store.replies import TooFewReplicasError, check_served

Word = str | bytes | int | float
#: Calls, and bytes of calls, that are sent and not yet answered. Later calls wait for their turn.
IN_FLIGHT: Final = 128
_IN_FLIGHT_BYTES: Final = 2**20
#: Calls that wait for their turn. There are more only if Redis cannot keep up; they fail at once.
_WAITING: Final = 4096
_INCOMPLETE: Final = object()
#: The share of a call's time that replicas have to acknowledge it, so that the answer comes in time.
_WAIT_SHARE: Final = 0.6
#: A script, because a full Redis refuses a plain SET.
_MARK: Final = "#!lua flags=allow-oom\nreturn redis.call('SET', KEYS[1], '')"


class _Sent(NamedTuple):
    packed: bytes
    reply: asyncio.Future[Any] | None  #: None: what ends a batch
    deadline: float
    writes: bool = False


class Exchange(asyncio.Protocol):
    """The calls and replies of one open connection. `error`: why it is no longer usable.
    `waits_for_replicas`: a batch of calls is not acknowledged yet."""

    def __init__(self, connection: Any) -> None:
        self.error: Exception | None = None
        self.waits_for_replicas = False
        self._loop = asyncio.get_running_loop()
        self._timeout: float | None = connection.socket_timeout
        self._acknowledgements: int = getattr(connection, "acknowledgements", 0)
        self._waiting: deque[_Sent] = deque()
        self._in_flight: deque[_Sent] = deque()
        self._held: list[tuple[_Sent, Any]] = []
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

    def send(self, packed: bytes, writes: bool) -> asyncio.Future[Any]:
        """The reply to come. A caller that is cancelled does not disturb the others: its reply is dropped."""
        if self.error is not None:
            raise self.error
        if len(self._waiting) >= _WAITING:
            raise ConnectionError("Too many calls")
        if not self._waiting:
            self._loop.call_soon(self._flush)  # with all calls that are made in this turn of the loop
        reply: asyncio.Future[Any] = self._loop.create_future()
        deadline = self._loop.time() + (self._timeout or 0)
        self._waiting.append(_Sent(packed, reply, deadline, writes))
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
                self._take(self._in_flight.popleft(), reply)
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

    def _take(self, call: _Sent, reply: Any) -> None:
        if call.reply is None and not call.writes:
            self._acknowledge(reply)
        elif call.writes and self.waits_for_replicas:
            self._held.append((call, reply))
        else:
            self._settle(call, reply)

    def _acknowledge(self, count: Any) -> None:
        """Gives out the replies of the batch, if as many replicas as demanded have what it wrote."""
        self.waits_for_replicas = False
        *held, (_, marked) = self._held
        self._held = []
        failed = next((reply for reply in (marked, count) if isinstance(reply, Exception)), None)
        enough = failed is None and count >= self._acknowledgements
        reason = str(failed) if failed else f"{count} of {self._acknowledgements}"
        for call, reply in held:
            self._settle(call, reply if enough else TooFewReplicasError(reason))

    def _settle(self, call: _Sent, reply: Any) -> None:
        self._bytes -= len(call.packed)
        if call.reply is None or call.reply.done():  # its caller was cancelled
            return
        if isinstance(reply, Exception):
            call.reply.set_exception(reply)
        else:
            call.reply.set_result(reply)

    def _flush(self) -> None:
        """Sends the calls whose turn has come, in one write."""
        pieces: list[bytes] = []
        writes = False
        while self._waiting and self._has_room(len(self._waiting[0].packed)):
            call = self._waiting.popleft()
            if call.reply is not None and not call.reply.done():
                pieces.append(call.packed)
                self._in_flight.append(call)
                self._bytes += len(call.packed)
                writes = writes or call.writes
        if not pieces:
            return
        if writes and self._acknowledgements:
            pieces.append(self._begin_wait())
        if self._timeout is not None and self._timer is None:
            self._timer = self._loop.call_at(self._in_flight[0].deadline, self._check_time)
        try:
            self._transport.writelines(pieces)
        except (OSError, RuntimeError) as error:  # uvloop's RuntimeError: the connection was just cut
            self._end(ConnectionError(f"Error while writing to socket: {error}"))

    def _begin_wait(self) -> bytes:
        self.waits_for_replicas = True
        left = self._in_flight[0].deadline - self._loop.time()  # a call may have waited for its turn
        deadline = self._in_flight[-1].deadline
        self._in_flight.append(_Sent(b"", None, deadline, writes=True))
        self._in_flight.append(_Sent(b"", None, deadline))
        whole = self._timeout or 1
        patience = max(1, int(min(_WAIT_SHARE * whole, left - (1 - _WAIT_SHARE) / 2 * whole) * 1000))
        return packed_words("EVAL", _MARK, 1, keys.MARK) + packed_words(
            "WAIT", self._acknowledgements, patience
        )

    def _has_room(self, size: int) -> bool:
        """A call of any size is sent when nothing else is in flight."""
        if self.waits_for_replicas:
            return False
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
        for call in (*(call for call, _ in self._held), *self._in_flight, *self._waiting):
            if call.reply is not None and not call.reply.done():
                call.reply.set_exception(error)
        self._held.clear()
        self._in_flight.clear()
        self._waiting.clear()
        self.waits_for_replicas = False


def packed_words(*words: Word) -> bytes:
    try:
        return hiredis.pack_command(words)  # type: ignore[arg-type, no-any-return]  # its stub: tuples of one
    except TypeError as error:
        raise DataError(str(error)) from error


def _closed_by_server() -> ConnectionError:
    return ConnectionError("Connection closed by server.")
