"""The job: the record that the service keeps, and the form in which clients see it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import orjson

from gateway.lifecycle import FINAL, STATUS, JobState, Status

JOB_ID: Final = re.compile(r"job_[0-9A-HJKMNP-TV-Z]{26}\Z")

#: A webhook's body stays small: a longer payload is left out of it and is to be had by GET.
EVENT_PAYLOAD_CHARACTERS: Final = 16_384

#: The published page says nothing of how long a video can be fetched; this is the shortest that is known.
RESULT_LIFETIME_MS: Final = 3_600_000


def rfc3339(ms: int | None) -> str | None:
    """Milliseconds since the epoch as `2026-11-22T08:00:00.123Z`."""
    return None if ms is None else f"{_second(ms // 1000)}.{ms % 1000:03d}Z"


@lru_cache(maxsize=1024)
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


@dataclass(frozen=True, slots=True)
class Job:
    """A job as stored. Times are milliseconds since the epoch.

    `params`: what the upstream gets, inline media replaced by references to the blob store.
    `epoch`: the number of the newest submission, its fencing token. `released_at`: when the last byte
    of that submission was let go; from then on money may have been spent. `payload_characters`: the length of
    the client's own payload, when there is one; it is kept beside the record, because it may be large.
    """

    id: str
    tenant: str
    state: JobState
    model: str
    params: dict[str, Any]
    created_at: int
    epoch: int = 0
    callback_url: str | None = None
    warnings: list[dict[str, str]] = field(default_factory=list)
    task_id: str | None = None
    progress: float | None = None
    output: list[dict[str, Any]] | None = None
    usage: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    submitting_at: int | None = None
    released_at: int | None = None
    unknown_at: int | None = None
    submitted_at: int | None = None
    finished_at: int | None = None
    polls: int = 0
    misses: int = 0
    idempotency: str | None = None
    payload_characters: int | None = None

    @property
    def final(self) -> bool:
        return self.state in FINAL

    @property
    def keeps_media(self) -> bool:
        """Whether files of this job lie in the blob store while it is not final."""
        media = [*self.params.get("images", ()), *(self.params.get("videos") or ())]
        return any(str(item).startswith("blob:") for item in media)

    @property
    def status(self) -> Status:
        return STATUS[self.state]


_JSON = ("params", "warnings", "output", "usage", "metadata", "error")
_INTEGERS = (
    "created_at",
    "epoch",
    "submitting_at",
    "released_at",
    "unknown_at",
    "submitted_at",
    "finished_at",
    "polls",
    "misses",
    "payload_characters",
)
_TEXTS = ("tenant", "model", "callback_url", "task_id", "idempotency")


def to_fields(**values: object) -> dict[str, str | bytes | int | float]:
    """Values as a Redis hash holds them; None is left out, which is how absence is written."""
    fields: dict[str, str | bytes | int | float] = {}
    for name, value in values.items():
        if value is None:
            continue
        if name in _JSON:
            fields[name] = orjson.dumps(value)
        else:
            assert isinstance(value, str | int | float)
            fields[name] = value
    return fields


def from_fields(job_id: str, fields: Mapping[str, str]) -> Job:
    """The job that a Redis hash holds."""
    values: dict[str, Any] = {name: fields[name] for name in _TEXTS if name in fields}
    values |= {name: int(fields[name]) for name in _INTEGERS if name in fields}
    values |= {name: orjson.loads(fields[name]) for name in _JSON if name in fields}
    if "progress" in fields:
        values["progress"] = float(fields["progress"])
    return Job(id=job_id, state=JobState(fields["state"]), **values)


def public(job: Job, *, payload: str | None = None, position: int | None = None) -> dict[str, Any]:
    """The job as its owner sees it: the published response's fields unchanged, and ours."""
    expires_at = None
    if job.state is JobState.COMPLETED and job.finished_at is not None:
        expires_at = job.finished_at + RESULT_LIFETIME_MS
    return {
        "id": job.id,
        "object": "job",
        "status": job.status,
        "phase": job.state,
        "progress": 1.0 if job.state is JobState.COMPLETED else job.progress,
        "model": job.model,
        "created_at": rfc3339(job.created_at),
        "started_at": rfc3339(job.submitting_at),
        "submitted_at": rfc3339(job.submitted_at),
        "finished_at": rfc3339(job.finished_at),
        "expires_at_estimate": rfc3339(expires_at),
        "output": job.output,
        "usage": job.usage,
        "metadata": job.metadata,
        "error": job.error,
        "payload": payload,
        "callback_url": job.callback_url,
        "warnings": job.warnings,
        "queue": None if position is None else {"position": position},
        "links": {"self": f"/v1/jobs/{job.id}", "cancel": f"/v1/jobs/{job.id}/cancel"},
    }
