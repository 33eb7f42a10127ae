"""Advances the running recoveries, step by step.

Any number of processes may do this: each step is one script, which records its progress and never queues more
than the subscriber can soon receive.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.errors import StoreUnavailable
from gateway.store.recoveries import RedisRecoveries
from gateway.telemetry.logs import Outage

PAUSE_SECONDS: Final = 1.0
#: While a recovery runs. Steps are small, because a burst delays all other deliveries.
STEP_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Recoverer:
    store: RedisRecoveries

    async def run(self) -> None:
        """Runs for ever. A Redis failure ends one pass, not the loop."""
        outage = Outage("recoveries_cut_short", "recoveries_back")
        while True:
            names: list[str] = []
            try:
                names = await self.store.running()
                await self._advance(names)
                outage.recovered()
            except StoreUnavailable as error:
                outage.failed(str(error))
            await asyncio.sleep(STEP_SECONDS if names else PAUSE_SECONDS)

    async def advance(self) -> int:
        """Advances each recovery as far as possible now, one batch each in turn. Returns the number of
        deliveries that are pending again."""
        return await self._advance(await self.store.running())

    async def _advance(self, names: list[str]) -> int:
        moved = 0
        while names:
            further = []
            for name in names:
                more, steps = await self._step(name)
                moved += steps
                if more:
                    further.append(name)
            names = further
        return moved

    async def _step(self, name: str) -> tuple[bool, int]:
        try:
            step = await self.store.advance(name)
        except StoreUnavailable:
            raise
        except Exception:  # noqa: BLE001  # one unreadable record must not stop the recovery of all others
            structlog.get_logger().exception("recovery_stuck", recovery=name)
            return False, 0
        if step.over:
            structlog.get_logger().info("recovery_over", recovery=name)
        return step.more, step.moved
