"""What one poll of a task shows. Pure."""

from __future__ import annotations

from gateway.jobs import Job
from gateway.upstream.base import Found, Inconclusive, QueryOutcome, Snapshot, TaskStatus
from gateway.upstream.results import shows_video


def is_of(job: Job, snapshot: Snapshot) -> bool:
    """Whether the task may belong to the job: False if it echoes another job's mark. Not every upstream
    echoes marks."""
    return snapshot.reference is None or f".{job.id}." in snapshot.reference


def is_done(poll: QueryOutcome) -> bool:
    """Whether it shows a completed task with at least one URL of a video."""
    return (
        isinstance(poll, Found)
        and poll.snapshot.status is TaskStatus.COMPLETED
        and shows_video(poll.snapshot.output)
    )


def is_working(poll: QueryOutcome) -> bool:
    """Whether the task may still be completed."""
    return isinstance(poll, Inconclusive) or (
        isinstance(poll, Found) and poll.snapshot.status is TaskStatus.IN_PROGRESS
    )


def risen(before: float | None, now: float | None) -> float | None:
    """The new progress. It never falls."""
    return max(before or 0.0, now) if now is not None else before
