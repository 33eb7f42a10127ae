"""Dispatches work the moment it is due, in the worker process that leads.

Most work is dispatched by the script that creates it or frees a slot. Work that waits for a time, such as a
retry or a paused lane, is dispatched here: the store says when the next is due, and this sleeps until then.
Whichever process schedules something earlier, its script leaves a token that ends the sleep.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.errors import StoreUnavailable
from gateway.store.lanes import Lanes
from gateway.telemetry.logs import Outage

#: The store is asked at least this often: scripts leave a token only for what is due earlier (wakes.lua).
IDLE_SECONDS: Final = 1.0
_AGAIN_SECONDS: Final = 0.2  # while Redis is away
#: The shortest time between two questions to the store, however much is due.
LEAST_SECONDS: Final = 0.005


class Dispatcher:
    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._woken = asyncio.Event()

    def soon(self) -> None:
        """Ends the sleep: something may be due earlier, or the process leads now."""
        self._woken.set()

    async def run(self, leads: asyncio.Event) -> None:
        """Runs for ever. `leads`: set while this process leads; if it does not, it asks when it is woken. A
        Redis failure ends one pass, not the loop."""
        outage = Outage("dispatch_cut_short", "dispatch_back")
        while True:
            self._woken.clear()  # before asking: the store's answer may miss what is scheduled from here on
            try:
                seconds = await self.dispatch()
                outage.recovered()
            except StoreUnavailable as error:
                outage.failed(str(error))
                seconds = _AGAIN_SECONDS
            await asyncio.sleep(LEAST_SECONDS)
            # what is due within a second may be so by a token that only this process took
            again = leads.is_set() or seconds < IDLE_SECONDS
            await self._wait(seconds - LEAST_SECONDS if again else None)

    async def listen(self, token: Callable[[], Awaitable[bool]], leads: asyncio.Event) -> None:
        """Runs for ever: takes the tokens while this process leads. `token`: waits a while for one, and
        returns whether there was one."""
        while True:
            await leads.wait()
            try:
                if await token():
                    self.soon()
            except StoreUnavailable:  # `run` logs it
                await asyncio.sleep(_AGAIN_SECONDS)

    async def dispatch(self) -> float:
        """Dispatches what may run now. Returns the seconds until the next call, if nothing else happens."""
        next_ms = (await self._lanes.tick()).next_ms
        return IDLE_SECONDS if next_ms is None else min(IDLE_SECONDS, max(LEAST_SECONDS, next_ms / 1000))

    async def _wait(self, seconds: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds and max(0.0, seconds)):
                await self._woken.wait()
