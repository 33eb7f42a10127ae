"""Every second: hand out what became due, and put right what silence left behind.

Any number of sweepers may run; each step compares before it sets, so that doing it twice changes nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
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
from gateway.telemetry import Outage

TICK_SECONDS: Final = 1.0
_BLOB_SWEEP_SECONDS: Final = 600.0
_BLOB_AGE_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Sweeper:
    jobs: JobStore
    lanes: Lanes
    blobs: BlobStore
    environment: Environment
    settings: Settings

    async def run(self) -> None:
        """For ever. Redis being away ends a pass, never the sweeper."""
        outage = Outage("sweep_cut_short", "sweep_back")
        while True:
            try:
                await self.sweep()
                outage.ends()
            except StoreUnavailable as error:
                outage.begins(str(error))
            await asyncio.sleep(TICK_SECONDS)

    async def run_blobs(self) -> None:
        """For ever: remove what a crash left behind. Apart from `run`, which a slow disk must not stop."""
        while True:
            try:
                await self.blobs.sweep(self.jobs.unfinished, _BLOB_AGE_SECONDS)
            except (StoreUnavailable, BlobStoreUnavailable) as error:
                structlog.get_logger().warning("blob_sweep_cut_short", reason=str(error))
            await asyncio.sleep(_BLOB_SWEEP_SECONDS)

    async def sweep(self) -> None:
        """One pass, unless another sweeper has just made one."""
        if not await self.lanes.lead(TICK_SECONDS * 0.9):
            return
        await self.lanes.dispatch()
        for role in Role:
            for ticket in await self.lanes.expired(role):
                try:
                    await self._recover(ticket)
                except StoreUnavailable:
                    raise
                except Exception:  # noqa: BLE001  # one unreadable record must not stop the sweep of all others
                    structlog.get_logger().exception("recovery_failed", role=role.value, ticket=ticket.name)
        await self.lanes.note_sweep()

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
