"""Moves closed days of the ledger into the media store, and removes days whose retention has passed.

The parts are written first, and read again; then one script drops the day from Redis, if it is still as it
was read. Whatever a crash leaves is a whole ledger.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Final

from redis.asyncio import Redis

from gateway.environment import Environment
from gateway.errors import MediaStoreUnavailable, NotFound
from gateway.media.base import MediaStore
from gateway.store import keys
from gateway.store.balances import RedisBalances, days
from gateway.store.client import store_errors
from gateway.store.ledger import BATCH
from gateway.store.ledger_parts import PART_ENTRIES, Manifest, Stored, digest_of, dump, folder_of, key_of
from gateway.store.script_runner import Scripts

#: A day is closed when it has been over for so long.
CLOSED_AFTER_SECONDS: Final = 3600
_AT_ONCE: Final = 500


class LedgerArchive:
    """`kept_days`: how many days are kept. Every call may raise StoreUnavailable and MediaStoreUnavailable,
    and can be repeated."""

    def __init__(
        self, redis: Redis, scripts: Scripts, media: MediaStore, environment: Environment, kept_days: int
    ) -> None:
        self._redis = redis
        self._scripts = scripts
        self._media = media
        self._environment = environment
        self._kept_days = kept_days
        self._balances = RedisBalances(redis)

    async def has_room(self) -> bool:
        space = await self._media.space()
        return space is None or space.headroom >= 1

    async def closed(self) -> list[str]:
        """The closed days that are in Redis, oldest first."""
        with store_errors():
            seconds, _ = await self._redis.time()
            until = datetime.fromtimestamp(seconds - CLOSED_AFTER_SECONDS, UTC).date() - timedelta(1)
            wanted = list(days(await self._since(until), until))
            async with self._redis.pipeline(transaction=False) as pipe:
                for day in wanted:
                    pipe.exists(keys.ledger(day))
                found = await pipe.execute()
        return [day for day, exists in zip(wanted, found, strict=True) if exists]

    async def move(self, day: str) -> bool:
        """Moves the day. False if an entry was added meanwhile."""
        parts, entries, last = list[str](), 0, ""
        while part := await self._after(day, last):
            raw = await asyncio.to_thread(dump, part)
            digest = digest_of(raw)
            await self._write(key_of(day, len(parts), digest), raw)
            parts.append(digest)
            entries, last = entries + len(part), part[-1][0]
        if not parts:
            return False
        places = [keys.ledger(day), keys.LEDGER_MOVED]
        manifest = Manifest(entries, parts).dump()
        return bool(await self._scripts.run("move_ledger", places, [day, entries, last, manifest]) == "moved")

    async def _after(self, day: str, last: str) -> list[Stored]:
        """The entries of the next part."""
        found: list[Stored] = []
        while len(found) < PART_ENTRIES:
            with store_errors():
                first = f"({last}" if last else "-"
                batch = await self._redis.xrange(keys.ledger(day), first, count=BATCH)
            if not batch:
                break
            found += batch
            last = batch[-1][0]
        return found

    async def _write(self, key: str, raw: bytes) -> None:
        """Writes the object, and reads it again: it is about to be all that there is."""
        await self._environment.reach("ledger_put.before")
        await self._media.put(key, raw)
        try:
            kept = await self._media.read(key)
        except NotFound:
            kept = b""
        if kept != raw:
            raise MediaStoreUnavailable("the media store does not return what was written")
        await self._environment.reach("ledger_put.after")

    async def forget(self, most: int) -> int:
        """Removes at most so many days whose retention has passed, and the balances of these days. Returns
        their number."""
        with store_errors():
            seconds, _ = await self._redis.time()
            today = datetime.fromtimestamp(seconds, UTC).date()
            first, since = today - timedelta(self._kept_days), await self._since(today)
        expired = list(days(since, first - timedelta(1)))[:most]
        for day in expired:
            await self._forget(day)
        if not expired:
            with store_errors():  # from now on it is known which days are whole
                await self._redis.set(keys.LEDGER_SINCE, since.isoformat(), nx=True)
        return len(expired)

    async def _since(self, today: date) -> date:
        found: str | None = await self._redis.get(keys.LEDGER_SINCE)
        return today - timedelta(self._kept_days) if found is None else date.fromisoformat(found)

    async def _forget(self, day: str) -> None:
        tenants = await self._balances.tenants()
        with store_errors():
            for at in range(0, len(tenants), _AT_ONCE):
                await self._redis.delete(*(keys.balance(one, day) for one in tenants[at : at + _AT_ONCE]))
            moved = await self._redis.hexists(keys.LEDGER_MOVED, day)  # type: ignore[misc]
        if moved:
            await self._media.drop(folder_of(day))
        following = date.fromisoformat(day) + timedelta(1)
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.delete(keys.ledger(day))
                pipe.hdel(keys.LEDGER_MOVED, day)
                pipe.set(keys.LEDGER_SINCE, following.isoformat())
                await pipe.execute()
