"""How an `unknown` job ends when no evidence came: by its owner's policy, or by an operator."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from gateway.environment import Environment
from gateway.jobs import Job
from gateway.lifecycle import JobEvent
from gateway.store.base import Budget, Move
from gateway.tickets import confirm_ticket
from gateway.upstream.base import UpstreamError

UNKNOWN: Final = UpstreamError(
    "submission_unknown",
    "the upstream's answer to the submission was lost and nothing was heard of a task since; "
    "it may have been charged, so it was not sent again",
)
UNNAMED: Final = UpstreamError(
    "submission_unknown",
    "the upstream accepted the submission, but never named the task in words that can be looked up; "
    "it was charged, so it was not sent again",
)


AGAIN: Final = UpstreamError(
    "submission_unknown",
    "the upstream's answers were lost and nothing was heard of a task since; it was sent more than once, "
    "as was chosen, and each time may have been charged",
)


def unknown_error(job: Job) -> UpstreamError:
    """Why it is given up."""
    if job.evidence:
        return UNNAMED
    return AGAIN if job.resubmits else UNKNOWN


def resubmit_move(
    job: Job, environment: Environment, *, day_budget: int | None, by: str | None = None
) -> Move:
    """Send an unknown job again, which may pay for it twice. `day_budget`: how often the tenant may in a day;
    None: without a limit, as an operator may. Fenced when evidence came meanwhile."""
    day = datetime.fromtimestamp(environment.clock(), UTC).date().isoformat()
    return Move(
        JobEvent.RESUBMIT_CHOSEN,
        add={"resubmits": 1},
        unset=["unknown_at"],
        expect={"epoch": job.epoch, "evidence": None},
        give_back_in_ms=0,
        done=[confirm_ticket(job)],
        budget=None if day_budget is None else Budget(day, day_budget),
        by=by,
        tally=["resubmissions|operator" if by else "resubmissions|policy"],
    )
