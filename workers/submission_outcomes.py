"""Records the upstream's answer to a submission: one transition for each outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, assert_never

import structlog

from gateway.backoff import full_jitter
from gateway.dispatch import Ticket
from gateway.environment import Environment
from gateway.jobs import Job, confirm_ticket
from gateway.lifecycle import JobEvent
from gateway.settings import Settings
from gateway.settlement import Settlement
from gateway.store.base import JobStore, Outcome, TransitionResult
from gateway.store.effect_base import Effect
from gateway.store.effects import (
    AddToFields,
    BindTask,
    GiveBackSlot,
    HoldSlot,
    JudgeAccount,
    PollAfter,
    RecordHistory,
    Tally,
    UnsetFields,
)
from gateway.store.money_effects import Charge
from gateway.store.transitions import Guard, Transition
from gateway.upstream.base import (
    Accepted,
    AccountRefused,
    Busy,
    Rejected,
    SubmitOutcome,
    TaskStatus,
    Unknown,
    UpstreamError,
    reason_of,
)
from workers.evidence import outcome_lost
from workers.store_retry import persist

_BUSY_CAP_SECONDS: Final = 60.0
_REFUSED_WAIT_FACTOR: Final = 1.5  # of the time after which the account is tried again
_REJECTED: Final = ("submissions|rejected",)
#: A Retry-After holds this job for its full time, but the account's other jobs no longer than this.
_ACCOUNT_HOLD_SECONDS: Final = 600.0
#: In mean deviations. With callbacks, the first poll is only for unusually slow tasks; without, for the mean.
_DEVIATIONS_CALLED_BACK: Final = 4
_DEVIATIONS_POLLED: Final = 0


@dataclass(frozen=True, slots=True)
class OutcomeRecorder:
    """`several`: whether there is more than one account, so that a job that one refused may go to another."""

    jobs: JobStore
    settlement: Settlement
    environment: Environment
    settings: Settings
    several: bool

    async def record(self, job: Job, outcome: SubmitOutcome, ticket: Ticket) -> TransitionResult:
        match outcome:
            case Accepted():
                return await self._record_accepted(job, outcome)
            case Busy():
                return await self._record_busy(job, outcome)
            case AccountRefused():
                return await self._record_refused(job, outcome)
            case Rejected():
                return await self._rejected(job, outcome.error, [ticket, confirm_ticket(job)])
            case Unknown():
                lost = outcome_lost(job, self.settings).also(RecordHistory(reason_of(outcome)))
                return await self._apply(job, lost)
            case _:
                assert_never(outcome)

    async def give_up(self, job: Job, reason: str, *, at_once: bool) -> None:
        """Returns the job to its lane. Nothing was paid, because the last byte was never sent. `at_once`: it
        is sent again without a wait."""
        wait = 0 if at_once else self._busy_seconds(job)
        back = _back_to_lane(JobEvent.CLAIM_LOST, wait, "held_back", RecordHistory(reason))
        unproven = back.guarded(Guard.same_claim(job).without("evidence"))
        result = await persist(lambda: self.jobs.apply(job, unproven), self.environment)
        if result.outcome is not Outcome.MOVED:
            structlog.get_logger().warning("claim_lost", job=job.id, epoch=job.epoch, reason=reason)

    async def _record_accepted(self, job: Job, outcome: Accepted) -> TransitionResult:
        transition = self._accepted(job, outcome)
        result = await self._apply(job, transition)
        if result.outcome is not Outcome.FENCED:
            return result
        # The job was sent again in the meantime, but this task still belongs to it.
        result = await persist(lambda: self.jobs.apply(job, transition), self.environment)
        if result.outcome in (Outcome.MISSING, Outcome.ABSORBED, Outcome.REFUSED):
            structlog.get_logger().error(
                "paid_for_nothing", job=job.id, tenant=job.tenant, task=outcome.task_id
            )
        return result

    async def _record_busy(self, job: Job, outcome: Busy) -> TransitionResult:
        why = RecordHistory(reason_of(outcome))
        wait = self._busy_seconds(job)
        if not (outcome.reached and self.several):  # otherwise only that account must wait
            wait = max(outcome.retry_after_seconds or 0, wait)
        if not outcome.reached:
            return await self._send_back(job, _back_to_lane(JobEvent.UPSTREAM_BUSY, wait, "unreachable", why))
        held = min(outcome.retry_after_seconds or 0, _ACCOUNT_HOLD_SECONDS)
        busy = JudgeAccount("busy", int(held * 1000), account=job.account)
        return await self._send_back(job, _back_to_lane(JobEvent.UPSTREAM_BUSY, wait, "busy", why, busy))

    async def _record_refused(self, job: Job, outcome: AccountRefused) -> TransitionResult:
        refusal = JudgeAccount(
            "refused",
            status=outcome.status,
            code=outcome.error.code,
            reason=outcome.error.message,
            account=job.account,
        )
        structlog.get_logger().error(
            "account_refused",
            job=job.id,
            tenant=job.tenant,
            epoch=job.epoch,
            account=job.account,
            status=refusal.status,
            code=refusal.code,
            reason=refusal.reason,
        )
        # Wait longer each time, so that another job is the next probe: this job itself may cause the refusal,
        # and then it must not pause one account after another.
        wait = _REFUSED_WAIT_FACTOR * self.settings.account_retry_seconds * 2 ** min(job.refusals, 5)
        if self.several and not job.refusals:
            wait = self._busy_seconds(job)
        back = _back_to_lane(
            JobEvent.UPSTREAM_BUSY,
            wait,
            "account_refused",
            *(refusal, AddToFields({"refusals": 1}), RecordHistory(reason_of(outcome))),
            refused_by=job.account,
        )
        return await self._send_back(job, back)

    async def _rejected(self, job: Job, error: UpstreamError, done: Sequence[Ticket]) -> TransitionResult:
        async def settle() -> TransitionResult:
            result = await self.settlement.fail(job, JobEvent.UPSTREAM_REJECTED, error, done, tally=_REJECTED)
            if result.outcome is not Outcome.FENCED:
                return result
            fresh = await self.jobs.read(job.id)  # the sweep may have moved it to unknown
            if fresh is None or (fresh.epoch, fresh.run) != (job.epoch, job.run):
                return result
            if fresh.evidence is not None:
                lost = outcome_lost(job, self.settings).guarded(Guard.same_submission(job))
                return await self.jobs.apply(fresh, lost)
            return await self.settlement.fail(fresh, JobEvent.UPSTREAM_REJECTED, error, done, tally=_REJECTED)

        return await persist(settle, self.environment)

    async def _send_back(self, job: Job, back: Transition) -> TransitionResult:
        """Returns the job to its lane, unless a callback has proved in the meantime that a task exists."""
        unproven = back.guarded(Guard.same_claim(job).without("evidence"))
        result = await persist(lambda: self.jobs.apply(job, unproven), self.environment)
        if result.outcome is not Outcome.FENCED:
            return result
        account = back.find(JudgeAccount)
        return await self._apply(job, outcome_lost(job, self.settings).also(*([account] if account else [])))

    def _accepted(self, job: Job, outcome: Accepted) -> Transition:
        snapshot = outcome.snapshot
        over = snapshot is not None and snapshot.status is not TaskStatus.IN_PROGRESS
        deviations = _DEVIATIONS_CALLED_BACK if self.settings.public_url else _DEVIATIONS_POLLED
        poll = PollAfter(
            0 if over else int(self.settings.poll_first_seconds * 1000),
            deviations=None if over else deviations,
            at_once_if_called_back=True,
        )
        return Transition(
            JobEvent.UPSTREAM_ACCEPTED,
            effects=[
                *(BindTask(outcome.task_id), HoldSlot(), poll),
                # a finished job that is not watched: nobody will ask what its task cost
                Charge({outcome.task_id: None}, job.epoch, unless_watched=True),
                *(JudgeAccount("accepted", account=job.account), Tally(["submissions|accepted"])),
            ],
        )

    async def _apply(self, job: Job, transition: Transition) -> TransitionResult:
        ours = transition.guarded(Guard.same_claim(job))
        return await persist(lambda: self.jobs.apply(job, ours), self.environment)

    def _busy_seconds(self, job: Job) -> float:
        return full_jitter(
            job.epoch,
            base_seconds=self.settings.busy_retry_seconds,
            cap_seconds=_BUSY_CAP_SECONDS,
            random=self.environment.random,
        )


def _back_to_lane(
    event: JobEvent, seconds: float, label: str, *effects: Effect, refused_by: str | None = None
) -> Transition:
    """Nothing was paid: the job waits for `seconds`, then it is sent again. `label`: for the metrics."""
    back: list[Effect] = [
        UnsetFields(["released_at"]),
        GiveBackSlot(int(seconds * 1000), refused_by),
        Tally([f"submissions|{label}"]),
    ]
    return Transition(event, effects=[*back, *effects])
