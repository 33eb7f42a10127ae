"""What one poll of a task shows. Pure."""

from __future__ import annotations

from gateway.jobs import Job
from gateway.upstream.base import Found, Inconclusive, QueryOutcome, Snapshot, TaskStatus


def is_of(job: Job, snapshot: Snapshot) -> bool:
    """Whether the task may belong to the job: False if it echoes another job's mark. Not every upstream
    echoes marks."""
    return snapshot.reference is None or f".{job.id}." in snapshot.reference


def is_done(poll: QueryOutcome) -> bool:
    """Whether it shows a completed task with at least one URL of a video."""
    if not isinstance(poll, Found) or poll.snapshot.status is not TaskStatus.COMPLETED:
        return False
    for group in poll.snapshot.output:
        content = group.get("content")
        if isinstance(content, list) and any(isinstance(item, dict) and item.get("url") for item in content):
            return True
    return False


def is_working(poll: QueryOutcome) -> bool:
    """Whether the task may still be completed."""
    return isinstance(poll, Inconclusive) or (
        isinstance(poll, Found) and poll.snapshot.status is TaskStatus.IN_PROGRESS
    )


def risen(before: float | None, now: float | None) -> float | None:
    """The new progress. It never falls."""
    return max(before or 0.0, now) if now is not None else before
