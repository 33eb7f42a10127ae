"""What cancel means in each state: free while a job waits, afterwards a conflict that says why."""

from __future__ import annotations

from gateway.errors import Conflict, NotFound
from gateway.jobs import Job
from gateway.lifecycle import JobEvent, job_moves
from gateway.settlement import Settlement
from gateway.store.base import JobStore, Outcome
from gateway.tickets import submit_ticket


async def cancel(job: Job, jobs: JobStore, settlement: Settlement) -> Job:
    """The job as canceled (now or before). Conflict when it is past its lane; NotFound when it is gone."""
    moves = job_moves(JobEvent.CANCEL_REQUESTED)
    if job.state not in moves:
        raise Conflict(_reason(job))
    answer = await settlement.cancel(job, [submit_ticket(job)])
    fresh = await jobs.read(job.id)
    if fresh is None:
        raise NotFound("job", job.id)
    if answer.outcome in (Outcome.REFUSED, Outcome.FENCED) and fresh.state not in moves.values():
        raise Conflict(_reason(fresh))
    return fresh


def _reason(job: Job) -> str:
    if job.final:
        return f"the job is {job.status} already"
    return "the job was handed to the upstream, which offers no cancel; wait for its end"
