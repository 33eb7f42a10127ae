"""Hands out what is due the moment that it is, in every worker process.

Most work is handed out by the script that makes it, or that frees a slot. What has to wait for its time, a
retry or a parked lane, is handed out here: the store says when the next is due, and until then this sleeps.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from gateway.errors import StoreUnavailable
from gateway.store.lanes import Lanes
from gateway.telemetry import Outage

#: Nothing is told of what another process schedules, so that it is looked for this often at least.
IDLE_SECONDS: Final = 1.0
#: The store is asked no more often, however much is due.
LEAST_SECONDS: Final = 0.005


class Dispatcher:
    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._woken = asyncio.Event()

    def soon(self) -> None:
        """Something was scheduled that is due sooner than what is waited for."""
        self._woken.set()

    async def run(self) -> None:
        """For ever. Redis being away ends a pass, never the loop."""
        outage = Outage("dispatch_cut_short", "dispatch_back")
        while True:
            self._woken.clear()  # first: what is scheduled from here on may not be in the store's answer
            try:
                seconds = await self.dispatch()
                outage.recovered()
            except StoreUnavailable as error:
                outage.failed(str(error))
                seconds = IDLE_SECONDS
            await asyncio.sleep(LEAST_SECONDS)
            await self._wait(seconds - LEAST_SECONDS)

    async def dispatch(self) -> float:
        """Hands out what may run now; seconds until it is to be done again, if nothing else happens."""
        next_ms = (await self._lanes.tick()).next_ms
        return IDLE_SECONDS if next_ms is None else min(IDLE_SECONDS, max(LEAST_SECONDS, next_ms / 1000))

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._woken.wait()
