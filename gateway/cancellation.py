"""What cancel means in each state.

Free while nothing was paid: in its lane, and in a worker's hands until the last byte of the request is let
go, for the transition to `canceled` fences that worker's release. Afterwards the wish is noted and the
upstream is asked, where it offers a cancel; where it does not, the answer is a conflict that says so.
"""

from __future__ import annotations

from typing import Final

from gateway.environment import Environment
from gateway.errors import CannotCancel, Conflict, NotFound
from gateway.jobs import Job, confirm_ticket, submit_ticket
from gateway.lifecycle import JobEvent, JobState
from gateway.settlement import Settlement, unpaid
from gateway.store.base import JobStore
from gateway.store.effects import PollAfter, SetFields
from gateway.store.transitions import Guard, Transition

_TRIES: Final = 5  # the job may move on while it is being canceled


async def cancel(
    job: Job, jobs: JobStore, settlement: Settlement, environment: Environment, *, upstream_can: bool
) -> Job:
    """The job after it: canceled (now or before), or with the wish noted. Conflict when it ended otherwise;
    CannotCancel when it was handed to an upstream that offers no cancel; NotFound when it is gone."""
    for _ in range(_TRIES):
        if job.state is JobState.CANCELED:
            return job
        if job.final:
            raise Conflict(f"the job is {job.status} already")
        if unpaid(job):
            await settlement.cancel(job, [submit_ticket(job), confirm_ticket(job)])
        elif not upstream_can:
            raise CannotCancel(
                f"the job was handed to the upstream, which offers no cancel (phase {job.state}, spend "
                f"{job.spend}); it ends by itself, at its total deadline at the latest"
            )
        elif job.cancel_wished_at is not None:
            return job
        else:
            effects = [SetFields({"cancel_wished_at": environment.now_ms()}), PollAfter(0)]
            wished = Transition(JobEvent.CANCEL_WISHED, Guard.same_submission(job), effects)
            await jobs.apply(job, wished)
        fresh = await jobs.read(job.id)
        if fresh is None:
            raise NotFound("job", job.id)
        job = fresh
    raise Conflict("the job is being sent just now; try again")
