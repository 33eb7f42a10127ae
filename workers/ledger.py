"""The care for the ledger: sums up what was spent, compares balances, moves closed days, removes old ones.

Any process may do each step, but only one at a time does. While the media store is away, closed days stay in
Redis, where they are read as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.errors import Unavailable
from gateway.store import keys
from gateway.store.balances import TooMuch
from gateway.store.ledger import RedisLedger
from gateway.store.ledger_archive import LedgerArchive
from gateway.store.script_runner import Scripts
from gateway.store.spend import RedisSpend
from gateway.telemetry.logs import Outage

PAUSE_SECONDS: Final = 5.0
#: How often each step is due.
_SUM_SECONDS: Final = 30.0
_CHECK_SECONDS: Final = 3600.0
_MOVE_SECONDS: Final = 600.0
_FORGOTTEN: Final = 40  # days that one pass removes


@dataclass(frozen=True, slots=True)
class LedgerKeeper:
    spend: RedisSpend
    ledger: RedisLedger
    archive: LedgerArchive
    scripts: Scripts

    async def run(self) -> None:
        """Runs for ever. A failure of Redis or of the media store ends one step, not the others."""
        steps: tuple[tuple[Callable[[], Awaitable[object]], Outage], ...] = (
            (self.sum_up, Outage("spend_cut_short", "spend_back")),
            (self.check, Outage("ledger_check_cut_short", "ledger_check_back")),
            (self.move, Outage("ledger_waits", "ledger_goes_on")),
            (self.forget, Outage("ledger_waits", "ledger_goes_on")),
        )
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            for step, outage in steps:
                try:
                    await step()
                    outage.recovered()
                except (Unavailable, TooMuch) as error:
                    outage.failed(str(error) or "there are too many tenants")

    async def sum_up(self) -> None:
        if await self.scripts.acquire_leadership(keys.SPEND_SUM, _SUM_SECONDS):
            await self.spend.sum_up()

    async def check(self) -> None:
        """Compares the balances of today and yesterday with the ledger."""
        if not await self.scripts.acquire_leadership(keys.SPEND_CHECK, _CHECK_SECONDS):
            return
        found = await self.spend.check(await self.ledger.today())
        for one in found.differences:
            structlog.get_logger().error(
                "ledger_differs",
                tenant=one.tenant,
                key=one.key,
                period=one.period,
                field=one.field,
                ledger=one.ledger,
                balance=one.balance,
            )

    async def move(self) -> int:
        """Moves closed days. Returns how many."""
        if not await self.scripts.acquire_leadership(keys.LEDGER_MOVE, _MOVE_SECONDS):
            return 0
        moved = 0
        if await self.archive.has_room():
            for day in await self.archive.closed():
                if await self.archive.move(day):
                    structlog.get_logger().info("ledger_moved", day=day)
                    moved += 1
        return moved

    async def forget(self) -> None:
        """Removes days whose retention has passed, also while others cannot be moved."""
        if await self.scripts.acquire_leadership(keys.LEDGER_FORGET, _MOVE_SECONDS):
            await self.archive.forget(_FORGOTTEN)
