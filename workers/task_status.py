"""What one look at a task tells. Pure."""

from __future__ import annotations

from gateway.jobs import Job
from gateway.upstream.base import Found, Inconclusive, QueryOutcome, Snapshot, TaskStatus


def is_of(job: Job, snapshot: Snapshot) -> bool:
    """Unless the task echoes another job's mark. Not every upstream echoes it."""
    return snapshot.reference is None or f".{job.id}." in snapshot.reference


def is_done(look: QueryOutcome) -> bool:
    """Whether it shows a finished task with at least one address of a video."""
    if not isinstance(look, Found) or look.snapshot.status is not TaskStatus.COMPLETED:
        return False
    for group in look.snapshot.output:
        content = group.get("content")
        if isinstance(content, list) and any(isinstance(item, dict) and item.get("url") for item in content):
            return True
    return False


def is_working(look: QueryOutcome) -> bool:
    """Whether the task may still be finished."""
    return isinstance(look, Inconclusive) or (
        isinstance(look, Found) and look.snapshot.status is TaskStatus.IN_PROGRESS
    )


def risen(before: float | None, now: float | None) -> float | None:
    """Progress as clients see it never falls."""
    return max(before or 0.0, now) if now is not None else before
