"""Deletes the objects of archived jobs that were forgotten, and what crashes left behind in the archive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio import Redis

from gateway.environment import Environment
from gateway.errors import MediaStoreUnavailable
from gateway.media.base import MediaStore
from gateway.store import keys
from gateway.store.archive_document import HOUR_MS, folder_of, hour_folder
from gateway.store.client import store_errors
from gateway.store.script_runner import Scripts

#: Longer than any job takes until it is finished. Only then an hour's folder is looked through.
_UNFINISHED_MS: Final = 8 * 86_400_000
_BATCH: Final = 100


class ArchiveCleanup:
    """Every call may raise StoreUnavailable and MediaStoreUnavailable, and can be repeated."""

    def __init__(
        self,
        redis: Redis,
        scripts: Scripts,
        media: MediaStore,
        environment: Environment,
        retention_seconds: float,
    ) -> None:
        self._redis = redis
        self._scripts = scripts
        self._media = media
        self._environment = environment
        self._kept_ms = int(retention_seconds * 1000) + _UNFINISHED_MS

    async def delete_forgotten(self, limit: int) -> int:
        """Deletes objects of jobs that were forgotten, and returns of how many jobs."""
        with store_errors():
            names: list[str] = await self._redis.zrange(keys.ARCHIVE_GONE, 0, limit - 1)
        for name in names:
            try:
                await self._media.drop(folder_of(name))
            except MediaStoreUnavailable:
                with store_errors():  # behind all others: one that cannot be deleted must not keep them
                    behind = self._environment.now_ms() + HOUR_MS
                    await self._redis.zadd(keys.ARCHIVE_GONE, {name: behind}, xx=True)
                raise
            with store_errors():
                await self._redis.zrem(keys.ARCHIVE_GONE, name)
        return len(names)

    async def sweep_hour(self) -> int | None:
        """Deletes the objects without a job of the next hour whose jobs must all have been forgotten: what
        crashes left behind. Returns of how many jobs; None if no hour is due."""
        with store_errors():
            swept = await self._redis.get(keys.ARCHIVE_SWEPT)
        due = (self._environment.now_ms() - self._kept_ms) // HOUR_MS - 1
        hour = due if swept is None else int(swept) + 1
        if hour > due:
            return None
        folder, dropped = hour_folder(hour * HOUR_MS), 0
        names = [entry.name for entry in await self._media.entries(folder)]
        for at in range(0, len(names), _BATCH):
            dropped += await self._drop_unknown(names[at : at + _BATCH])
        args: list[Any] = [hour, 0, b"[]", b"[]"]
        await self._scripts.run("note_walk", [keys.ARCHIVE_SWEPT, keys.ARCHIVE_SWEPT], args)
        return dropped

    async def _drop_unknown(self, job_ids: Sequence[str]) -> int:
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for job_id in job_ids:
                    pipe.exists(keys.job(job_id))
                found: list[int] = await pipe.execute()
        unknown = [job_id for job_id, exists in zip(job_ids, found, strict=True) if not exists]
        for job_id in unknown:
            await self._media.drop(folder_of(job_id))
        return len(unknown)
