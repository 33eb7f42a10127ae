"""Files that were sent inside requests: `<job id>/<sha256>.<extension>` in the media store.

The name is the hash of the content: a repeated `put` changes nothing, and damage is detected when the file is
read.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.environment import Environment
from gateway.errors import NotFound
from gateway.media.base import MediaStore

_JOB_ID: Final = re.compile(r"job_[A-Za-z0-9_-]{1,124}")
_EXTENSION: Final = re.compile(r"[a-z0-9]{1,8}")
_REFERENCE: Final = re.compile(rf"blob:({_JOB_ID.pattern})/(([0-9a-f]{{64}})\.{_EXTENSION.pattern})")
_SWEEP_BATCH: Final = 500

IsLive = Callable[[list[str]], Awaitable[set[str]]]


class InlineFiles:
    """The files of jobs in `store`. `clock`: seconds since the epoch; it must agree with the store's."""

    def __init__(self, store: MediaStore, clock: Callable[[], float] | None = None) -> None:
        self._store = store
        self._clock = clock or Environment().clock

    @property
    def store(self) -> MediaStore:
        """Where they are."""
        return self._store

    async def put(self, job_id: str, raw: bytes, extension: str) -> str:
        """Stores a file for a job durably. Returns its reference, `blob:<job_id>/<sha256>.<extension>`.
        Raises DiskFull, MediaStoreUnavailable."""
        if not _JOB_ID.fullmatch(job_id) or not _EXTENSION.fullmatch(extension):
            raise ValueError("a file needs the id of a job and an extension of plain letters and digits")
        key = f"{job_id}/{await _digest(raw)}.{extension}"
        await self._store.put(key, raw)
        return f"blob:{key}"

    async def read(self, reference: str) -> bytes:
        """The content of a file. Raises NotFound if it was dropped, never existed or is damaged;
        MediaStoreUnavailable if the whole store is missing."""
        matched = _REFERENCE.fullmatch(reference)
        if matched is None:
            raise NotFound("file", reference)
        job_id, name, digest = matched.groups()
        raw = await self._store.read(f"{job_id}/{name}")
        if await _digest(raw) != digest:
            raise NotFound("undamaged file", reference)
        return raw

    async def drop(self, job_id: str) -> None:
        """Deletes all files of a job, if there are any."""
        if _JOB_ID.fullmatch(job_id):
            await self._store.drop(job_id)

    async def sweep(self, is_live: IsLive, older_than_seconds: float) -> int:
        """Deletes the files of jobs that are not live, and returns the number of these jobs.

        `is_live`: gets job ids and returns those of live jobs. `older_than_seconds` must be longer than
        accepting a job can take, because its files are stored before the job.
        """
        before = self._clock() - older_than_seconds
        found = [
            entry.name
            for entry in await self._store.entries("", "job_")
            if entry.modified_at < before and _JOB_ID.fullmatch(entry.name)
        ]
        dropped = 0
        for at in range(0, len(found), _SWEEP_BATCH):
            batch = found[at : at + _SWEEP_BATCH]
            live = await is_live(batch)
            for job_id in batch:
                if job_id not in live:
                    await self.drop(job_id)
                    dropped += 1
        return dropped


async def _digest(raw: bytes) -> str:
    """In a thread, because a file of 10 MB takes several milliseconds."""
    return await asyncio.to_thread(lambda: hashlib.sha256(raw).hexdigest())
