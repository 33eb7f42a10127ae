"""Shares a few places between tenants in turns, so that one with much to do does not hold up the others."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from gateway.errors import LimitReached, Unavailable

_RETRY_SECONDS: Final = 5


@dataclass(slots=True)
class Turns:
    """`async with turns.turn(tenant):` holds one of `places`, of which a tenant holds `of_tenant` at most.

    Free places go to the waiting tenants in turn. At most `waiting` requests of a tenant wait, each for
    `seconds` at most. `what`: of the work, for messages; `limit`: its name in errors. For one event loop.
    """

    what: str
    limit: str
    places: int
    of_tenant: int
    waiting: int
    seconds: float
    _held: Counter[str] = field(default_factory=Counter)
    #: Tenants that wait, the next one first, each with its requests in order.
    _lines: dict[str, deque[asyncio.Future[None]]] = field(default_factory=dict)

    @contextlib.asynccontextmanager
    async def turn(self, tenant: str) -> AsyncIterator[None]:
        """Waits for a place. Raises LimitReached if too many of the tenant wait, and Unavailable if none
        becomes free in time."""
        await self._take(tenant)
        try:
            yield
        finally:
            self._give_back(tenant)

    async def _take(self, tenant: str) -> None:
        if tenant not in self._lines and self._has_room(tenant):
            self._held[tenant] += 1
            return
        line = self._lines.setdefault(tenant, deque())
        if len(line) >= self.waiting:
            raise LimitReached(
                f"{len(line)} requests of this tenant wait for {self.what}; send fewer at once",
                _RETRY_SECONDS,
                limit=self.limit,
            )
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(place)
        try:
            async with asyncio.timeout(self.seconds):
                await place
        except BaseException as error:
            if place.cancelled():
                self._leave(tenant, place)
            else:  # the turn came just then
                self._give_back(tenant)
            if isinstance(error, TimeoutError):
                raise Unavailable(f"{self.what} is busy; send this again in a moment") from None
            raise

    def _has_room(self, tenant: str) -> bool:
        return self._held.total() < self.places and self._held[tenant] < self.of_tenant

    def _give_back(self, tenant: str) -> None:
        self._held[tenant] -= 1
        if not self._held[tenant]:
            del self._held[tenant]
        while (following := next((name for name in self._lines if self._has_room(name)), None)) is not None:
            line = self._lines.pop(following)
            place = line.popleft()
            if not place.cancelled():
                place.set_result(None)
                self._held[following] += 1
            if line:
                self._lines[following] = line  # behind the others

    def _leave(self, tenant: str, place: asyncio.Future[None]) -> None:
        line = self._lines.get(tenant, deque())
        if place in line:
            line.remove(place)
            if not line:
                del self._lines[tenant]
