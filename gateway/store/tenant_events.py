"""What a tenant's clients hear, in the order in which it happened, from any place on that is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import structlog
from redis.asyncio import Redis

from gateway import events
from gateway.events import EVENT_OF, FINAL_TYPES, EventType
from gateway.jobs import Job, from_fields
from gateway.store import keys
from gateway.store.client import store_errors

#: Before everything that can be in a stream.
START: Final = "0-0"
_TOLD: Final = "told:"
_KEPT: Final = 10_000  # as scripts/records.lua says


class Entry(NamedTuple):
    """One event of a job. `id`: its place in the tenant's stream, `<ms>-<number>`. `type`: of `EventType`, or
    of a newer version of this service."""

    id: str
    type: str
    job_id: str


class Story(NamedTuple):
    """A job and what clients were told of it, in order."""

    job: Job
    told: list[Entry]


def place(entry_id: str) -> tuple[int, int]:
    """An id as what can be compared."""
    ms, _, number = entry_id.partition("-")
    return int(ms), int(number or 0)


class RedisTenantEvents:
    """Every call may raise StoreUnavailable."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def tail(self, tenant: str) -> str:
        """The newest id in the tenant's stream."""
        with store_errors():
            newest = await self._redis.xrevrange(keys.tenant_events(tenant), count=1)
        return str(newest[0][0]) if newest else START

    async def after(self, places: Sequence[tuple[str, str]], count: int) -> list[list[Entry]]:
        """For each (tenant, id): what comes after that id in the tenant's stream, `count` at most."""
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for tenant, last in places:
                    pipe.xrange(keys.tenant_events(tenant), min=f"({last}", count=count)
                found: list[list[tuple[str, dict[str, str]]]] = await pipe.execute()
        return [[Entry(name, fields["type"], fields["job"]) for name, fields in page] for page in found]

    async def missing_after(self, tenant: str, last: str) -> str | None:
        """The oldest id that is kept, when something between `last` and it is kept no longer, or when `last`
        has not happened yet, as far as this Redis knows. None: all that came after `last` is there."""
        with store_errors():
            key = keys.tenant_events(tenant)
            if not await self._redis.exists(key):
                return START if place(last) > place(START) else None
            info: dict[str, Any] = await self._redis.xinfo_stream(key)
        if place(last) > place(info["last-generated-id"]):
            return str(info["last-generated-id"])
        oldest = str(info["first-entry"][0]) if info["first-entry"] else str(info["last-generated-id"])
        gone = int(info["entries-added"]) > int(info["length"])
        if not gone or place(last) >= place(oldest):
            return None
        # Nothing after `last` was forgotten with its job, and only a full stream is cut.
        forgotten = place(info["max-deleted-entry-id"])
        whole = place(START) < forgotten <= place(last) and int(info["length"]) < _KEPT
        return None if whole else oldest

    async def story(self, tenant: str, job_id: str) -> Story | None:
        """The job, if it is this tenant's, and what was told of it."""
        with store_errors():
            fields: dict[str, str] = await self._redis.hgetall(keys.job(job_id))  # type: ignore[misc]
        if not fields or fields["tenant"] != tenant:
            return None
        told = [
            Entry(value, name.removeprefix(_TOLD), job_id)
            for name, value in fields.items()
            if name.startswith(_TOLD)
        ]
        return Story(from_fields(job_id, fields), sorted(told, key=lambda entry: place(entry.id)))

    async def bodies(self, entries: Sequence[Entry]) -> list[bytes | None]:
        """Each event's bytes: those that subscribers get, of a final one. None: its job was forgotten."""
        if not entries:
            return []
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for entry in entries:
                    if entry.type in FINAL_TYPES:
                        pipe.hget(keys.event(_event_id(entry)), "body")
                    else:
                        pipe.hgetall(keys.job(entry.job_id))
                found: list[Any] = await pipe.execute()
        bodies: list[bytes | None] = []
        for entry, value in zip(entries, found, strict=True):
            if isinstance(value, str):
                bodies.append(value.encode())
            else:
                bodies.append(await self._made(entry, value))
        return bodies

    async def _made(self, entry: Entry, fields: dict[str, str] | None) -> bytes | None:
        """The event made of the record. One that cannot be read must not hold up all others."""
        with store_errors():
            if fields is None:
                fields = await self._redis.hgetall(keys.job(entry.job_id))  # type: ignore[misc]
            if not fields:
                return None
            payload: str | None = None
            if "payload_characters" in fields:
                payload = await self._redis.get(keys.payload(entry.job_id)) or ""
        try:
            job = from_fields(entry.job_id, fields)
            if entry.type not in FINAL_TYPES:
                return events.make_step(job, EventType(entry.type), payload).body
            return events.make(job, payload).body if EVENT_OF.get(job.state) is entry.type else None
        except (ValueError, KeyError, TypeError):
            structlog.get_logger().exception("record_unreadable", job=entry.job_id)
            return None


def _event_id(entry: Entry) -> str:
    """As `gateway.events` makes it."""
    return f"evt_{entry.job_id.removeprefix('job_')}_{entry.type.removeprefix('job.')}"
