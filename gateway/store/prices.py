"""Prices on Redis: one document with a version, and with which prices each gateway process works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson
from redis.asyncio import Redis

from gateway.money.prices import PriceBook
from gateway.store import arguments, keys
from gateway.store.client import store_errors
from gateway.store.effects import AuditEntry
from gateway.store.exchange import Word
from gateway.store.script_runner import Scripts

#: A process without a report for this long does not count.
SILENT_MS: Final = 15_000
#: A change reaches all processes well within this time: books that differ for longer are a fault.
SETTLED_MS: Final = 30_000
#: `known` of a process whose prices are from a file.
FROM_FILE: Final = -1


class StoredPrices(NamedTuple):
    """`version`: 0 if none were ever stored. `at`: when they were changed (ms); `by`: the id of a key."""

    version: int = 0
    document: dict[str, Any] | None = None
    at: int | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class BookInUse:
    """The prices of a gateway process. `since`, `seen`: ms. `fault`: newer ones could not be read."""

    process: str
    digest: str
    since: int
    fault: bool
    seen: int


class PriceGauges(NamedTuple):
    """`books`: how many different prices gateway processes work with. `faults`: how many of these processes
    could not read newer ones."""

    books: int = 0
    faults: int = 0


class RedisPrices:
    def __init__(self, redis: Redis, scripts: Scripts) -> None:
        self._redis = redis
        self._scripts = scripts

    async def read(self) -> StoredPrices:
        with store_errors():
            fields: dict[str, str] = await self._redis.hgetall(keys.PRICES)  # type: ignore[misc]
        if "version" not in fields:
            return StoredPrices()
        document = orjson.loads(fields["document"])
        return StoredPrices(int(fields["version"]), document, int(fields["at"]), fields["by"])

    async def change(self, book: PriceBook, seen: int, by: str, changes: Mapping[str, str]) -> int | None:
        """Replaces all prices; returns their version. None: the version is not `seen` any more. Adds an audit
        entry with `by` and `changes` in the same step."""
        entry = AuditEntry("prices_changed", by, changes).document()
        args: list[Word] = [str(seen), orjson.dumps(book.document()), book.digest, by, arguments.dump(entry)]
        version, done = await self._scripts.run("change_prices", [keys.PRICES], args)
        return None if done < 0 else int(version)

    async def report(
        self, process: str, book: PriceBook, since: int, known: int, *, fault: bool, file_change: str = ""
    ) -> tuple[int, dict[str, Any] | None]:
        """Says with which prices the process works. Returns the stored version, and the document if that is
        another than `known`. `file_change`: what changed in its price file, for the audit."""
        entry: Word = ""
        if file_change:
            entry = arguments.dump(
                AuditEntry("prices_changed", "price file", {"changes": file_change}).document()
            )
        args: list[Word] = [process, book.digest, str(since), "1" if fault else "", str(known), entry]
        version, document = await self._scripts.run("report_prices", [keys.PRICES, keys.PRICE_BOOKS], args)
        return int(version), orjson.loads(document) if document else None

    async def leave(self, process: str) -> None:
        """The process ends."""
        await self._scripts.run(
            "report_prices", [keys.PRICES, keys.PRICE_BOOKS], [process, "", "0", "", "0", ""]
        )

    async def in_use(self) -> list[BookInUse]:
        """The prices of the gateway processes that reported lately."""
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.time()
                pipe.hgetall(keys.PRICE_BOOKS)
                (seconds, microseconds), found = await pipe.execute()
        return books_in_use(found, seconds * 1000 + microseconds / 1000)


def books_in_use(found: Mapping[str, str], now_ms: float) -> list[BookInUse]:
    """Those of processes that reported lately, by their names."""
    books = []
    for process, text in sorted(found.items()):
        digest, since, fault, seen = text.split("|")
        if now_ms - int(seen) <= SILENT_MS:
            books.append(BookInUse(process, digest, int(since), fault == "1", int(seen)))
    return books


def price_gauges(found: Mapping[str, str], now_ms: float) -> PriceGauges:
    """A book counts when its process has had it for a while: a change takes a moment to reach all."""
    books = books_in_use(found, now_ms)
    settled = {book.digest for book in books if now_ms - book.since > SETTLED_MS}
    return PriceGauges(len(settled), sum(book.fault for book in books))
