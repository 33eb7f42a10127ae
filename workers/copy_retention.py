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
from gateway.store.assets import RedisAssets
from gateway.store.base import JobStore
from gateway.telemetry import Outage

PAUSE_SECONDS: Final = 60.0
BATCH: Final = 100
_ORPHANS_SECONDS: Final = 3600.0  # between two lists of all folders
_ORPHAN_AGE_SECONDS: Final = 900.0


@dataclass(frozen=True, slots=True)
class CopyRetention:
    jobs: JobStore
    assets: RedisAssets
    media: MediaStore
    environment: Environment

    async def run(self) -> None:
        """Runs for ever. A failure of Redis or of the media store ends one pass, not the loop."""
        outage = Outage("copy_retention_cut_short", "copy_retention_back")
        while True:
            try:
                if await self.assets.lead("expiry", PAUSE_SECONDS * 0.9):
                    await self.expire()
                if await self.assets.lead("orphans", _ORPHANS_SECONDS):
                    await self.drop_orphans()
                outage.recovered()
            except (StoreUnavailable, MediaStoreUnavailable) as error:
                outage.failed(str(error))
            await asyncio.sleep(PAUSE_SECONDS)

    async def expire(self) -> int:
        """Deletes every copy whose time has passed. Returns how many."""
        expired = kept = 0
        while found := await self.assets.expired(BATCH, kept):
            for job_id, variant in found:
                done = await self._expire(job_id, variant)
                expired, kept = expired + done, kept + (not done)
        if expired:
            structlog.get_logger().info("copies_expired", copies=expired)
        return expired

    async def _expire(self, job_id: str, variant: Variant) -> bool:
        """False if the copy is still in the index: its record cannot be read."""
        try:
            job = await self.jobs.read(job_id)
            asset = job.assets.get(variant) if job else None
            if asset is not None and asset.key is not None:
                await self.media.drop(asset.key)
            await self.assets.expire(job_id, variant, asset)
        except (StoreUnavailable, MediaStoreUnavailable):
            raise
        except Exception:  # noqa: BLE001  # one unreadable record must not keep the copies of all others
            structlog.get_logger().exception("expiry_failed", job=job_id)
            return False
        return True

    async def drop_orphans(self) -> int:
        """Deletes the copies of jobs that were removed. Returns of how many jobs."""
        before = self.environment.clock() - _ORPHAN_AGE_SECONDS
        names = [
            entry.name
            for entry in await self.media.entries(FOLDER)
            if entry.modified_at < before and JOB_ID.match(entry.name)
        ]
        dropped = 0
        for at in range(0, len(names), BATCH):
            batch = names[at : at + BATCH]
            known = await self.assets.known(batch)
            for name in batch:
                if name not in known:
                    await self.media.drop(f"{FOLDER}/{name}")
                    dropped += 1
        if dropped:
            structlog.get_logger().info("orphaned_copies_dropped", jobs=dropped)
        return dropped
