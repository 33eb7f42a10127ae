"""What cancel does in each state.

It is free while nothing was paid: while the job waits, and while a worker handles it but has not released the
last byte of the request, because the transition to `canceled` fences that release. After that the request to
cancel is stored and the upstream is asked, if it offers a cancel. If it does not, the answer is a conflict.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.environment import Environment
from gateway.errors import CannotCancel, Conflict, NotFound
from gateway.jobs import Job, Spend, confirm_ticket, submit_ticket
from gateway.lifecycle import JobEvent, JobState
from gateway.settlement import Settlement, unpaid
from gateway.store.base import JobStore
from gateway.store.effect_base import Effect
from gateway.store.effects import PollAfter, SetFields
from gateway.store.transitions import Guard, Transition

_ATTEMPTS: Final = 5  # the job's state may change while we cancel it


async def cancel(
    job: Job,
    jobs: JobStore,
    settlement: Settlement,
    environment: Environment,
    *,
    upstream_can: bool,
    also: Sequence[Effect] = (),
) -> Job:
    """Returns the job afterwards: canceled (now or before), or with `cancel_wished_at` set. Raises Conflict
    when it finished otherwise, CannotCancel when it was sent to an upstream without cancel, NotFound when it
    is gone. `also`: more effects of the step that does it."""
    for _ in range(_ATTEMPTS):
        if job.state is JobState.CANCELED:
            return job
        if job.final:
            raise Conflict(f"the job is already {job.status}")
        if unpaid(job):
            await settlement.cancel(job, [submit_ticket(job), confirm_ticket(job)], also)
        elif not upstream_can:
            raise cannot_cancel(job.state, job.spend)
        elif job.cancel_wished_at is not None:
            return job
        else:
            wish = SetFields({"cancel_wished_at": environment.now_ms()})
            once = Guard.same_submission(job).without("cancel_wished_at")
            wished = Transition(JobEvent.CANCEL_WISHED, once, [wish, PollAfter(0), *also])
            await jobs.apply(job, wished)
        fresh = await jobs.read(job.id)
        if fresh is None:
            raise NotFound("job", job.id)
        job = fresh
    raise Conflict("the job is being sent just now; try again")


def cannot_cancel(state: JobState, spend: Spend) -> CannotCancel:
    """The error for a job that the upstream has and cannot stop."""
    return CannotCancel(
        f"the job was sent to the upstream, which offers no cancel (phase {state}, spend {spend}); it "
        "finishes by itself, at its total deadline at the latest"
    )
