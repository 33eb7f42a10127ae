"""What polls of a job's tasks show. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from gateway.jobs import Job
from gateway.upstream.base import Found, Inconclusive, QueryOutcome, Snapshot, TaskStatus
from gateway.upstream.results import shows_video
from gateway.upstream.snapshots import with_a_video

#: Tasks by their id.
Tasks = Mapping[str, Snapshot]
NONE: Final[Tasks] = MappingProxyType({})


def is_of(job: Job, snapshot: Snapshot) -> bool:
    """Whether the task may belong to the job: False if it echoes another job's mark. Not every upstream
    echoes marks."""
    return snapshot.reference is None or f".{job.id}." in snapshot.reference


def is_done(snapshot: Snapshot) -> bool:
    """Whether the task is completed and shows at least one URL of a video."""
    return snapshot.status is TaskStatus.COMPLETED and shows_video(snapshot.output)


def result_of(polls: Sequence[QueryOutcome], *, given_up: bool) -> Snapshot | None:
    """The first completed task; None if there is none. If the job is `given_up`, also a task that shows a
    video under an unknown status, as a completed one: it may be paid for."""
    snapshots = [poll.snapshot for poll in polls if isinstance(poll, Found)]
    done = next(filter(is_done, snapshots), None)
    return done or (next(filter(None, map(with_a_video, snapshots)), None) if given_up else None)


def found(job: Job, polls: Sequence[QueryOutcome]) -> dict[str, Snapshot]:
    """The tasks that the upstream showed: it charged them. `polls`: of all tasks of the job."""
    return {
        task: poll.snapshot for task, poll in zip(job.tasks, polls, strict=False) if isinstance(poll, Found)
    }


def ended(job: Job, polls: Sequence[QueryOutcome]) -> dict[str, Snapshot]:
    """Those of them that have ended, so that it is known what they cost."""
    return {task: one for task, one in found(job, polls).items() if one.status is not TaskStatus.IN_PROGRESS}


def believed_task(job: Job, snapshot: Snapshot) -> dict[str, Snapshot]:
    """The same of a task that only a trusted callback showed. It may name none that the upstream knows."""
    return {job.task_id or f"?{job.epoch}": snapshot}


def usage_of(job: Job, tasks: Tasks) -> dict[str, object] | None:
    """What the job's newest task says of its use."""
    newest = tasks.get(job.task_id or f"?{job.epoch}")
    return newest.usage if newest else None


def is_working(poll: QueryOutcome) -> bool:
    """Whether the task may still be completed."""
    return isinstance(poll, Inconclusive) or (
        isinstance(poll, Found) and poll.snapshot.status is TaskStatus.IN_PROGRESS
    )


def risen(before: float | None, now: float | None) -> float | None:
    """The new progress. It never falls."""
    return max(before or 0.0, now) if now is not None else before
