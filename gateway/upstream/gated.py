"""The body of a paid POST: everything but the last byte, then the gate, then the last byte.

The request has an explicit content-length. Without its last byte, any HTTP server sees an incomplete
request, and the JSON lacks its closing brace. So the upstream cannot act on it until the gate is passed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from gateway.environment import no_crash_point
from gateway.upstream.base import Gate

PIECE_BYTES = 64 * 1024


class GatedBody:
    """The body as an iterator of pieces; the transport iterates it once.

    It is not a generator: a transport that stops in the middle leaves no suspended frame behind.

    `limit`: the timeout around the whole exchange. This class moves it, because only this class knows which
    part is running: there is no limit during the gate, and `answer_seconds` after it. `passed`: whether the
    last byte may have been sent. `gate_error`: what the gate raised. `reach`: awaited at the crash points
    around the last byte.
    """

    def __init__(
        self,
        content: bytes,
        gate: Gate,
        limit: asyncio.Timeout,
        *,
        answer_seconds: float,
        reach: Callable[[str], Awaitable[None]] = no_crash_point,
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
            # The transport asks for more only after it has sent everything it got before.
            await self._reach("submit.last_byte.after")
            raise StopAsyncIteration
        if start == last:
            await self._pass_gate()
        self._sent = min(start + PIECE_BYTES, last) if start < last else last + 1
        return self._content[start : self._sent]

    async def _pass_gate(self) -> None:
        """The gate is asked once. A process that is frozen right after it still sends the last byte when
        it continues."""
        self._limit.reschedule(None)
        try:
            await self._gate()
            await self._reach("submit.last_byte.before")
        except BaseException as error:
            self.gate_error = error
            raise
        self._limit.reschedule(asyncio.get_running_loop().time() + self._answer_seconds)
        self.passed = True
