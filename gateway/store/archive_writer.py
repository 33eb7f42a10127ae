"""Moves finished jobs from Redis into the media store.

The object is written first, and read again; then one script drops what it holds from the record, if the job
is still as it was read. Whatever a crash leaves is a readable job: at worst with an object that nothing
names.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from redis.asyncio import Redis

from gateway.assets import Variant
from gateway.dispatch import PREFIX
from gateway.environment import Environment
from gateway.errors import MediaStoreUnavailable, NotFound
from gateway.events import EventType, event_id
from gateway.lifecycle import FINAL, DeliveryState
from gateway.media.base import MediaStore
from gateway.store import arguments, keys
from gateway.store.archive_document import (
    Document,
    digest_of,
    dump,
    is_kept,
    key_of,
    payload_key_of,
)
from gateway.store.archive_reader import FIELD
from gateway.store.client import store_errors
from gateway.store.finished_walk import FinishedWalk
from gateway.store.script_runner import Scripts

_LEAD: Final = f"{PREFIX}archive"
_FINAL: Final = {state.value: True for state in FINAL}
_EVENT_FIELDS: Final = ("packed", "body", "trace")
_SMALL_CHARACTERS: Final = 16_384


class Moved(StrEnum):
    ARCHIVED = "archived"
    LATER = "later"  #: it may still change, or is not due
    CHANGED = "changed"  #: between the reading and the dropping
    GONE = "gone"  #: there is nothing to move: no such job, not finished, or archived before


class RedisArchive:
    """`after_seconds`: jobs are moved so long after they became final. Every call may raise StoreUnavailable
    and MediaStoreUnavailable, and can be repeated."""

    def __init__(
        self,
        redis: Redis,
        scripts: Scripts,
        media: MediaStore,
        environment: Environment,
        after_seconds: float,
    ) -> None:
        self._redis = redis
        self._scripts = scripts
        self._media = media
        self._environment = environment
        self._after_ms = int(after_seconds * 1000)
        self.walk = FinishedWalk(redis, scripts, "archive", self._after_ms)

    async def has_room(self) -> bool:
        """Whether the media store takes more: what a job leaves in Redis is bounded, a disk is not."""
        space = await self._media.space()
        return space is None or space.headroom >= 1

    @property
    def readable_by_all(self) -> bool:
        """Whether every process that uses this Redis can read an archived job, as far as is known."""
        return self._scripts.alone

    async def lead(self, task: str, seconds: float) -> bool:
        """True for only one caller in this many seconds, for each task."""
        lock = f"{_LEAD}:{task}"
        return bool(await self._scripts.run("acquire_leadership", [lock], [int(seconds * 1000)]))

    async def move(self, job_id: str) -> Moved:
        """Moves the job into the media store."""
        document, deliveries = await self._read(job_id)
        if document is None:
            return Moved.GONE
        small, both = _is_small(document), (document, deliveries)
        raw, payload, seen = _packed(*both) if small else await asyncio.to_thread(_packed, *both)
        digest = digest_of(raw)
        await self._environment.reach("archive_put.before")
        if payload is not None:
            await self._write(payload_key_of(job_id, digest_of(payload)), payload)
        await self._write(key_of(job_id, digest), raw)
        await self._environment.reach("archive_put.after")
        order = {
            "name": job_id,
            "digest": digest,
            "seen": seen,
            "fields": list(document.job),
            "deliveries": deliveries,
            "events": list(document.events),
            "after_ms": self._after_ms,
            "final": _FINAL,
            "pending": DeliveryState.PENDING,
            "variants": list(Variant),
            "steps": arguments.TICKET_TYPES,
        }
        return Moved(await self._scripts.run("archive", [keys.job(job_id)], [arguments.dump(order)]))

    async def _write(self, key: str, raw: bytes) -> None:
        """Writes the object, and reads it again: it is about to be all that there is."""
        await self._media.put(key, raw)
        try:
            kept = await self._media.read(key)
        except NotFound:
            kept = b""
        if kept != raw:
            raise MediaStoreUnavailable("the media store does not return what was written")

    async def _read(self, job_id: str) -> tuple[Document | None, list[str]]:
        """What is to be moved, and the ids of all deliveries of the job. (None, []) if that is nothing."""
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.hgetall(keys.job(job_id))
                pipe.get(keys.payload(job_id))
                pipe.lrange(keys.job_audit(job_id), 0, -1)
                pipe.smembers(keys.job_deliveries(job_id))
                fields, payload, history, members = await pipe.execute()
            if not fields or FIELD in fields or fields["state"] not in _FINAL:
                return None, []
            deliveries = sorted(name if name.startswith("dlv_") else f"dlv_{name}" for name in members)
            async with self._redis.pipeline(transaction=False) as pipe:
                for name in deliveries:
                    pipe.hmget(keys.delivery(name), ["log", "event_id"])
                owed: list[list[str | None]] = await pipe.execute()
            events = {event_id(job_id, kind) for kind in EventType} | {name for _, name in owed if name}
            found = await self._events(sorted(events))
        logs = {name: log for name, (log, _) in zip(deliveries, owed, strict=True) if log}
        moved = {name: fields[name] for name in sorted(fields) if not is_kept(name)}
        return Document(moved, payload, history, logs, found), deliveries

    async def _events(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hmget(keys.event(name), list(_EVENT_FIELDS))
            found: list[list[str | None]] = await pipe.execute()
        return {
            name: {field: text for field, text in zip(_EVENT_FIELDS, values, strict=True) if text is not None}
            for name, values in zip(names, found, strict=True)
            if any(values)
        }


def _is_small(document: Document) -> bool:
    """Whether packing it takes less time than handing it to a thread."""
    return sum(map(len, document.job.values())) + len(document.payload or "") < _SMALL_CHARACTERS


def _packed(document: Document, deliveries: Sequence[str]) -> tuple[bytes, bytes | None, str]:
    """What `dump` and `_seen` return."""
    return *dump(document), _seen(document, deliveries)


def _seen(document: Document, deliveries: Sequence[str]) -> str:
    """The `seen` of archive.lua."""
    texts: list[str | None] = [*document.job.values(), document.payload, *document.history]
    texts += [document.logs.get(name) for name in deliveries]
    texts += [fields.get(name) for fields in document.events.values() for name in _EVENT_FIELDS]
    parts = [(text or "").encode() for text in texts]
    return hashlib.sha1(
        b"".join(b"%d:%b" % (len(part), part) for part in parts), usedforsecurity=False
    ).hexdigest()
