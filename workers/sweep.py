"""Every second: hand out what became due, and put right what silence left behind.

Any number of sweepers may run; each step compares before it sets, so that doing it twice changes nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

import structlog

from gateway.blobs import BlobStore
from gateway.dispatch import Role, Ticket
from gateway.environment import Environment
from gateway.errors import BlobStoreUnavailable, StoreUnavailable
from gateway.jobs import Job
from gateway.lifecycle import JobEvent, JobState
from gateway.settings import Settings
from gateway.store.base import JobStore, Move
from gateway.store.lanes import Lanes

TICK_SECONDS: Final = 1.0
_BLOB_SWEEP_SECONDS: Final = 600.0
_BLOB_AGE_SECONDS: Final = 3600.0


@dataclass(slots=True)
class Sweeper:
    jobs: JobStore
    lanes: Lanes
    blobs: BlobStore
    environment: Environment
    settings: Settings
    _blobs_swept: float = field(default=0.0)

    async def run(self) -> None:
        """For ever. Redis being away ends a pass, never the sweeper."""
        log = structlog.get_logger()
        while True:
            try:
                await self.sweep()
            except (StoreUnavailable, BlobStoreUnavailable) as error:
                log.warning("sweep_cut_short", reason=str(error))
            await asyncio.sleep(TICK_SECONDS)

    async def sweep(self) -> None:
        """One pass, unless another sweeper has just made one."""
        if not await self.lanes.lead(TICK_SECONDS * 0.9):
            return
        await self.lanes.dispatch()
        for role in Role:
            for ticket in await self.lanes.expired(role):
                await self._recover(ticket)
        if self.environment.monotonic() - self._blobs_swept > _BLOB_SWEEP_SECONDS:
            self._blobs_swept = self.environment.monotonic()
            await self.blobs.sweep(self.jobs.unfinished, _BLOB_AGE_SECONDS)

    async def _recover(self, ticket: Ticket) -> None:
        log = structlog.get_logger().bind(role=ticket.role, ticket=ticket.name)
        job = await self.jobs.read(ticket.name) if ticket.role is Role.SUBMIT else None
        if job is None or job.state is JobState.QUEUED:
            await self.lanes.ring(ticket)
            log.warning("rung_again")
            return
        answer = await self.jobs.apply(job, self._verdict(job))
        log.warning("lease_ran_out", epoch=job.epoch, outcome=answer.outcome, became=answer.after)

    def _verdict(self, job: Job) -> Move:
        """What a submission that nobody holds any more amounts to."""
        expect: dict[str, int | str | None] = {"epoch": job.epoch, "released_at": job.released_at}
        if job.released_at is None:  # the last byte never went out
            return Move(
                JobEvent.CLAIM_LOST, expect=expect, give_back_in_ms=0, tally=["submissions|lease_lost"]
            )
        return Move(
            JobEvent.OUTCOME_LOST,
            expect=expect,
            hold_ms=-1,
            poll_in_ms=int(self.settings.unknown_grace_seconds * 1000),
            tally=["submissions|unknown"],
        )
