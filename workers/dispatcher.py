"""Dispatches work the moment it is due, in every worker process.

Most work is dispatched by the script that creates it or frees a slot. Work that waits for a time, such as a
retry or a paused lane, is dispatched here: the store says when the next is due, and this sleeps until then.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from gateway.errors import StoreUnavailable
from gateway.store.lanes import Lanes
from gateway.telemetry.logs import Outage

#: Another process may schedule work without notice, so the store is asked at least this often.
IDLE_SECONDS: Final = 1.0
_AGAIN_SECONDS: Final = 0.2  # while Redis is away
#: The shortest time between two questions to the store, however much is due.
LEAST_SECONDS: Final = 0.005


class Dispatcher:
    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._woken = asyncio.Event()

    def soon(self) -> None:
        """Call this after scheduling work that may be due before the current sleep ends."""
        self._woken.set()

    async def run(self) -> None:
        """Runs for ever. A Redis failure ends one pass, not the loop."""
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
            await self._wait(seconds - LEAST_SECONDS)

    async def dispatch(self) -> float:
        """Dispatches what may run now. Returns the seconds until the next call, if nothing else happens."""
        next_ms = (await self._lanes.tick()).next_ms
        return IDLE_SECONDS if next_ms is None else min(IDLE_SECONDS, max(LEAST_SECONDS, next_ms / 1000))

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._woken.wait()
