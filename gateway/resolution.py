"""Resolves an `unknown` job without evidence: by its owner's policy, or by an operator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Protocol

from gateway.environment import Environment
from gateway.errors import Conflict, NotFound
from gateway.jobs import Job, confirm_ticket, submit_ticket
from gateway.lifecycle import JobEvent, JobState
from gateway.settlement import Settlement
from gateway.store.base import JobStore, Outcome, TransitionResult
from gateway.store.effect_base import Effect
from gateway.store.effects import (
    AddToFields,
    AuditEntry,
    BindTask,
    Finish,
    GiveBackSlot,
    HoldSlot,
    PollAfter,
    RecordHistory,
    Tally,
    UnsetFields,
    UseResubmission,
)
from gateway.store.money_effects import ReserveAgain
from gateway.store.transitions import Guard, Transition
from gateway.upstream.base import UpstreamError

UNKNOWN: Final = UpstreamError(
    "submission_unknown",
    "the upstream's answer to the submission was lost and no task for it was found since; "
    "it may have been charged, so it was not sent again",
)
UNNAMED: Final = UpstreamError(
    "submission_unknown",
    "the upstream accepted the submission, but never named a task that can be polled; "
    "it was charged, so it was not sent again",
)


AGAIN: Final = UpstreamError(
    "submission_unknown",
    "the upstream's answers were lost and no task was found since; it was sent more than once, as requested, "
    "and each submission may have been charged",
)


def unknown_error(job: Job) -> UpstreamError:
    """The job's error when it is given up."""
    if job.evidence:
        return UNNAMED
    return AGAIN if job.resubmits else UNKNOWN


def resubmission(
    job: Job, environment: Environment, *, day_budget: int | None, by: str | None = None
) -> Transition:
    """Sends an unknown job again, which may pay for it twice. `day_budget`: the tenant's resubmissions per
    day; None: no limit, for operators. Fenced when evidence has arrived."""
    effects: list[Effect] = [
        AddToFields({"resubmits": 1}),
        UnsetFields(["unknown_at"]),
        GiveBackSlot(0),
        Finish([confirm_ticket(job)]),
        RecordHistory(by=by),
        Tally(["resubmissions|operator" if by else "resubmissions|policy"]),
        ReserveAgain(within_budget=by is None, why="resubmitted"),
    ]
    if day_budget is not None:
        day = datetime.fromtimestamp(environment.clock(), UTC).date().isoformat()
        effects.append(UseResubmission(day, day_budget))
    return Transition(JobEvent.RESUBMIT_CHOSEN, Guard.same_submission(job).without("evidence"), effects)


class Action(StrEnum):
    BIND = "bind"  #: an operator found its task at the upstream
    RESUBMIT = "resubmit"  #: send it again; it may be paid twice
    FAIL = "fail"  #: give it up


class TaskOwners(Protocol):
    async def owner_of(self, task_id: str) -> str | None:
        """The id of the job that the task belongs to, or None."""


@dataclass(frozen=True, slots=True)
class Resolver:
    jobs: JobStore
    settlement: Settlement
    tasks: TaskOwners
    environment: Environment

    async def resolve(self, job: Job, action: Action, task_id: str | None, by: str) -> Job:
        """Returns the job afterwards. Raises Conflict when its outcome is known, also if only since a moment,
        or when the task belongs to another job; NotFound when the job is gone. The decision and its audit
        entry are one step, so that it is always known who spent the money."""
        unnamed = job.state is JobState.SUBMITTED and not job.tasks
        if job.state is not JobState.UNKNOWN and not unnamed:
            raise Conflict(f"the job is {job.state}; only a job whose outcome is unknown can be resolved")
        if action is Action.RESUBMIT and job.evidence:
            raise Conflict("a callback proves that the upstream accepted the job: name its task, or fail it")
        if task_id is not None and (owner := await self.tasks.owner_of(task_id)) not in (None, job.id):
            raise Conflict(f"the task {task_id} belongs to {owner}")
        answer = await self._apply(job, action, task_id, by)
        if answer.outcome not in (Outcome.MOVED, Outcome.REPEATED):
            raise Conflict(f"the job's state changed in the meantime, so it was not resolved: {answer.after}")
        fresh = await self.jobs.read(job.id)
        if fresh is None:
            raise NotFound("job", job.id)
        return fresh

    async def _apply(self, job: Job, action: Action, task_id: str | None, by: str) -> TransitionResult:
        fields = {"job": job.id, "tenant": job.tenant, "action": action.value, "task": task_id or ""}
        audit = AuditEntry("job_resolved", by, fields)
        match action:
            case Action.BIND:
                assert task_id is not None
                unnamed = Guard.same_state(job).without("task_id")
                effects = [BindTask(task_id, by), HoldSlot(), PollAfter(0), RecordHistory(by=by), audit]
                return await self.jobs.apply(job, Transition(JobEvent.UPSTREAM_ACCEPTED, unnamed, effects))
            case Action.RESUBMIT:
                again = resubmission(job, self.environment, day_budget=None, by=by)
                return await self.jobs.apply(job, again.also(audit))
            case Action.FAIL:
                done = [submit_ticket(job), confirm_ticket(job)]
                error = unknown_error(job)
                return await self.settlement.fail(
                    job, JobEvent.DEADLINE_PASSED, error, done, by=by, also=[audit]
                )
