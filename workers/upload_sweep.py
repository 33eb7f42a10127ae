"""Removes uploads whose life is over, and files that belong to no upload.

Any number of these may run, and die at any moment: an upload is first retired, so that no new job can hold
it; then its file is removed, and then its record.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.environment import Environment
from gateway.errors import MediaStoreUnavailable, StoreUnavailable
from gateway.media.base import MediaStore
from gateway.store import keys
from gateway.store.script_runner import Scripts
from gateway.store.uploads import RedisUploads
from gateway.telemetry.logs import Outage
from gateway.uploads import FILE, FOLDER, remove

PAUSE_SECONDS: Final = 60.0
#: Far longer than it takes from the last byte of a file to its record.
ORPHAN_SECONDS: Final = 900.0
_BATCH: Final = 100
#: Every so many passes, files without a record are looked for.
_PASSES: Final = 5


@dataclass(slots=True)
class UploadSweeper:
    uploads: RedisUploads
    scripts: Scripts
    media: MediaStore
    environment: Environment

    async def run(self) -> None:
        """Runs for ever. A failure of a store ends one pass, not the loop."""
        outage = Outage("upload_sweep_cut_short", "upload_sweep_back")
        passes = 0
        while True:
            try:
                if await self.scripts.acquire_leadership(keys.UPLOAD_SWEEP, PAUSE_SECONDS * 0.9):
                    await self.sweep()
                    if passes % _PASSES == 0:
                        await self.sweep_orphans()
                    passes += 1
                outage.recovered()
            except (StoreUnavailable, MediaStoreUnavailable) as error:
                outage.failed(str(error))
            await asyncio.sleep(PAUSE_SECONDS)

    async def sweep(self) -> int:
        """One pass over what has expired. Returns the number of removed uploads."""
        removed = 0
        while names := await self.uploads.expired(_BATCH):
            for name in names:  # each is removed or postponed, so that the next read finds others
                found = await self.uploads.expire(name)
                removed += await remove(self.uploads, self.media, name, found)
        if removed:
            structlog.get_logger().info("uploads_expired", uploads=removed)
        return removed

    async def sweep_orphans(self) -> int:
        """Removes files that have no record, such as after a crash. Returns their number."""
        before = self.environment.clock() - ORPHAN_SECONDS
        files = {
            entry.name: match["id"]
            for entry in await self.media.entries(FOLDER)
            if entry.modified_at < before and (match := FILE.fullmatch(entry.name))
        }
        names, removed = list(files), 0
        for at in range(0, len(names), _BATCH):
            batch = names[at : at + _BATCH]
            known = await self.uploads.read({files[name] for name in batch})
            for name in batch:
                if files[name] not in known:
                    await self.media.drop(f"{FOLDER}/{name}")
                    removed += 1
        if removed:
            structlog.get_logger().warning("uploads_without_record", files=removed)
        return removed
