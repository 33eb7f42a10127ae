"""Measures the steps of one request: name lookup, dial, TLS handshake, wait for the reply.

A `Stopwatch` is notified of each step as it happens. It never raises, because this happens inside the
network library. The pool reports the lookup and the connection as a whole, the socket factory the start of a
dial, and the TLS object the start of a handshake. They find the stopwatch through the context.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Timings:
    """In ms. None: the step was not done (a kept connection is not dialled), or did not finish.

    `connect`: from dialling the first address to the established connection; `first_byte`: from the request
    to the head of the reply.
    """

    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    first_byte: float | None = None

    def public(self) -> dict[str, float | None]:
        return {"dns": self.dns, "connect": self.connect, "tls": self.tls, "first_byte": self.first_byte}


class Stopwatch:
    """`clock`: seconds. `dialled`: whether a new connection was needed. `reused`: whether the request got a
    kept connection."""

    __slots__ = ("_at", "_clock", "dialled", "reused")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._at: dict[str, float] = {}
        self.dialled = False
        self.reused = False

    def lookup_started(self) -> None:
        self._at["lookup_started"] = self._clock()

    def lookup_ended(self) -> None:
        self._at["lookup_ended"] = self._clock()

    def dial_started(self) -> None:
        """Called for each address of a name. The first call counts; the others are dialled in parallel."""
        self._at.setdefault("dial_started", self._clock())

    def handshake_started(self) -> None:
        """Called again if another address is dialled after a failed handshake: the last call counts."""
        self._at["handshake_started"] = self._clock()

    def connected(self) -> None:
        self._at["connected"] = self._clock()

    def connection_reused(self) -> None:
        self.reused = True

    def request_sent(self) -> None:
        self._at["request_sent"] = self._clock()

    def reply_started(self) -> None:
        self._at["reply_started"] = self._clock()

    def timings(self) -> Timings:
        tcp_connected = "handshake_started" if "handshake_started" in self._at else "connected"
        return Timings(
            dns=self._between("lookup_started", "lookup_ended"),
            connect=self._between("dial_started", tcp_connected),
            tls=self._between("handshake_started", "connected"),
            first_byte=self._between("request_sent", "reply_started"),
        )

    def _between(self, first: str, last: str) -> float | None:
        start, end = self._at.get(first), self._at.get(last)
        return None if start is None or end is None else round((end - start) * 1000, 1)


#: The stopwatch of the request that runs in this context.
current_stopwatch: Final[ContextVar[Stopwatch | None]] = ContextVar("current_stopwatch", default=None)


class TimedHandshake(ssl.SSLObject):
    """For `SSLContext.sslobject_class`. OpenSSL calls `do_handshake` again for each flight that arrives."""

    _started = False

    def do_handshake(self) -> None:
        stopwatch = current_stopwatch.get()
        if stopwatch is not None and not self._started:
            self._started = True
            stopwatch.handshake_started()
        super().do_handshake()
