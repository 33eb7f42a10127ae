"""One submission: claim the job, send it past the gate, record the verdict. Why it is paid for at most once:

* `claim` moves the job from queued to submitting under a new epoch. Only one worker can.
* Everything but the last byte of the request is sent; then `release` records, durably and only if this
  epoch still holds the job, that money may be spent from now on. Only then does the last byte go out.
* A worker that dies before `release` costs nothing: its lease runs out and the job is queued again. One
  that dies after it leaves a released submission, which the sweep calls unknown. An unknown job is sent again
  only when its owner chose that (`resubmit`), or a late answer of that very submission proves it unpaid.
* A worker that was asked to stop lets go of what it has not released yet, and finishes what it has.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, assert_never

import structlog

from gateway import callback_tokens, generation
from gateway.backoff import full_jitter
from gateway.blobs import BlobStore
from gateway.dispatch import Ticket
from gateway.environment import Environment
from gateway.errors import BlobStoreUnavailable, Fenced, NotFound, StoreUnavailable
from gateway.jobs import Job
from gateway.keyring import Keyring
from gateway.lifecycle import JobEvent
from gateway.settings import Settings
from gateway.settlement import Settlement
from gateway.store.base import AccountVerdict, Answer, JobStore, Move, Outcome
from gateway.tickets import confirm_ticket
from gateway.upstream.base import (
    Accepted,
    Busy,
    Refused,
    Rejected,
    SubmitOutcome,
    TaskStatus,
    Unknown,
    Upstream,
    UpstreamError,
)
from workers.evidence import evidence_ms
from workers.persist import persist

#: A release that took longer to answer is not acted upon: the lease may have run out meanwhile.
_RELEASE_SECONDS: Final = 2.0
_BUSY_CAP_SECONDS: Final = 60.0
#: A Retry-After holds the job for as long as it says, all other jobs no longer than this.
_ACCOUNT_HOLD_SECONDS: Final = 600.0
#: With callbacks, a first poll is for the few that take far longer than usual; without, for the usual one.
_DEVIATIONS_CALLED_BACK: Final = 4
_DEVIATIONS_POLLED: Final = 0


@dataclass(frozen=True, slots=True)
class Submitter:
    """`stopping`: set when the process is about to end."""

    jobs: JobStore
    settlement: Settlement
    upstream: Upstream
    blobs: BlobStore
    keyring: Keyring
    environment: Environment
    settings: Settings
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def submit(self, ticket: Ticket) -> None:
        job = await self.jobs.claim(ticket, self.environment.entropy(8).hex())
        if job is None:
            await self._let_go(ticket)
            return
        log = structlog.get_logger().bind(job=job.id, tenant=job.tenant, epoch=job.epoch)
        if job.cancel_wished_at is not None:  # wished of a submission that turned out to be unpaid
            await self.settlement.cancel(job, [ticket, confirm_ticket(job)])
            return
        try:
            params = await generation.attach_media(job.params, self.blobs.read)
        except NotFound:
            error = UpstreamError("media_lost", "an inline file of the request is gone from the blob store")
            await self._record(job, Rejected(error), ticket)
            return
        except BlobStoreUnavailable as error:
            await self._give_up(job, str(error))
            return
        token = callback_tokens.make(self.keyring, job.tenant, job.id, job.epoch)
        public = self.settings.public_url
        gate = Gatekeeper(self.jobs, self.environment, job)
        sending = self.upstream.submit(
            params,
            model=job.model,
            callback_url=f"{public}/callbacks/{token}" if public else None,
            reference=token,
            gate=gate,
        )
        try:
            async with self._renewed(ticket):
                outcome = await self._sent(sending, gate)
        except (Fenced, StoreUnavailable) as error:
            log.warning("submission_held_back", reason=str(error))
            await self._give_up(job, str(error))
            return
        answer = await self._record(job, outcome, ticket)
        log.info(
            "submitted", outcome=type(outcome).__name__.lower(), became=answer.after, reason=_reason(outcome)
        )

    async def _let_go(self, ticket: Ticket) -> None:
        """The slot is given back only when nothing can need it: another run of this ticket may hold it."""
        job = await self.jobs.read(ticket.name)
        if job is None or job.final:
            await self.jobs.drop(ticket)

    async def _sent(self, sending: Coroutine[Any, Any, SubmitOutcome], gate: Gatekeeper) -> SubmitOutcome:
        """The verdict. Fenced when the process is asked to stop and the last byte is still here."""
        submission = asyncio.create_task(sending)
        stop = asyncio.create_task(self.stopping.wait())
        try:
            await asyncio.wait([submission, stop], return_when=asyncio.FIRST_COMPLETED)
            if not submission.done() and gate.close():
                submission.cancel()
                await asyncio.wait([submission])
                raise Fenced("the worker was asked to stop")
            return await submission
        finally:
            stop.cancel()
            if not submission.done():
                submission.cancel()

    async def _record(self, job: Job, outcome: SubmitOutcome, ticket: Ticket) -> Answer:
        match outcome:
            case Accepted():
                move = self._accepted(outcome)
                answer = await self._apply(job, move)
                if answer.outcome is not Outcome.FENCED:
                    return answer
                # It was sent again meanwhile. The task is the job's all the same.
                return await persist(lambda: self.jobs.apply(job, move), self.environment)
            case Busy():
                wait = max(outcome.retry_after_seconds or 0, self._busy_seconds(job))
                if not outcome.reached:
                    return await self._apply(job, _back_to_lane(JobEvent.UPSTREAM_BUSY, wait, "unreachable"))
                held = min(outcome.retry_after_seconds or 0, _ACCOUNT_HOLD_SECONDS)
                verdict = AccountVerdict("busy", int(held * 1000))
                return await self._apply(job, _back_to_lane(JobEvent.UPSTREAM_BUSY, wait, "busy", verdict))
            case Refused():
                structlog.get_logger().error(
                    "account_refused",
                    status=outcome.status,
                    code=outcome.error.code,
                    reason=outcome.error.message,
                )
                verdict = AccountVerdict(
                    "refused",
                    status=outcome.status,
                    code=outcome.error.code,
                    reason=outcome.error.message,
                )
                # The account is parked: the job waits in its lane, first in line for the probe.
                return await self._apply(
                    job, _back_to_lane(JobEvent.UPSTREAM_BUSY, 0, "account_refused", verdict)
                )
            case Rejected():
                return await self._rejected(job, outcome.error, [ticket, confirm_ticket(job)])
            case Unknown():
                move = Move(
                    JobEvent.OUTCOME_LOST,
                    hold_ms=-1,
                    poll_in_ms=evidence_ms(job, self.settings),
                    tally=["submissions|unknown"],
                )
                return await self._apply(job, move)
            case _:
                assert_never(outcome)

    async def _rejected(self, job: Job, error: UpstreamError, done: Sequence[Ticket]) -> Answer:
        async def settle() -> Answer:
            answer = await self.settlement.fail(job, JobEvent.UPSTREAM_REJECTED, error, done)
            if answer.outcome is not Outcome.FENCED:
                return answer
            fresh = await self.jobs.read(job.id)  # the sweep may have called this submission unknown
            if fresh is None or fresh.epoch != job.epoch:
                return answer
            return await self.settlement.fail(fresh, JobEvent.UPSTREAM_REJECTED, error, done)

        return await persist(settle, self.environment)

    def _accepted(self, outcome: Accepted) -> Move:
        snapshot = outcome.snapshot
        over = snapshot is not None and snapshot.status is not TaskStatus.IN_PROGRESS
        return Move(
            JobEvent.UPSTREAM_ACCEPTED,
            task=outcome.task_id,
            account=AccountVerdict("accepted"),
            hold_ms=-1,
            poll_in_ms=0 if over else int(self.settings.poll_first_seconds * 1000),
            typical=None
            if over
            else (_DEVIATIONS_CALLED_BACK if self.settings.public_url else _DEVIATIONS_POLLED),
            tally=["submissions|accepted"],
        )

    async def _give_up(self, job: Job, reason: str) -> None:
        """Nothing was paid: the last byte never went out."""
        wait = 0 if self.stopping.is_set() else self._busy_seconds(job)
        move = _back_to_lane(JobEvent.CLAIM_LOST, wait, "held_back")
        answer = await self._apply(job, move)
        if answer.outcome is not Outcome.MOVED:
            structlog.get_logger().warning("claim_lost", job=job.id, epoch=job.epoch, reason=reason)

    async def _apply(self, job: Job, move: Move) -> Answer:
        fenced = replace(move, expect={"epoch": job.epoch})
        return await persist(lambda: self.jobs.apply(job, fenced), self.environment)

    def _busy_seconds(self, job: Job) -> float:
        return full_jitter(
            job.epoch,
            base_seconds=self.settings.busy_retry_seconds,
            cap_seconds=_BUSY_CAP_SECONDS,
            random=self.environment.random,
        )

    @contextlib.asynccontextmanager
    async def _renewed(self, ticket: Ticket) -> AsyncIterator[None]:
        """Keeps the lease while the request is under way. When it is lost, the gate is what stops us."""

        over = asyncio.Event()

        async def renew() -> None:
            while not over.is_set():
                await asyncio.sleep(self.settings.lease_seconds / 3)
                with contextlib.suppress(StoreUnavailable):
                    await self.jobs.renew(ticket)

        renewing = asyncio.create_task(renew())
        try:
            yield
        finally:
            over.set()
            renewing.cancel()
            await asyncio.wait([renewing])


@dataclass(slots=True)
class Gatekeeper:
    """The gate of one submission: passes once, after a durable release; never once it was closed."""

    jobs: JobStore
    environment: Environment
    job: Job
    _entered: bool = False
    _closed: bool = False

    async def __call__(self) -> None:
        if self._closed:
            raise Fenced("the worker was asked to stop")
        self._entered = True
        began = self.environment.monotonic()
        if not await self.jobs.release(self.job):
            raise Fenced("another worker holds the job now, or it was canceled")
        if self.environment.monotonic() - began > _RELEASE_SECONDS:
            raise Fenced("the release took too long to be acted upon")

    def close(self) -> bool:
        """True when nobody has entered it, and from then on nobody can."""
        self._closed = not self._entered
        return self._closed


def _back_to_lane(event: JobEvent, seconds: float, label: str, account: AccountVerdict | None = None) -> Move:
    return Move(
        event,
        unset=["released_at"],
        give_back_in_ms=int(seconds * 1000),
        account=account,
        tally=[f"submissions|{label}"],
    )


def _reason(outcome: SubmitOutcome) -> str | None:
    match outcome:
        case Busy() | Unknown():
            return outcome.reason
        case Refused() | Rejected():
            return f"{outcome.error.code}: {outcome.error.message}"
        case Accepted():
            return None
        case _:
            assert_never(outcome)
