"""Deletes the copies of results: those whose time has passed, and those of jobs that are gone.

Any number of these may run. A file is deleted first and recorded as expired then: whatever a crash leaves is
found again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.assets import FOLDER, Variant
from gateway.environment import Environment
from gateway.errors import MediaStoreUnavailable, StoreUnavailable
from gateway.jobs import JOB_ID
from gateway.media.base import MediaStore
from gateway.store import keys
from gateway.store.assets import RedisAssets
from gateway.store.base import JobStore
from gateway.store.script_runner import Scripts
from gateway.telemetry.logs import Outage

PAUSE_SECONDS: Final = 60.0
BATCH: Final = 100
_ORPHANS_SECONDS: Final = 3600.0  # between two lists of all folders
_ORPHAN_AGE_SECONDS: Final = 900.0
_AWAY: Final = BATCH  # so many failures in a row are no longer those of single files
_MOST_LOGGED: Final = 10  # of the failures of one step


@dataclass(frozen=True, slots=True)
class CopyRetention:
    jobs: JobStore
    assets: RedisAssets
    scripts: Scripts
    media: MediaStore
    environment: Environment

    async def run(self) -> None:
        """Runs for ever. A failure of Redis or of the media store ends one step, not the loop."""
        outage = Outage("copy_retention_cut_short", "copy_retention_back")
        while True:
            if reasons := await self.once():
                outage.failed(reasons[0])
            else:
                outage.recovered()
            await asyncio.sleep(PAUSE_SECONDS)

    async def once(self) -> list[str]:
        """Both steps, each if it is the turn of this process. Returns why those that failed did."""
        reasons = []
        for lock, seconds, step in (
            (keys.COPY_EXPIRY, PAUSE_SECONDS * 0.9, self.expire),
            (keys.COPY_ORPHANS, _ORPHANS_SECONDS, self.drop_orphans),
        ):
            try:
                if await self.scripts.acquire_leadership(lock, seconds):
                    await step()
            except (StoreUnavailable, MediaStoreUnavailable) as error:
                reasons.append(str(error))
        return reasons

    async def expire(self) -> int:
        """Deletes every copy whose time has passed, and can be deleted. Returns how many."""
        files = _Files(self.media)
        expired = kept = 0
        while found := await self.assets.expired(BATCH, kept):
            for job_id, variant in found:
                done = await self._expire(files, job_id, variant)
                expired, kept = expired + done, kept + (not done)
        if expired:
            structlog.get_logger().info("copies_expired", copies=expired)
        return expired

    async def _expire(self, files: _Files, job_id: str, variant: Variant) -> bool:
        """False if the copy is still in the index: its record cannot be read, or its file not be deleted."""
        try:
            job = await self.jobs.read_kept(job_id)
            asset = job.assets.get(variant) if job else None
            if asset is not None and asset.key is not None and not await files.drop(asset.key, job_id):
                return False
            await self.assets.expire(job_id, variant, asset)
        except (StoreUnavailable, MediaStoreUnavailable):
            raise
        except Exception:  # noqa: BLE001  # one unreadable record must not keep the copies of all others
            structlog.get_logger().exception("expiry_failed", job=job_id)
            return False
        return True

    async def drop_orphans(self) -> int:
        """Deletes the copies of jobs that were removed, if they can be. Returns of how many jobs."""
        before = self.environment.clock() - _ORPHAN_AGE_SECONDS
        names = [
            entry.name
            for entry in await self.media.entries(FOLDER)
            if entry.modified_at < before and JOB_ID.match(entry.name)
        ]
        files, dropped = _Files(self.media), 0
        for at in range(0, len(names), BATCH):
            batch = names[at : at + BATCH]
            known = await self.assets.known(batch)
            for name in batch:
                if name not in known:
                    dropped += await files.drop(f"{FOLDER}/{name}", name)
        if dropped:
            structlog.get_logger().info("orphaned_copies_dropped", jobs=dropped)
        return dropped


@dataclass(slots=True)
class _Files:
    """Deletes the files of one step. One that cannot be deleted must not keep all others."""

    media: MediaStore
    failures: int = 0
    in_a_row: int = 0

    async def drop(self, prefix: str, job_id: str) -> bool:
        """False if it failed. Raises MediaStoreUnavailable when so many fail that the store must be away."""
        try:
            await self.media.drop(prefix)
        except MediaStoreUnavailable as error:
            self.failures, self.in_a_row = self.failures + 1, self.in_a_row + 1
            if self.in_a_row >= _AWAY:
                raise
            if self.failures <= _MOST_LOGGED:
                structlog.get_logger().warning("copy_not_deleted", job=job_id, reason=str(error))
            return False
        self.in_a_row = 0
        return True
