"""How long the steps of one try took: the lookup, the dial, the handshake, the wait for the reply.

A `Watch` is told of each step as it happens. It never raises, for it is told in the midst of the network
library's work. aiohttp's traces tell of the lookup and of the connection as a whole; that a dial began is
told by who makes the socket, that a handshake began by the TLS object, both through the context.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Timings:
    """In ms. None: it was not done (a kept connection is not dialled), or did not come to its end.

    `connect`: from the first address dialled to the connection that was made; `first_byte`: from the request
    to the head of the reply.
    """

    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    first_byte: float | None = None


class Watch:
    """`clock`: seconds. `reused`: whether the try was given a kept connection."""

    __slots__ = ("_at", "_clock", "reused")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._at: dict[str, float] = {}
        self.reused = False

    def looking_up(self) -> None:
        self._at["looking_up"] = self._clock()

    def looked_up(self) -> None:
        self._at["looked_up"] = self._clock()

    def dialling(self) -> None:
        """One of perhaps several addresses: the first counts, for the others are dialled beside it."""
        self._at.setdefault("dialling", self._clock())

    def shaking_hands(self) -> None:
        """Told again when another address is tried after a handshake that failed."""
        self._at["shaking_hands"] = self._clock()

    def connected(self) -> None:
        self._at["connected"] = self._clock()

    def reuse(self) -> None:
        self.reused = True

    def asked(self) -> None:
        self._at["asked"] = self._clock()

    def answered(self) -> None:
        self._at["answered"] = self._clock()

    def timings(self) -> Timings:
        made = "shaking_hands" if "shaking_hands" in self._at else "connected"
        return Timings(
            dns=self._between("looking_up", "looked_up"),
            connect=self._between("dialling", made),
            tls=self._between("shaking_hands", "connected"),
            first_byte=self._between("asked", "answered"),
        )

    def _between(self, begun: str, ended: str) -> float | None:
        start, end = self._at.get(begun), self._at.get(ended)
        return None if start is None or end is None else round((end - start) * 1000, 1)


#: The watch of the try that is being made.
watching: Final[ContextVar[Watch | None]] = ContextVar("watching", default=None)


class WatchedHandshake(ssl.SSLObject):
    """For `SSLContext.sslobject_class`. It is called again for each flight that comes in."""

    _begun = False

    def do_handshake(self) -> None:
        watch = watching.get()
        if watch is not None and not self._begun:
            self._begun = True
            watch.shaking_hands()
        super().do_handshake()
