"""The body of a paid POST: all of it but the last byte, then the gate, then the last byte.

With an explicit content-length, a body that lacks its last byte is an incomplete request for any
HTTP server, and without its closing brace it is incomplete JSON too: until the gate is passed, the
upstream cannot have acted on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from gateway.environment import go_on
from gateway.upstream.base import Gate

PIECE_BYTES = 64 * 1024


class GatedBody:
    """Iterated once, by the transport. It is an iterator and no generator: a transport which gives up
    in the middle leaves nothing suspended behind.

    `limit` is the timeout around the whole exchange, moved from here because only here is known which
    part of the exchange is going on: none for the gate, `answer_seconds` from then on. `passed` tells
    whether the last byte may have left; `gate_error` is what the gate raised. `reach` is awaited at the
    crash points around the last byte.
    """

    def __init__(
        self,
        content: bytes,
        gate: Gate,
        limit: asyncio.Timeout,
        *,
        answer_seconds: float,
        reach: Callable[[str], Awaitable[None]] = go_on,
    ) -> None:
        self.passed = False
        self.gate_error: BaseException | None = None
        self._content = content
        self._gate = gate
        self._limit = limit
        self._answer_seconds = answer_seconds
        self._reach = reach
        self._sent = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        start, last = self._sent, len(self._content) - 1
        if start > last:
            # Asked for more, the transport has handed all it got to the network.
            await self._reach("submit.last_byte.after")
            raise StopAsyncIteration
        if start == last:
            await self._pass_gate()
        self._sent = min(start + PIECE_BYTES, last) if start < last else last + 1
        return self._content[start : self._sent]

    async def _pass_gate(self) -> None:
        """Once the gate has said yes nothing asks again: a process which is frozen right behind it
        sends the last byte when it thaws."""
        self._limit.reschedule(None)
        try:
            await self._gate()
            await self._reach("submit.last_byte.before")
        except BaseException as error:
            self.gate_error = error
            raise
        self._limit.reschedule(asyncio.get_running_loop().time() + self._answer_seconds)
        self.passed = True
