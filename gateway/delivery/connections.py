"""The connections of attempts, which must not outlive them.

A connection that is closed first sends what it still holds. Against a subscriber that does not read that has
no end, and each attempt would leave a socket behind.
"""

from __future__ import annotations

import asyncio
import select
import socket
from contextvars import ContextVar
from typing import Final


class Line:
    """The connection that a try was given, once it was."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None

    def given(self, transport: asyncio.WriteTransport | None) -> None:
        self._transport = transport
        if transport is not None:
            _holders[transport] = self

    def let_go(self) -> None:
        """To be called at the end of the try: cuts a connection that is not kept for the next one, or that
        has not sent all of the request."""
        line = self._transport
        # With the end of the reply a connection is free: another try may have been given it since.
        if line is None or _holders.get(line) is not self:
            return
        del _holders[line]
        if line.is_closing() or line.get_write_buffer_size() or not _takes_more(line):
            line.abort()


_holders: Final[dict[asyncio.WriteTransport, Line]] = {}
#: The line of the try that is being made.
line_of_try: Final[ContextVar[Line | None]] = ContextVar("line_of_try", default=None)


def _takes_more(line: asyncio.WriteTransport) -> bool:
    # What TLS has handed on to its connection is in no count; but while any is left the system takes no more.
    raw = line.get_extra_info("socket")
    if raw is None or raw.fileno() < 0:  # lost already
        return False
    poll = select.poll()
    poll.register(raw.fileno(), select.POLLOUT)
    return bool(poll.poll(0))


def give_up_after(raw: socket.socket, seconds: float) -> None:
    """Lets the system give up a connection when what was sent is not taken for so long."""
    if option := getattr(socket, "TCP_USER_TIMEOUT", None):  # Linux has it
        raw.setsockopt(socket.IPPROTO_TCP, option, max(1, round(seconds * 1000)))
