"""Reads archived jobs: what Redis still has of them, completed by their objects in the media store.

An object that is away or damaged is an outage (MediaStoreUnavailable), never a missing job. Reading many
jobs goes on without one whose object is lost.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from gateway.errors import ArchiveLost, MediaStoreUnavailable, NotFound
from gateway.media.base import MediaStore
from gateway.store.archive_document import Damaged, Document, key_of, load

#: The field of a job's record that names its object by its hash.
FIELD: Final = "archived"
_AT_ONCE: Final = 16  # reads of the media store for one page
_HELD: Final = 64  # documents; several calls for one answer need the same
_MOST_HELD_BYTES: Final = 65_536  # of one, packed
_REPORTED: Final = 10_000  # lost objects that are remembered, so that each is logged once


class Archived:
    """`media`: None reads nothing: for a store without archived jobs."""

    def __init__(self, media: MediaStore | None = None) -> None:
        self._media = media
        self._held: OrderedDict[str, Document] = OrderedDict()
        self._reported: set[str] = set()

    async def document(self, job_id: str, digest: str) -> Document:
        """The object of the job. Raises MediaStoreUnavailable, ArchiveLost."""
        key = key_of(job_id, digest)
        if (held := self._held.get(key)) is not None:
            self._held.move_to_end(key)
            return held
        if self._media is None:
            raise MediaStoreUnavailable("the job is archived, and there is no media store")
        try:
            raw = await self._media.read(key)
            small = len(raw) <= _MOST_HELD_BYTES
            found = load(raw, digest) if small else await asyncio.to_thread(load, raw, digest)
        except (NotFound, Damaged) as error:
            self._report(job_id, key, str(error))
            raise ArchiveLost(f"the archive of {job_id} cannot be read; tell the operator") from None
        self._reported.discard(key)
        if small:
            self._held[key] = found
            if len(self._held) > _HELD:
                self._held.popitem(last=False)
        return found

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
        """All fields of the job. `fields`: of its record; those win, because they are newer."""
        document = await self.of(job_id, fields)
        return fields if document is None else {**document.job, **fields}

    async def all_of(
        self, jobs: Sequence[tuple[str, Mapping[str, str]]]
    ) -> list[Document | ArchiveLost | None]:
        """`of` for several jobs. One whose object is lost does not keep the others from being read: it has
        the error instead. Raises MediaStoreUnavailable."""
        places = asyncio.Semaphore(_AT_ONCE)

        async def one(job_id: str, fields: Mapping[str, str]) -> Document | ArchiveLost | None:
            async with places:
                try:
                    return await self.of(job_id, fields)
                except ArchiveLost as lost:
                    return lost

        if not any(FIELD in fields for _, fields in jobs):
            return [None] * len(jobs)
        return list(await asyncio.gather(*(one(*job) for job in jobs)))


#: For a store without archived jobs.
NO_ARCHIVE: Final = Archived()
