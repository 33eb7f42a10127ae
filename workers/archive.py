"""Every few seconds: moves finished jobs into the media store, and deletes the objects of forgotten ones.

Any number of these may run, and die at any moment: an object is written before anything is dropped, and
deleted after its job is gone. While the media store is away, everything waits and nothing is lost.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

import structlog

from gateway.errors import MediaStoreUnavailable, StoreUnavailable, Unavailable
from gateway.store import keys
from gateway.store.archive_cleanup import ArchiveCleanup
from gateway.store.archive_writer import Moved, RedisArchive
from gateway.store.script_runner import Scripts
from gateway.telemetry.logs import Outage

PAUSE_SECONDS: Final = 5.0
BATCH: Final = 100
_STRETCHES: Final = 10  # of one pass
_AT_ONCE: Final = 8
_HOURS_SECONDS: Final = 1800.0  # between two looks for what crashes left behind


@dataclass(frozen=True, slots=True)
class Archiver:
    """`on`: whether jobs are moved. The objects of forgotten jobs, and of none, are deleted in any case."""

    archive: RedisArchive
    cleanup: ArchiveCleanup
    scripts: Scripts
    on: bool
    waiting: Outage = field(default_factory=lambda: Outage("archive_waits", "archive_goes_on"))

    async def run(self) -> None:
        """Runs for ever. A failure of Redis or of the media store ends one pass, not the loop."""
        outage = Outage("archive_cut_short", "archive_back")
        while True:
            await asyncio.sleep(PAUSE_SECONDS)  # also at first: until it is known which versions run
            try:
                await self.once()
                outage.recovered()
            except Unavailable as error:
                outage.failed(str(error))

    async def once(self) -> int:
        """One pass: each step, unless another process has just begun it. Returns the number of moved jobs."""
        moved = 0
        if (
            self.on
            and await self._may_move()
            and await self.scripts.acquire_leadership(keys.ARCHIVE_MOVE, PAUSE_SECONDS * 0.9)
        ):
            moved = await self.move()
        if await self.scripts.acquire_leadership(keys.ARCHIVE_DELETE, PAUSE_SECONDS * 0.9):
            await self.delete_forgotten()
        if await self.scripts.acquire_leadership(keys.ARCHIVE_HOURS, _HOURS_SECONDS):
            await self.sweep()
        return moved

    async def _may_move(self) -> bool:
        if not self.archive.readable_by_all:
            self.waiting.failed("a process of another version uses this Redis, or did ten minutes ago")
            return False
        if not await self.archive.has_room():
            self.waiting.failed("the disk of files is above GATEWAY_DISK_WATERMARK")
            return False
        self.waiting.recovered()
        return True

    async def delete_forgotten(self) -> int:
        """Deletes objects of jobs that were forgotten. Returns of how many jobs."""
        deleted = 0
        for _ in range(_STRETCHES):
            deleted += (found := await self.cleanup.delete_forgotten(BATCH))
            if found < BATCH:
                break
        if deleted:
            structlog.get_logger().info("archives_deleted", jobs=deleted)
        return deleted

    async def move(self) -> int:
        """Moves jobs that are due, as many as one pass may. Returns their number."""
        moved = 0
        for _ in range(_STRETCHES):
            stretch = await self.archive.walk.due(BATCH)
            if stretch.jobs:
                places = asyncio.Semaphore(_AT_ONCE)
                went = await asyncio.gather(
                    *(self._move(name, places) for name in stretch.jobs), return_exceptions=True
                )
                again = [name for name, how in zip(stretch.jobs, went, strict=True) if how in _AGAIN]
                moved += went.count(Moved.ARCHIVED)
                for fault in went:
                    if isinstance(fault, BaseException):  # the stretch is handled again
                        raise fault
                await self.archive.walk.passed(stretch, again)
            if not stretch.more:
                break
        if moved:
            structlog.get_logger().info("jobs_archived", jobs=moved)
        return moved

    async def _move(self, name: str, places: asyncio.Semaphore) -> Moved:
        async with places:
            try:
                return await self.archive.move(name)
            except (StoreUnavailable, MediaStoreUnavailable):
                raise
            except Exception:  # noqa: BLE001  # one unreadable record must not keep all others in Redis
                structlog.get_logger().exception("archiving_failed", job=name)
                return Moved.LATER

    async def sweep(self) -> int:
        """Deletes what crashes left behind, of every hour that is due. Returns of how many jobs."""
        dropped = 0
        while (found := await self.cleanup.sweep_hour()) is not None:
            dropped += found
        if dropped:
            structlog.get_logger().info("orphaned_archives_dropped", jobs=dropped)
        return dropped


_AGAIN: Final = frozenset((Moved.LATER, Moved.CHANGED))
