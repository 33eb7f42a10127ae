"""One submission: claim the job, send it past the gate, record the verdict. Why it is paid for at most once:

* `claim` moves the job from queued to submitting under a new epoch. Only one worker can.
* Everything but the last byte of the request is sent; then `release` records, durably and only if this
  epoch still holds the job, that money may be spent from now on. Only then does the last byte go out.
* A worker that dies before `release` costs nothing: its lease runs out and the job is queued again. One
  that dies after it leaves a released submission, which the sweep calls unknown and nobody sends again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, assert_never

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
from gateway.store.base import Answer, JobStore, Move, Outcome
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
from workers.persist import persist

#: A release that took longer to answer is not acted upon: the lease may have run out meanwhile.
_RELEASE_SECONDS: Final = 2.0
_BUSY_CAP_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Submitter:
    jobs: JobStore
    settlement: Settlement
    upstream: Upstream
    blobs: BlobStore
    keyring: Keyring
    environment: Environment
    settings: Settings

    async def submit(self, ticket: Ticket) -> None:
        job = await self.jobs.claim(ticket)
        if job is None:
            await self._let_go(ticket)
            return
        log = structlog.get_logger().bind(job=job.id, tenant=job.tenant, epoch=job.epoch)
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
        try:
            async with self._renewed(ticket):
                outcome = await self.upstream.submit(
                    params,
                    model=job.model,
                    callback_url=f"{public}/callbacks/{token}" if public else None,
                    reference=token,
                    gate=lambda: self._gate(job),
                )
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

    async def _gate(self, job: Job) -> None:
        began = self.environment.monotonic()
        if not await self.jobs.release(job):
            raise Fenced("another worker holds the job now")
        if self.environment.monotonic() - began > _RELEASE_SECONDS:
            raise Fenced("the release took too long to be acted upon")

    async def _record(self, job: Job, outcome: SubmitOutcome, ticket: Ticket) -> Answer:
        match outcome:
            case Accepted():
                return await self._apply(job, self._accepted(outcome))
            case Busy():
                wait = max(outcome.retry_after_seconds or 0, self._busy_seconds(job))
                label = "busy" if outcome.reached else "unreachable"
                return await self._apply(job, _back_to_lane(JobEvent.UPSTREAM_BUSY, wait, label))
            case Refused():
                structlog.get_logger().error(
                    "account_refused",
                    status=outcome.status,
                    code=outcome.error.code,
                    reason=outcome.error.message,
                )
                return await self._apply(
                    job,
                    _back_to_lane(
                        JobEvent.UPSTREAM_BUSY, self.settings.account_retry_seconds, "account_refused"
                    ),
                )
            case Rejected():
                return await self._rejected(job, outcome.error, [ticket, confirm_ticket(job)])
            case Unknown():
                move = Move(
                    JobEvent.OUTCOME_LOST,
                    hold_ms=-1,
                    poll_in_ms=int(self.settings.unknown_grace_seconds * 1000),
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
            fields={"task_id": outcome.task_id},  # the answer to our own request outranks a callback
            hold_ms=-1,
            poll_in_ms=0 if over else int(self.settings.poll_first_seconds * 1000),
            tally=["submissions|accepted"],
        )

    async def _give_up(self, job: Job, reason: str) -> None:
        """Nothing was paid: the last byte never went out."""
        move = _back_to_lane(JobEvent.CLAIM_LOST, self._busy_seconds(job), "held_back")
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


def _back_to_lane(event: JobEvent, seconds: float, label: str) -> Move:
    return Move(
        event, unset=["released_at"], give_back_in_ms=int(seconds * 1000), tally=[f"submissions|{label}"]
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
