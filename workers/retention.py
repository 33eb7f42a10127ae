"""Once a minute: removes the finished jobs whose retention has passed, and what of the others goes earlier.

Any number of these may run: the script compares before it removes, so doing it twice changes nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.errors import StoreUnavailable
from gateway.store import keys
from gateway.store.retention import Early, RedisRetention
from gateway.store.script_runner import Scripts
from gateway.telemetry.logs import Outage

PAUSE_SECONDS: Final = 60.0
BATCH: Final = 100
_STRETCHES: Final = 100  # of one walk in one pass


@dataclass(frozen=True, slots=True)
class Retention:
    store: RedisRetention
    scripts: Scripts

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
        if not await self.scripts.acquire_leadership(keys.RETENTION, PAUSE_SECONDS * 0.9):
            return 0
        await self.store.trim_audit()
        forgotten = 0
        while names := await self.store.expired(BATCH):
            for name in names:
                forgotten += await self._forget(name)
        if forgotten:
            structlog.get_logger().info("jobs_forgotten", jobs=forgotten)
        for early in self.store.early:
            await self._walk(early)
        return forgotten

    async def _walk(self, early: Early) -> None:
        for _ in range(_STRETCHES):
            stretch = await early.walk.due(BATCH)
            if stretch.jobs:
                again = [name for name in stretch.jobs if not await self._forget_early(name, early)]
                await early.walk.passed(stretch, again)
            if not stretch.more:
                return

    async def _forget_early(self, name: str, early: Early) -> bool:
        try:
            return await self.store.forget_early(name, early)
        except StoreUnavailable:
            raise
        except Exception:  # noqa: BLE001  # for the same reason
            structlog.get_logger().exception("forgetting_failed", job=name)
            return False

    async def _forget(self, name: str) -> bool:
        try:
            return await self.store.forget(name)
        except StoreUnavailable:
            raise
        except Exception:  # noqa: BLE001  # one unreadable record must not stop the removal of all others
            structlog.get_logger().exception("forgetting_failed", job=name)
            await self.store.put_off(name)
            return False
