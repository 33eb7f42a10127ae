"""A tenant's stream of events for its clients, in order, readable from any entry that is still kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import structlog
from redis.asyncio import Redis

from gateway import events
from gateway.events import EVENT_OF, FINAL_TYPES, EventType, event_id
from gateway.jobs import EVENT_PAYLOAD_CHARACTERS, Job
from gateway.money.prices import CURRENCY
from gateway.store import event_bodies, keys
from gateway.store.archive_document import Document
from gateway.store.archive_reader import NO_ARCHIVE, Archived
from gateway.store.client import store_errors
from gateway.store.job_fields import from_fields

#: An id before every entry of a stream.
START: Final = "0-0"
_ENTRY_FIELD: Final = "told:"
_KEPT: Final = 10_000  # as scripts/lib/records.lua says
#: A placeholder for every payload that is too long for an event; the event only says that it was omitted.
_OMITTED: Final = " " * (EVENT_PAYLOAD_CHARACTERS + 1)


class Entry(NamedTuple):
    """One event of a job. `id`: in the tenant's stream, `<ms>-<number>`. `type`: an `EventType`, or one of a
    newer version of this service."""

    id: str
    type: str
    job_id: str


class JobEvents(NamedTuple):
    """A job and the events that clients got about it, in order."""

    job: Job
    entries: list[Entry]


def event_position(entry_id: str) -> tuple[int, int]:
    """The id as a tuple that can be compared."""
    ms, _, number = entry_id.partition("-")
    return int(ms), int(number or 0)


class RedisTenantEvents:
    """Every call may raise StoreUnavailable; those that read jobs, MediaStoreUnavailable. `client_url`: the
    base URL of the gateway for clients. `currency`: of costs."""

    def __init__(
        self,
        redis: Redis,
        client_url: str = "",
        archived: Archived = NO_ARCHIVE,
        currency: str = CURRENCY,
    ) -> None:
        self._redis = redis
        self._archived = archived
        self._client_url, self._currency = client_url, currency

    async def tail(self, tenant: str) -> str:
        """The newest id in the tenant's stream; `START` if it is empty."""
        with store_errors():
            newest = await self._redis.xrevrange(keys.tenant_events(tenant), count=1)
        return str(newest[0][0]) if newest else START

    async def after(self, places: Sequence[tuple[str, str]], count: int) -> list[list[Entry]]:
        """For each (tenant, id): the entries after that id in the tenant's stream, at most `count`."""
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for tenant, last in places:
                    pipe.xrange(keys.tenant_events(tenant), min=f"({last}", count=count)
                found: list[list[tuple[str, dict[str, str]]]] = await pipe.execute()
        return [[Entry(name, fields["type"], fields["job"]) for name, fields in page] for page in found]

    async def missing_after(self, tenant: str, last: str) -> str | None:
        """None if every entry after `last` is still there. Otherwise the id from which reading can go on: the
        oldest one that is kept, or the newest one if `last` is later than anything this Redis knows."""
        with store_errors():
            key = keys.tenant_events(tenant)
            if not await self._redis.exists(key):
                return START if event_position(last) > event_position(START) else None
            info: dict[str, Any] = await self._redis.xinfo_stream(key)
        if event_position(last) > event_position(info["last-generated-id"]):
            return str(info["last-generated-id"])
        oldest = str(info["first-entry"][0]) if info["first-entry"] else str(info["last-generated-id"])
        gone = int(info["entries-added"]) > int(info["length"])
        # Removed with its job; older entries may be kept.
        forgotten = event_position(info["max-deleted-entry-id"])
        if gone and forgotten > event_position(last) >= event_position(oldest):
            return await self._next(tenant, last) or str(info["last-generated-id"])
        if not gone or event_position(last) >= event_position(oldest):
            return None
        # No entry after `last` was removed with its job, and only a full stream is trimmed.
        complete = event_position(START) < forgotten <= event_position(last) and int(info["length"]) < _KEPT
        return None if complete else oldest

    async def _next(self, tenant: str, last: str) -> str | None:
        with store_errors():
            found: list[tuple[str, Any]] = await self._redis.xrange(
                keys.tenant_events(tenant), f"({last}", "+", count=1
            )
        return str(found[0][0]) if found else None

    async def job_events(self, tenant: str, job_id: str) -> JobEvents | None:
        """The job and its events, or None if it is not this tenant's."""
        with store_errors():
            fields: dict[str, str] = await self._redis.hgetall(keys.job(job_id))  # type: ignore[misc]
        if not fields or fields["tenant"] != tenant:
            return None
        entries = [
            Entry(value, name.removeprefix(_ENTRY_FIELD), job_id)
            for name, value in fields.items()
            if name.startswith(_ENTRY_FIELD)
        ]
        entries.sort(key=lambda entry: event_position(entry.id))
        whole = await self._archived.whole(job_id, fields)
        return JobEvents(from_fields(job_id, whole), entries) if whole else None

    async def bodies(self, entries: Sequence[Entry]) -> list[bytes | None]:
        """Each event's bytes; for a final event the same bytes that subscribers get. None: its job was
        removed, or its archive is lost."""
        frozen = await self._frozen([entry for entry in entries if entry.type in FINAL_TYPES])
        rest = [entry for entry in entries if frozen.get(entry) is None]
        made = dict(zip(rest, await self._built(rest), strict=True))
        return [made[entry] if entry in made else frozen[entry] for entry in entries]

    async def _frozen(self, entries: Sequence[Entry]) -> dict[Entry, bytes | None]:
        """The stored bytes of final events."""
        if not entries:
            return {}
        fields = [event_bodies.PLAIN, event_bodies.PACKED]
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for entry in entries:
                    pipe.hmget(keys.event(event_id(entry.job_id, entry.type)), fields)
                found: list[list[str | None]] = await pipe.execute()
        bodies = (event_bodies.load(dict(zip(fields, values, strict=True))) for values in found)
        return dict(zip(entries, bodies, strict=True))

    async def _built(self, entries: Sequence[Entry], *, again: bool = False) -> list[bytes | None]:
        """The bytes of events, built from the records of their jobs. `again`: the second time."""
        if not entries:
            return []
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for entry in entries:
                    pipe.hgetall(keys.job(entry.job_id))
                records: list[dict[str, str]] = await pipe.execute()
        documents = await self._archived.all_of(
            [(entry.job_id, fields) for entry, fields in zip(entries, records, strict=True)]
        )
        jobs = [
            None
            if isinstance(document, Exception)
            else _job(entry, {**document.job, **fields} if document else fields)
            for entry, fields, document in zip(entries, records, documents, strict=True)
        ]
        payloads = await self._payloads([job for job in jobs if job is not None and job.archived is None])
        if None in payloads.values() and not again:  # a job was archived just now
            return await self._built(entries, again=True)
        return [
            None
            if job is None or isinstance(document, Exception)
            else self._of(job, entry, document, payloads)
            for entry, job, document in zip(entries, jobs, documents, strict=True)
        ]

    def _of(
        self, job: Job, entry: Entry, document: Document | None, payloads: Mapping[str, str | None]
    ) -> bytes | None:
        if document is None:
            return self._build(job, entry, payloads.get(job.id))
        stored = document.events.get(event_id(job.id, entry.type))
        if stored is not None and entry.type in FINAL_TYPES:
            return event_bodies.load(stored)
        return self._build(job, entry, _OMITTED if document.long_payload else document.payload)

    async def _payloads(self, jobs: Sequence[Job]) -> dict[str, str | None]:
        """{job id: payload, or None if it is not there} of jobs with one. Payloads too long for an event are
        not fetched: they may be large."""
        sizes = {job.id: job.payload_characters for job in jobs if job.payload_characters is not None}
        wanted = [name for name, size in sizes.items() if 0 < size <= EVENT_PAYLOAD_CHARACTERS]
        found: list[str | None] = []
        if wanted:
            with store_errors():
                async with self._redis.pipeline(transaction=False) as pipe:
                    for name in wanted:
                        pipe.get(keys.payload(name))
                    found = await pipe.execute()
        payloads: dict[str, str | None] = {
            name: _OMITTED if size > EVENT_PAYLOAD_CHARACTERS else "" for name, size in sizes.items()
        }
        return payloads | dict(zip(wanted, found, strict=True))

    def _build(self, job: Job, entry: Entry, payload: str | None) -> bytes | None:
        try:
            if entry.type not in FINAL_TYPES:
                kind = EventType(entry.type)
                return events.make_step(job, kind, payload, self._client_url, self._currency).body
            if EVENT_OF.get(job.state) != entry.type:
                return None
            return events.make(job, payload, self._client_url, self._currency).body
        except (ValueError, KeyError, TypeError):
            structlog.get_logger().exception("record_unreadable", job=entry.job_id)
            return None


def _job(entry: Entry, fields: dict[str, str]) -> Job | None:
    """None if the job was removed, or is unreadable, which must not stop all other entries."""
    try:
        return from_fields(entry.job_id, fields) if fields else None
    except (ValueError, KeyError, TypeError):
        structlog.get_logger().exception("record_unreadable", job=entry.job_id)
        return None
