"""Closes the connections of attempts, so that none outlives its attempt.

A connection that is closed normally first sends what it still holds. If the subscriber does not read, this
never ends, and each attempt would leave a socket behind. So such a connection is aborted instead.
"""

from __future__ import annotations

import asyncio
import select
import socket
from typing import Final


class ConnectionHolder:
    """The connection of one request, from when the request gets it until it is released. `received`: the
    start of what came over it since then."""

    def __init__(self) -> None:
        self.received = bytearray()
        self._transport: asyncio.WriteTransport | None = None

    def assign(self, transport: asyncio.WriteTransport | None) -> None:
        self._transport = transport
        if transport is not None:
            _holders[transport] = self

    def release(self) -> None:
        """Call it at the end of the request. Aborts a connection that is not kept for the next request, or
        that has not sent the whole request."""
        transport = self._transport
        # A connection is free as soon as the reply ends: another request may hold it by now.
        if transport is None or _holders.get(transport) is not self:
            return
        del _holders[transport]
        if transport.is_closing() or transport.get_write_buffer_size() or not _accepts_more(transport):
            transport.abort()


_holders: Final[dict[asyncio.WriteTransport, ConnectionHolder]] = {}


def _accepts_more(transport: asyncio.WriteTransport) -> bool:
    raw = transport.get_extra_info("socket")
    if raw is None or raw.fileno() < 0:  # already lost
        return False
    # Bytes that TLS has passed to its connection are not counted in the write buffer. But as long as some are
    # unsent, the socket is not ready for more.
    if transport.get_extra_info("sslcontext") is None:
        return True
    poll = select.poll()
    poll.register(raw.fileno(), select.POLLOUT)
    return bool(poll.poll(0))


def limit_unacknowledged(raw: socket.socket, seconds: float) -> None:
    """Lets the system close the connection if the peer does not acknowledge what was sent for that long."""
    if option := getattr(socket, "TCP_USER_TIMEOUT", None):  # only Linux has it
        raw.setsockopt(socket.IPPROTO_TCP, option, max(1, round(seconds * 1000)))
