"""One submission: claim the job, send it past the gate, record the verdict. Why it is paid for at most once:

* `claim` moves the job from queued to submitting under a new epoch. Only one worker can.
* Everything but the last byte of the request is sent; then `release` records, durably and only if this
  epoch still holds the job, that money may be spent from now on. Only then does the last byte go out.
* A worker that dies before `release` costs nothing: its lease runs out and the job is queued again. One
  that dies after it leaves a released submission, which the sweep calls unknown.
* A released job is sent again only on proof that it is unpaid: an answer to that very submission which says
  that there is no task (429, or the account refused), with no callback that says otherwise. Without proof it
  is sent again only by choice: its owner's (`resubmit`, within a count and a budget), or an operator's.
* A worker that was asked to stop lets go of what it has not released yet, and finishes what it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, assert_never

import structlog

from gateway import generation
from gateway.backoff import full_jitter
from gateway.blobs import BlobStore
from gateway.callbacks import tokens
from gateway.dispatch import Ticket
from gateway.environment import Environment
from gateway.errors import BlobStoreUnavailable, Fenced, NotFound, StoreUnavailable
from gateway.jobs import Job, confirm_ticket
from gateway.keyring import Keyring
from gateway.lifecycle import JobEvent
from gateway.settings import Settings
from gateway.settlement import Settlement
from gateway.store.base import AccountVerdict, Answer, JobStore, Move, Outcome
from gateway.tracing import NO_TRACER, Attributes, Tracer
from gateway.upstream.base import (
    Accepted,
    AccountRefused,
    Busy,
    Rejected,
    SubmitOutcome,
    TaskStatus,
    Unknown,
    Upstream,
    UpstreamError,
    reason_of,
)
from workers.evidence import evidence_ms
from workers.leases import renewed
from workers.release_gate import Gatekeeper
from workers.store_retry import persist

_BUSY_CAP_SECONDS: Final = 60.0
_MEDIA_SECONDS: Final = 60.0
_BEHIND: Final = 1.5
#: A Retry-After holds the job for as long as it says, all other jobs no longer than this.
_ACCOUNT_HOLD_SECONDS: Final = 600.0
#: With callbacks, a first poll is for the few that take far longer than usual; without, for the usual one.
_DEVIATIONS_CALLED_BACK: Final = 4
_DEVIATIONS_POLLED: Final = 0


@dataclass(frozen=True, slots=True)
class Submitter:
    """`upstreams`: by account. `stopping`: set when the process is about to end."""

    jobs: JobStore
    settlement: Settlement
    upstreams: Mapping[str, Upstream]
    blobs: BlobStore
    keyring: Keyring
    environment: Environment
    settings: Settings
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    tracer: Tracer = NO_TRACER

    async def submit(self, ticket: Ticket) -> None:
        job = await self.jobs.claim(ticket, self.environment.entropy(8).hex())
        if job is None:
            await self._let_go(ticket)
            return
        about: Attributes = {"job": job.id, "tenant": job.tenant, "epoch": job.epoch}
        if job.epoch == 1:
            self.tracer.add_finished("queue", job.trace, about, job.created_at, self.environment.now_ms())
        with self.tracer.span("submit", job.trace, about):
            await self._submit(job, ticket)

    async def _submit(self, job: Job, ticket: Ticket) -> None:
        log = structlog.get_logger().bind(job=job.id, tenant=job.tenant, epoch=job.epoch)
        if job.cancel_wished_at is not None:  # wished of a submission that turned out to be unpaid
            await self.settlement.cancel(job, [ticket, confirm_ticket(job)])
            return
        try:
            async with renewed(self.jobs, ticket, self.settings.lease_seconds):
                outcome = await self._attempt(job)
        except (Fenced, StoreUnavailable, BlobStoreUnavailable) as error:
            log.warning("submission_held_back", reason=str(error))
            await self._give_up(job, str(error))
            return
        answer = await self._record(job, outcome, ticket)
        log.info(
            "submitted",
            outcome=type(outcome).__name__.lower(),
            became=answer.after,
            reason=reason_of(outcome),
        )

    async def _attempt(self, job: Job) -> SubmitOutcome:
        """The verdict on one submission. Fenced, StoreUnavailable or BlobStoreUnavailable when it was never
        sent whole."""
        try:
            async with asyncio.timeout(_MEDIA_SECONDS):
                params = await generation.attach_media(job.params, self.blobs.read)
        except NotFound:
            structlog.get_logger().error("media_lost", job=job.id, tenant=job.tenant)
            lost = UpstreamError("media_lost", "an inline file of the request is gone from the blob store")
            return Rejected(lost)
        except TimeoutError:
            raise BlobStoreUnavailable("the folder of inline media is too slow") from None
        upstream = self.upstreams.get(job.account)
        if upstream is None:  # another worker, with newer settings or older ones, handed it out
            raise Fenced(f"this worker knows no account {job.account}")
        token = tokens.make(self.keyring, job.tenant, job.id, job.epoch, job.account)
        public = self.settings.public_url
        gate = Gatekeeper(self.jobs, self.environment, job)
        sending = upstream.submit(
            params,
            model=job.model,
            callback_url=f"{public}/callbacks/{token}" if public else None,
            reference=token,
            gate=gate,
        )
        return await self._sent(sending, gate)

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
                move = self._accepted(job, outcome)
                answer = await self._apply(job, move)
                if answer.outcome is not Outcome.FENCED:
                    return answer
                # It was sent again meanwhile. The task is the job's all the same.
                answer = await persist(lambda: self.jobs.apply(job, move), self.environment)
                if answer.outcome in (Outcome.MISSING, Outcome.ABSORBED, Outcome.REFUSED):
                    structlog.get_logger().error(
                        "paid_for_nothing", job=job.id, tenant=job.tenant, task=outcome.task_id
                    )
                return answer
            case Busy():
                wait = self._busy_seconds(job)
                if not (outcome.reached and self._others):  # else that account alone is to be spared
                    wait = max(outcome.retry_after_seconds or 0, wait)
                if not outcome.reached:
                    back = _back_to_lane(JobEvent.UPSTREAM_BUSY, wait, "unreachable")
                    return await self._send_back(job, replace(back, why=reason_of(outcome)))
                held = min(outcome.retry_after_seconds or 0, _ACCOUNT_HOLD_SECONDS)
                verdict = AccountVerdict("busy", int(held * 1000), account=job.account)
                back = _back_to_lane(JobEvent.UPSTREAM_BUSY, wait, "busy", verdict)
                return await self._send_back(job, replace(back, why=reason_of(outcome)))
            case AccountRefused():
                structlog.get_logger().error(
                    "account_refused",
                    job=job.id,
                    tenant=job.tenant,
                    epoch=job.epoch,
                    account=job.account,
                    status=outcome.status,
                    code=outcome.error.code,
                    reason=outcome.error.message,
                )
                verdict = AccountVerdict(
                    "refused",
                    status=outcome.status,
                    code=outcome.error.code,
                    reason=outcome.error.message,
                    account=job.account,
                )
                # Later each time, so that another job is the next probe: the refusal may be this job's own,
                # and then it must not park one account after the other.
                wait = _BEHIND * self.settings.account_retry_seconds * 2 ** min(job.refusals, 5)
                if self._others and not job.refusals:
                    wait = self._busy_seconds(job)
                back = _back_to_lane(JobEvent.UPSTREAM_BUSY, wait, "account_refused", verdict)
                return await self._send_back(job, replace(back, add={"refusals": 1}, why=reason_of(outcome)))
            case Rejected():
                return await self._rejected(job, outcome.error, [ticket, confirm_ticket(job)])
            case Unknown():
                return await self._apply(job, replace(self._lost(job), why=reason_of(outcome)))
            case _:
                assert_never(outcome)

    async def _rejected(self, job: Job, error: UpstreamError, done: Sequence[Ticket]) -> Answer:
        async def settle() -> Answer:
            answer = await self.settlement.fail(job, JobEvent.UPSTREAM_REJECTED, error, done)
            if answer.outcome is not Outcome.FENCED:
                return answer
            fresh = await self.jobs.read(job.id)  # the sweep may have called this submission unknown
            if fresh is None or (fresh.epoch, fresh.run) != (job.epoch, job.run):
                return answer
            if fresh.evidence is not None:
                return await self.jobs.apply(fresh, replace(self._lost(job), expect={"epoch": job.epoch}))
            return await self.settlement.fail(fresh, JobEvent.UPSTREAM_REJECTED, error, done)

        return await persist(settle, self.environment)

    async def _send_back(self, job: Job, move: Move) -> Answer:
        """To its lane, unless a callback proved meanwhile that there is a task, whatever the answer says."""
        guarded = replace(move, expect={"epoch": job.epoch, "run": job.run, "evidence": None})
        answer = await persist(lambda: self.jobs.apply(job, guarded), self.environment)
        if answer.outcome is not Outcome.FENCED:
            return answer
        return await self._apply(job, replace(self._lost(job), account=move.account))

    def _lost(self, job: Job) -> Move:
        return Move(
            JobEvent.OUTCOME_LOST,
            hold_ms=-1,
            poll_in_ms=evidence_ms(job, self.settings),
            tally=["submissions|unknown"],
        )

    def _accepted(self, job: Job, outcome: Accepted) -> Move:
        snapshot = outcome.snapshot
        over = snapshot is not None and snapshot.status is not TaskStatus.IN_PROGRESS
        return Move(
            JobEvent.UPSTREAM_ACCEPTED,
            task=outcome.task_id,
            account=AccountVerdict("accepted", account=job.account),
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
        held = {"epoch": job.epoch, "run": job.run, "evidence": None}
        guarded = replace(move, expect=held, why=reason)
        answer = await persist(lambda: self.jobs.apply(job, guarded), self.environment)
        if answer.outcome is not Outcome.MOVED:
            structlog.get_logger().warning("claim_lost", job=job.id, epoch=job.epoch, reason=reason)

    async def _apply(self, job: Job, move: Move) -> Answer:
        fenced = replace(move, expect={"epoch": job.epoch, "run": job.run})
        return await persist(lambda: self.jobs.apply(job, fenced), self.environment)

    @property
    def _others(self) -> bool:
        """Whether a job that one account did not take may be sent with another."""
        return len(self.upstreams) > 1

    def _busy_seconds(self, job: Job) -> float:
        return full_jitter(
            job.epoch,
            base_seconds=self.settings.busy_retry_seconds,
            cap_seconds=_BUSY_CAP_SECONDS,
            random=self.environment.random,
        )


def _back_to_lane(event: JobEvent, seconds: float, label: str, account: AccountVerdict | None = None) -> Move:
    return Move(
        event,
        unset=["released_at"],
        give_back_in_ms=int(seconds * 1000),
        account=account,
        tally=[f"submissions|{label}"],
    )
