"""Once a minute: removes the finished jobs whose retention has passed.

Any number of these may run: the script compares before it removes, so doing it twice changes nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.errors import StoreUnavailable
from gateway.store.retention import RedisRetention
from gateway.telemetry.logs import Outage

PAUSE_SECONDS: Final = 60.0
BATCH: Final = 100


@dataclass(frozen=True, slots=True)
class Retention:
    store: RedisRetention

    async def run(self) -> None:
        """Runs for ever. A Redis failure ends one pass, not the loop."""
        outage = Outage("retention_cut_short", "retention_back")
        while True:
            try:
                await self.sweep()
                outage.recovered()
            except StoreUnavailable as error:
                outage.failed(str(error))
            await asyncio.sleep(PAUSE_SECONDS)

    async def sweep(self) -> int:
        """One pass over all expired jobs, unless another process has just begun one. Returns the number of
        removed jobs. Each job of a batch is removed or postponed, so that the next read finds other jobs."""
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
        except Exception:  # noqa: BLE001  # one unreadable record must not stop the removal of all others
            structlog.get_logger().exception("forgetting_failed", job=name)
            await self.store.put_off(name)
            return False
