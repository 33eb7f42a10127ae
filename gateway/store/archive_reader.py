"""Reads archived jobs: what Redis still has of them, completed by their objects in the media store.

An object that is away or damaged is an outage (MediaStoreUnavailable), never a missing job. Reading many
jobs goes on without one whose object is lost. Clients choose most of what is in an object: what is read at
once, and what is held, is bounded by what it unpacks to.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

import structlog
from redis.asyncio import Redis

from gateway.errors import ArchiveLost, MediaStoreUnavailable, NotFound
from gateway.media.base import MediaStore
from gateway.store import keys
from gateway.store.archive_document import (
    Damaged,
    Document,
    key_of,
    load,
    load_payload,
    payload_key_of,
    unpacked_bytes,
)
from gateway.store.client import store_errors

#: The field of a job's record that names its object by its hash.
FIELD: Final = "archived"
_AT_ONCE: Final = 16  # reads of the media store by one process
_AT_ONCE_OF_LIST: Final = 8
_SMALL_BYTES: Final = 16_384  # unpacking more takes longer than handing it to a thread
#: Of documents in memory: several calls for one answer need the same.
_HELD_BYTES: Final = 8_388_608
_MOST_HELD_BYTES: Final = 1_048_576  # of one
_BYTES_PER_BYTE: Final = 4  # of a text in Python: if one of its characters needs four, all do
_BYTES_PER_DOCUMENT: Final = 4096  # its objects in Python, without their texts
_REPORTED: Final = 10_000  # lost objects that are remembered, so that each is logged once

_T = TypeVar("_T")


class _Held(NamedTuple):
    document: Document
    cost: int


class Archived:
    """`media`: None reads nothing: for a store without archived jobs. `redis`: with it, a job that was
    forgotten while it was read is NotFound and not ArchiveLost."""

    def __init__(self, media: MediaStore | None = None, redis: Redis | None = None) -> None:
        self._media = media
        self._redis = redis
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._held_bytes = 0
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._reported: set[str] = set()

    async def document(self, job_id: str, digest: str) -> Document:
        """The object of the job. Raises MediaStoreUnavailable, ArchiveLost, NotFound."""
        key = key_of(job_id, digest)
        if (held := self._held.get(key)) is not None:
            self._held.move_to_end(key)
            return held.document
        found, size = await self._read(job_id, key, lambda raw: load(raw, digest))
        self._hold(key, _Held(found, size * _BYTES_PER_BYTE + _BYTES_PER_DOCUMENT))
        return found

    async def payload(self, job_id: str, digest: str) -> str | None:
        """The payload of the job with this object; None if there is none, or the job was forgotten. Raises
        MediaStoreUnavailable, ArchiveLost."""
        try:
            document = await self.document(job_id, digest)
            if (beside := document.long_payload) is None:
                return document.payload
            key = payload_key_of(job_id, beside)
            return (await self._read(job_id, key, lambda raw: load_payload(raw, beside)))[0]
        except NotFound:
            return None

    async def _read(self, job_id: str, key: str, load: Callable[[bytes], _T]) -> tuple[_T, int]:
        """What `load` makes of the object, and the bytes that it unpacks to."""
        if self._media is None:
            raise MediaStoreUnavailable("the job is archived, and there is no media store")
        try:
            async with self._places:
                raw = await self._media.read(key)
                size = unpacked_bytes(raw)
                small = max(size, len(raw)) <= _SMALL_BYTES
                found = load(raw) if small else await asyncio.to_thread(load, raw)
        except (NotFound, Damaged) as error:
            if isinstance(error, NotFound) and await self._is_forgotten(job_id):
                raise NotFound("job", job_id, expires=True) from None
            self._report(job_id, key, str(error))
            raise ArchiveLost(f"the archive of {job_id} cannot be read; tell the operator") from None
        self._reported.discard(key)
        return found, size

    async def _is_forgotten(self, job_id: str) -> bool:
        """Whether the job has gone since its record was read: its objects go after it."""
        if self._redis is None:
            return False
        with store_errors():
            return not await self._redis.exists(keys.job(job_id))

    def _hold(self, key: str, held: _Held) -> None:
        if held.cost > _MOST_HELD_BYTES or key in self._held:
            return
        self._held[key] = held
        self._held_bytes += held.cost
        while self._held_bytes > _HELD_BYTES:
            self._held_bytes -= self._held.popitem(last=False)[1].cost

    def _report(self, job_id: str, key: str, reason: str) -> None:
        """Logs a lost object, once for this process: clients ask for their lists again and again."""
        if key not in self._reported:
            structlog.get_logger().error("archive_unreadable", job=job_id, key=key, reason=reason)
            if len(self._reported) < _REPORTED:
                self._reported.add(key)

    async def of(self, job_id: str, fields: Mapping[str, str]) -> Document | None:
        """The same for the job with these fields of its record; None if it is not archived."""
        digest = fields.get(FIELD)
        return None if digest is None else await self.document(job_id, digest)

    async def whole(self, job_id: str, fields: Mapping[str, str]) -> Mapping[str, str]:
        """All fields of the job; none if it was forgotten. `fields`: of its record; those win, because they
        are newer."""
        try:
            document = await self.of(job_id, fields)
        except NotFound:
            return {}
        return fields if document is None else {**document.job, **fields}

    async def all_of(
        self, jobs: Sequence[tuple[str, Mapping[str, str]]]
    ) -> list[Document | ArchiveLost | NotFound | None]:
        """`of` for several jobs. One whose object is lost, or that was forgotten, does not keep the others
        from being read: it has the error instead. Raises MediaStoreUnavailable."""
        places = asyncio.Semaphore(_AT_ONCE_OF_LIST)

        async def one(job_id: str, fields: Mapping[str, str]) -> Document | ArchiveLost | NotFound | None:
            async with places:
                try:
                    return await self.of(job_id, fields)
                except (ArchiveLost, NotFound) as absent:
                    return absent

        if not any(FIELD in fields for _, fields in jobs):
            return [None] * len(jobs)
        return list(await asyncio.gather(*(one(*job) for job in jobs)))


#: For a store without archived jobs.
NO_ARCHIVE: Final = Archived()
