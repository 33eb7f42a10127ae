"""Every second in the process that leads, and in any when woken: dispatches due work, and repairs what
crashed or silent processes left behind.

Any number of sweepers may run: each step compares before it writes, so doing it twice changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Final

import structlog

from gateway.dispatch import Role, Ticket
from gateway.environment import Environment
from gateway.errors import MediaStoreUnavailable, StoreUnavailable
from gateway.jobs import Job, confirm_ticket, submit_ticket
from gateway.lifecycle import JobEvent, JobState
from gateway.media.inline import InlineFiles
from gateway.resolution import unknown_error
from gateway.settings import Settings
from gateway.settlement import Settlement, unpaid
from gateway.store import keys
from gateway.store.base import JobStore
from gateway.store.effects import AddToFields, Finish, GiveBackSlot, Tally
from gateway.store.lanes import Lanes
from gateway.store.script_runner import Scripts
from gateway.store.transitions import Guard, Transition
from gateway.telemetry.logs import Outage
from gateway.upstream.base import UpstreamError
from workers.evidence import grace_seconds, outcome_lost

TICK_SECONDS: Final = 1.0
_AGAIN_SECONDS: Final = 0.2  # while Redis is away
_FILES_SWEEP_SECONDS: Final = 300.0
_FILES_AGE_SECONDS: Final = 900.0  # far longer than a job takes from its first file to its acceptance
_OVERDUE: Final = 100  # jobs past a deadline that one pass handles
_CHECK_AGAIN_MS: Final = 5000
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
    "submission_poison", "too many workers died while they handled this job, before it was sent"
)


@dataclass(frozen=True, slots=True)
class Sweeper:
    jobs: JobStore
    settlement: Settlement
    lanes: Lanes
    scripts: Scripts
    inline_files: InlineFiles
    environment: Environment
    settings: Settings
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, leads: asyncio.Event) -> None:
        """Runs for ever. `leads`: set while this process leads. A Redis failure ends one pass, not the
        sweeper."""
        outage = Outage("sweep_cut_short", "sweep_back")
        while True:
            self.woken.clear()
            again: float | None = _AGAIN_SECONDS
            try:
                await self.sweep()
                outage.recovered()
                again = TICK_SECONDS if leads.is_set() else None
            except StoreUnavailable as error:
                outage.failed(str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(again):
                    await self.woken.wait()

    async def run_inline_files(self) -> None:
        """Runs for ever, removing files that a crash left behind. Separate, so that a slow disk cannot stop
        `run`."""
        while True:
            try:
                await self.inline_files.sweep(self.jobs.unfinished, _FILES_AGE_SECONDS)
            except (StoreUnavailable, MediaStoreUnavailable) as error:
                structlog.get_logger().warning("blob_sweep_cut_short", reason=str(error))
            await asyncio.sleep(_FILES_SWEEP_SECONDS)

    async def sweep(self) -> None:
        """One pass, unless another sweeper has just made one."""
        if not await self.scripts.acquire_leadership(keys.SWEEP, TICK_SECONDS * 0.9):
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
                    # with a new lease, so that it is not tried again every second
                    await self.lanes.redispatch(ticket)
        for job in await self.jobs.overdue(_OVERDUE):
            try:
                await self._deadline(job)
            except StoreUnavailable:
                raise
            except Exception:  # noqa: BLE001  # for the same reason
                structlog.get_logger().exception("deadline_failed", job=job.id, tenant=job.tenant)
                await self.jobs.defer_deadline(job, self.environment.now_ms() + _AFTER_FAULT_MS)
        await self.lanes.note_sweep(self.settings.job_deadline(off_peak=True))

    async def _deadline(self, job: Job) -> None:
        """Handles a job past its start or total deadline. While nothing was paid, it fails for free."""
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
                job, job.end_by if job.task_id else min(now + _CHECK_AGAIN_MS, job.end_by)
            )
        elif job.state is JobState.SUBMITTING:  # its outcome will be known in a moment
            await self.jobs.defer_deadline(job, now + _CHECK_AGAIN_MS)
        else:
            await self._fail_at_deadline(job, now)

    async def _fail_at_deadline(self, job: Job, now: int) -> None:
        """Fails the job at its total deadline. The upstream may still work on it: the slot stays taken until
        we see the task end, or would have given it up anyway."""
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
        job = await self.jobs.read_kept(ticket.name) if ticket.role is Role.SUBMIT else None
        if job is None or job.state is JobState.QUEUED:
            await self.lanes.redispatch(ticket)
            log.warning("rung_again")
            return
        if job.final:  # its slot was kept for a task that may still have been running
            ended = Transition(JobEvent.DEADLINE_PASSED, effects=[Finish([submit_ticket(job)])])
            await self.jobs.apply(job, ended)
            return
        if job.released_at is None and job.lost + 1 >= self.settings.poison_limit:
            done = [submit_ticket(job), confirm_ticket(job)]
            await self.settlement.fail(job, JobEvent.POISONED, _POISON, done, tally=["submissions|poison"])
            log.error("poisoned", epoch=job.epoch)
            return
        result = await self.jobs.apply(job, self._lease_lost(job))
        log.warning("lease_ran_out", epoch=job.epoch, outcome=result.outcome, became=result.after)

    def _lease_lost(self, job: Job) -> Transition:
        """The transition for a submission whose worker is gone."""
        guard = Guard.same_release(job)
        if job.released_at is None:  # the last byte was never sent
            unpaid_for = [AddToFields({"lost": 1}), GiveBackSlot(0), Tally(["submissions|lease_lost"])]
            return Transition(JobEvent.CLAIM_LOST, guard, unpaid_for)
        return outcome_lost(job, self.settings).guarded(guard)
