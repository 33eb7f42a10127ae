"""What subscribers are told: one event for each final state of a job, its bytes frozen when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import orjson

from gateway.jobs import EVENT_PAYLOAD_CHARACTERS, Job, public, rfc3339
from gateway.lifecycle import JobState


class EventType(StrEnum):
    COMPLETED = "job.completed"
    FAILED = "job.failed"
    CANCELED = "job.canceled"
    LATE_RESULT = "job.late_result"  #: after job.failed: the task was finished after all; the state stays


EVENT_OF: Final = {
    JobState.COMPLETED: EventType.COMPLETED,
    JobState.FAILED: EventType.FAILED,
    JobState.CANCELED: EventType.CANCELED,
}


@dataclass(frozen=True, slots=True)
class Event:
    """`id` follows from the job and the type, so that whoever makes the event again makes the same one."""

    id: str
    type: EventType
    job_id: str
    tenant: str
    created_at: int
    body: bytes


def make(job: Job, payload: str | None) -> Event:
    """The event of a job that has just become final; `job` as it will be stored."""
    kind = EVENT_OF[job.state]
    assert job.finished_at is not None
    return _frozen(job, kind, payload, job.finished_at)


def make_late(job: Job, payload: str | None, at: int) -> Event:
    """The event of a job that was given up and has a result all the same; `job` with its `late`."""
    return _frozen(job, EventType.LATE_RESULT, payload, at)


def _frozen(job: Job, kind: EventType, payload: str | None, at: int) -> Event:
    data = public(job, payload=payload)
    if payload is not None and len(payload) > EVENT_PAYLOAD_CHARACTERS:
        data |= {"payload": None, "payload_omitted": True}
    body = orjson.dumps({"type": kind, "timestamp": rfc3339(at), "data": data})
    event_id = f"evt_{job.id.removeprefix('job_')}_{kind.removeprefix('job.')}"
    return Event(event_id, kind, job.id, job.tenant, at, body)
