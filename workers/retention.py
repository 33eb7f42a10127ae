"""Once a minute: forget the jobs that were finished longer ago than they are kept.

Any number of these may run; forgetting compares before it removes, so that doing it twice changes nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.errors import StoreUnavailable
from gateway.store.retention import RedisRetention
from gateway.telemetry import Outage

PAUSE_SECONDS: Final = 60.0
BATCH: Final = 100


@dataclass(frozen=True, slots=True)
class Retention:
    store: RedisRetention

    async def run(self) -> None:
        """For ever. Redis being away ends a pass, never the loop."""
        outage = Outage("retention_cut_short", "retention_back")
        while True:
            try:
                await self.sweep()
                outage.recovered()
            except StoreUnavailable as error:
                outage.failed(str(error))
            await asyncio.sleep(PAUSE_SECONDS)

    async def sweep(self) -> int:
        """One pass over all that is due, unless another process has just begun one; how many jobs were
        forgotten. Each batch is read anew: what it holds is gone or put off when it is done."""
        if not await self.store.lead(PAUSE_SECONDS * 0.9):
            return 0
        await self.store.trim_audit()
        forgotten = 0
        while names := await self.store.expired(BATCH):
            for name in names:
                forgotten += await self._forget(name)
        if forgotten:
            structlog.get_logger().info("jobs_forgotten", jobs=forgotten)
        return forgotten

    async def _forget(self, name: str) -> bool:
        try:
            return await self.store.forget(name)
        except StoreUnavailable:
            raise
        except Exception:  # noqa: BLE001  # one unreadable record must not stop the forgetting of all others
            structlog.get_logger().exception("forgetting_failed", job=name)
            await self.store.put_off(name)
            return False
