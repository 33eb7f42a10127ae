"""Streams for operators on Redis: ops events, and quarantined callbacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis
from redis.client import NEVER_DECODE

from gateway.store import keys
from gateway.store.client import store_errors

#: How many raw bytes of a quarantined callback are shown.
SHOWN_BYTES: Final = 2000


@dataclass(frozen=True, slots=True)
class Entries:
    """Entries of a stream: `id` and fields. `more`: others follow in the order of the page."""

    rows: list[dict[str, str]]
    more: bool


class RedisOpsLog:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def events(self, after: str | None, limit: int) -> Entries:
        """The ops events later than the entry `after`, oldest first."""
        return _page(await self._read(keys.OPS_EVENTS, after, limit), limit)

    async def newest_events(self, before: str | None, limit: int) -> Entries:
        """The ops events earlier than the entry `before`, newest first."""
        return _page(await newest(self._redis, keys.OPS_EVENTS, before, limit + 1), limit)

    async def quarantine(self, after: str | None, limit: int) -> Entries:
        """Quarantined callbacks, oldest first. `raw`: the start of the body; bytes that are not UTF-8 are
        shown as escapes."""
        found = await self._read(keys.QUARANTINE, after, limit, **{NEVER_DECODE: True})
        texts = [(_text(name), {_text(k): _text(v) for k, v in fields.items()}) for name, fields in found]
        return _page(texts, limit)

    async def _read(self, stream: str, after: str | None, limit: int, **options: Any) -> Any:
        """Up to `limit` + 1 entries, to see whether more follow."""
        first = f"({after}" if after else "-"
        with store_errors():
            return await self._redis.execute_command(  # type: ignore[no-untyped-call]
                "XRANGE", stream, first, "+", "COUNT", limit + 1, **options
            )


async def newest(
    redis: Redis, stream: str, before: str | None, most: int
) -> list[tuple[str, dict[str, str]]]:
    """Entries of the stream earlier than the entry `before`, newest first."""
    if before is not None and not before.replace("-", "").strip("0"):
        return []  # Redis answers with an error for an id before the first possible one
    with store_errors():
        found: list[tuple[str, dict[str, str]]] = await redis.xrevrange(
            stream, f"({before}" if before else "+", "-", count=most
        )
    return found


def _page(found: Sequence[tuple[str, Mapping[str, str]]], limit: int) -> Entries:
    rows = [
        {"id": name} | {field: value for field, value in fields.items() if value != ""}
        for name, fields in found[:limit]
    ]
    return Entries(rows, more=len(found) > limit)


def _text(raw: bytes) -> str:
    return raw[:SHOWN_BYTES].decode(errors="backslashreplace")
