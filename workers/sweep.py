"""Every second: dispatch what became due, and put right what silence left behind.

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
from gateway.jobs import Job, confirm_ticket, submit_ticket
from gateway.lifecycle import JobEvent, JobState
from gateway.resolution import unknown_error
from gateway.settings import Settings
from gateway.settlement import Settlement, unpaid
from gateway.store.base import JobStore
from gateway.store.effects import AddToFields, Finish, GiveBackSlot, HoldSlot, PollAfter, Tally
from gateway.store.lanes import Lanes
from gateway.store.transitions import Guard, Transition
from gateway.telemetry import Outage
from gateway.upstream.base import UpstreamError
from workers.evidence import evidence_ms, grace_seconds

TICK_SECONDS: Final = 1.0
_BLOB_SWEEP_SECONDS: Final = 600.0
_BLOB_AGE_SECONDS: Final = 3600.0
_OVERDUE: Final = 100  # jobs past a deadline that one pass takes up
_LOOK_AGAIN_MS: Final = 5000
_AFTER_FAULT_MS: Final = 600_000

_NOT_STARTED = UpstreamError("start_deadline_passed", "the job was not sent in time; nothing was paid")
_NOT_PAID_IN_TIME = UpstreamError("total_deadline_passed", "the job was not sent in time; nothing was paid")
_TOO_LATE = UpstreamError(
    "total_deadline_passed", "the upstream did not finish in time; the task may have been charged"
)
_NOT_SENT_AGAIN = UpstreamError(
    "start_deadline_passed",
    "the job was not sent again in time; its earlier submission may have been charged",
)
_POISON = UpstreamError(
    "submission_poison", "too many workers died with this job in their hands before it was sent"
)


@dataclass(frozen=True, slots=True)
class Sweeper:
    jobs: JobStore
    settlement: Settlement
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
                outage.recovered()
            except StoreUnavailable as error:
                outage.failed(str(error))
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
        if not await self.lanes.acquire_leadership(TICK_SECONDS * 0.9):
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
                    # with a new lease, so that it is not taken up every second
                    await self.lanes.redispatch(ticket)
        for job in await self.jobs.overdue(_OVERDUE):
            try:
                await self._deadline(job)
            except StoreUnavailable:
                raise
            except Exception:  # noqa: BLE001  # for the same reason
                structlog.get_logger().exception("deadline_failed", job=job.id, tenant=job.tenant)
                await self.jobs.defer_deadline(job, self.environment.now_ms() + _AFTER_FAULT_MS)
        await self.lanes.note_sweep()

    async def _deadline(self, job: Job) -> None:
        """A job that was to be started, or over, by now. Given up for free while nothing was paid."""
        assert job.start_by is not None
        assert job.end_by is not None
        now = self.environment.now_ms()
        done = [submit_ticket(job), confirm_ticket(job)]
        if unpaid(job) and now >= min(job.start_by, job.end_by):
            error = _NOT_STARTED if now < job.end_by else _NOT_PAID_IN_TIME
            if job.resubmits:
                error = _NOT_SENT_AGAIN
            await self.settlement.fail(job, JobEvent.START_DEADLINE_PASSED, error, done)
        elif now < job.end_by:
            await self.jobs.defer_deadline(
                job, job.end_by if job.task_id else min(now + _LOOK_AGAIN_MS, job.end_by)
            )
        elif job.state is JobState.SUBMITTING:  # in a moment it is known what became of it
            await self.jobs.defer_deadline(job, now + _LOOK_AGAIN_MS)
        else:
            await self._give_up(job, now)

    async def _give_up(self, job: Job, now: int) -> None:
        """The client waits no longer. The upstream may be at work all the same: its slot stays taken until we
        would have given the task up ourselves, or see its end."""
        unknown = job.state is JobState.UNKNOWN
        error = unknown_error(job) if unknown else _TOO_LATE
        patience = grace_seconds(job, self.settings) if unknown else self.settings.job_deadline(job.off_peak)
        left = int((job.released_at or job.created_at) + patience * 1000) - now
        done = [] if job.task_id or job.earlier else [confirm_ticket(job)]
        if left <= 0:
            done.append(submit_ticket(job))
        hold_ms = left if left > 0 else None
        await self.settlement.fail(job, JobEvent.DEADLINE_PASSED, error, done, slot_ms=hold_ms)

    async def _recover(self, ticket: Ticket) -> None:
        log = structlog.get_logger().bind(role=ticket.role, ticket=ticket.name)
        job = await self.jobs.read(ticket.name) if ticket.role is Role.SUBMIT else None
        if job is None or job.state is JobState.QUEUED:
            await self.lanes.redispatch(ticket)
            log.warning("rung_again")
            return
        if job.final:  # its slot was kept for a task that may have been at work
            ended = Transition(JobEvent.DEADLINE_PASSED, effects=[Finish([submit_ticket(job)])])
            await self.jobs.apply(job, ended)
            return
        if job.released_at is None and job.lost + 1 >= self.settings.poison_limit:
            done = [submit_ticket(job), confirm_ticket(job)]
            await self.settlement.fail(job, JobEvent.POISONED, _POISON, done, tally=["submissions|poison"])
            log.error("poisoned", epoch=job.epoch)
            return
        answer = await self.jobs.apply(job, self._given_up(job))
        log.warning("lease_ran_out", epoch=job.epoch, outcome=answer.outcome, became=answer.after)

    def _given_up(self, job: Job) -> Transition:
        """What became of a submission that nobody holds any more."""
        guard = Guard.same_release(job)
        if job.released_at is None:  # the last byte never went out
            unpaid_for = [AddToFields({"lost": 1}), GiveBackSlot(0), Tally(["submissions|lease_lost"])]
            return Transition(JobEvent.CLAIM_LOST, guard, unpaid_for)
        lost = [HoldSlot(), PollAfter(evidence_ms(job, self.settings)), Tally(["submissions|unknown"])]
        return Transition(JobEvent.OUTCOME_LOST, guard, lost)
