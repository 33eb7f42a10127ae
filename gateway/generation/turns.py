"""Shares a few places between tenants in turns, so that one with much to do does not hold up the others."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from gateway.errors import LimitReached, Unavailable
from gateway.local.shared_memory import Held, Shared

_RETRY_SECONDS: Final = 5
#: How soon a place that another process gave back is noticed.
_POLL_SECONDS: Final = 0.1


@dataclass(slots=True)
class Turns:
    """`async with turns.turn(tenant):` holds one of the `places` of this process. A tenant holds `of_tenant`
    at most, in all processes that share `held`.

    Free places go to the waiting tenants in turn. At most `waiting` requests of a tenant wait, each for
    `seconds` at most. `what`: of the work, for messages; `limit`: its name in errors. For one event loop.
    """

    what: str
    limit: str
    places: int
    of_tenant: int
    waiting: int
    seconds: float
    held: Held = field(default_factory=lambda: Shared().held)
    _used: int = 0
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
        if tenant not in self._lines and self._take_place(tenant):
            return
        too_many = LimitReached(
            f"{self.waiting} requests of this tenant wait for {self.what}; send fewer at once",
            _RETRY_SECONDS,
            limit=self.limit,
        )
        with self.held.one(f"waiting {self.limit} {tenant}", self.waiting, too_many):
            await self._wait(tenant)

    async def _wait(self, tenant: str) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(tenant, deque()).append(place)
        try:
            async with asyncio.timeout(self.seconds):
                while not place.done():
                    await asyncio.wait([place], timeout=_POLL_SECONDS)
                    self._fill_places()
        except BaseException as error:
            if place.done():  # the turn came just then
                self._give_back(tenant)
            else:
                self._leave(tenant, place)
            if isinstance(error, TimeoutError):
                raise Unavailable(f"{self.what} is busy; send this again in a moment") from None
            raise

    def _take_place(self, tenant: str) -> bool:
        if self._used >= self.places or not self.held.take(f"{self.limit} {tenant}", self.of_tenant):
            return False
        self._used += 1
        return True

    def _give_back(self, tenant: str) -> None:
        self.held.give(f"{self.limit} {tenant}")
        self._used -= 1
        self._fill_places()

    def _fill_places(self) -> None:
        while (following := next((name for name in self._lines if self._take_place(name)), None)) is not None:
            line = self._lines.pop(following)
            line.popleft().set_result(None)
            if line:
                self._lines[following] = line  # behind the others

    def _leave(self, tenant: str, place: asyncio.Future[None]) -> None:
        line = self._lines[tenant]
        line.remove(place)
        if not line:
            del self._lines[tenant]
