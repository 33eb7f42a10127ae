"""Reads the ledger, day by day: from Redis, or from the media store once a day is closed and moved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

from redis.asyncio import Redis

from gateway.errors import ArchiveLost, NotFound
from gateway.media.base import MediaStore
from gateway.store import arguments, keys
from gateway.store.balances import days
from gateway.store.client import store_errors
from gateway.store.ledger_parts import Damaged, Manifest, Stored, key_of, load
from gateway.store.script_runner import Scripts

#: Entries that are read at once.
BATCH: Final = 1000
_START: Final = "-"


class RedisLedger:
    """Every call may raise StoreUnavailable, and those that read old days MediaStoreUnavailable."""

    def __init__(self, redis: Redis, scripts: Scripts, media: MediaStore) -> None:
        self._redis = redis
        self._scripts = scripts
        self._media = media

    async def today(self) -> date:
        """By Redis' clock, as the entries are."""
        with store_errors():
            seconds, _ = await self._redis.time()
        return datetime.fromtimestamp(seconds, UTC).date()

    async def since(self) -> date | None:
        """The first day that is kept; None: no day was removed yet."""
        with store_errors():
            found = await self._redis.get(keys.LEDGER_SINCE)
        return None if found is None else date.fromisoformat(found)

    async def entries(self, since: date, until: date) -> AsyncIterator[list[Stored]]:
        """Batches of the entries of these days, both included, oldest first."""
        for day in days(since, min(until, await self.today())):
            async for batch in self.of_day(day):
                yield batch

    async def at_once(
        self, days: Mapping[str, str], count: int, balances: Sequence[str] = ()
    ) -> tuple[list[str | None], list[list[Stored]], list[Mapping[str, str]]]:
        """What is true at one moment: where each day was moved to, up to `count` of its entries from the one
        that `days` says, and the balances with these keys."""
        where = [keys.LEDGER_MOVED, *map(keys.ledger, days), *balances]
        args: list[str | int] = [len(days), count, *(text for one in days.items() for text in one)]
        moved, entries, found = await self._scripts.run("read_ledger", where, args)
        read: list[list[Stored]] = [[(name, arguments.pairs(flat)) for name, flat in one] for one in entries]
        return moved, read, [*map(arguments.pairs, found)]

    async def of_day(self, day: str) -> AsyncIterator[list[Stored]]:
        """Batches of the entries of the day, oldest first. It may be moved meanwhile."""
        last: str | None = None
        while True:
            first = _START if last is None else f"({last}"
            [moved], [found], _ = await self.at_once({day: first}, BATCH)
            if moved is not None:
                async for batch in self._moved(day, Manifest.load(moved), last):
                    yield batch
                return
            if not found:
                return
            yield found
            last = found[-1][0]

    async def _moved(self, day: str, manifest: Manifest, last: str | None) -> AsyncIterator[list[Stored]]:
        """The entries after `last`."""
        passed = None if last is None else _order(last)
        for number, digest in enumerate(manifest.parts):
            found = await self._part(day, number, digest)
            if passed is not None:
                found = [one for one in found if _order(one[0]) > passed]
            for at in range(0, len(found), BATCH):
                yield found[at : at + BATCH]

    async def _part(self, day: str, number: int, digest: str) -> list[Stored]:
        try:
            raw = await self._media.read(key_of(day, number, digest))
            return await asyncio.to_thread(load, raw, digest)
        except (NotFound, Damaged):
            lost = f"part {number} of the ledger of {day} cannot be read; restore it from a backup"
            raise ArchiveLost(lost) from None


def _order(entry_id: str) -> tuple[int, ...]:
    return tuple(map(int, entry_id.split("-")))


def row(entry: Stored) -> dict[str, Any]:
    """The stored entry with its id and the time of its writing, in ms."""
    name, fields = entry
    return {"id": name, "at": name.partition("-")[0], **fields}
