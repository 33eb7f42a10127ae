"""What an operator decides about a job whose outcome is unknown: name its task, pay again, or fail it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gateway import resolution
from gateway.environment import Environment
from gateway.errors import Conflict, NotFound
from gateway.jobs import Job
from gateway.lifecycle import JobEvent, JobState
from gateway.settlement import Settlement
from gateway.store.base import Answer, JobStore, Move, Outcome
from gateway.tickets import confirm_ticket, submit_ticket


class Action(StrEnum):
    BIND = "bind"  #: the upstream has a task for it, found by hand: this one
    RESUBMIT = "resubmit"  #: send it again: it may be paid for twice
    FAIL = "fail"  #: wait no longer


class OperatorLog(Protocol):
    async def note(self, kind: str, *, by: str, **fields: str) -> None:
        """Keep what an operator did."""

    async def owner(self, task_id: str) -> str | None:
        """The job that the task belongs to."""


@dataclass(frozen=True, slots=True)
class Resolver:
    jobs: JobStore
    settlement: Settlement
    log: OperatorLog
    environment: Environment

    async def resolve(self, job: Job, action: Action, task_id: str | None, by: str) -> Job:
        """The job as it is then. Conflict when its outcome is known, or by now, or the task is another
        job's; NotFound when it is gone. The choice is noted before it is carried out: who spent the money is
        known whatever happens."""
        unnamed = job.state is JobState.SUBMITTED and not job.tasks
        if job.state is not JobState.UNKNOWN and not unnamed:
            raise Conflict(f"the job is {job.state}; only one whose outcome is unknown is for you to resolve")
        if action is Action.RESUBMIT and job.evidence:
            raise Conflict("the upstream accepted the job, as a callback proves: name its task, or fail it")
        if task_id is not None and (owner := await self.log.owner(task_id)) not in (None, job.id):
            raise Conflict(f"the task {task_id} is that of {owner}")
        await self.log.note("job_resolved", job=job.id, action=action, task=task_id or "", by=by)
        answer = await self._carry_out(job, action, task_id, by)
        if answer.outcome not in (Outcome.MOVED, Outcome.REPEATED):
            await self.log.note("job_not_resolved", job=job.id, action=action, outcome=answer.outcome, by=by)
            raise Conflict(f"the job moved on meanwhile, and was left as it is: {answer.after}")
        fresh = await self.jobs.read(job.id)
        if fresh is None:
            raise NotFound("job", job.id)
        return fresh

    async def _carry_out(self, job: Job, action: Action, task_id: str | None, by: str) -> Answer:
        match action:
            case Action.BIND:
                expect: dict[str, int | str | None] = {
                    "state": job.state,
                    "epoch": job.epoch or None,
                    "task_id": None,
                }
                move = Move(
                    JobEvent.UPSTREAM_ACCEPTED, expect=expect, task=task_id, hold_ms=-1, poll_in_ms=0, by=by
                )
                return await self.jobs.apply(job, move)
            case Action.RESUBMIT:
                return await self.jobs.apply(
                    job, resolution.resubmit_move(job, self.environment, day_budget=None, by=by)
                )
            case Action.FAIL:
                done = [submit_ticket(job), confirm_ticket(job)]
                error = resolution.unknown_error(job)
                return await self.settlement.fail(job, JobEvent.DEADLINE_PASSED, error, done, by=by)
