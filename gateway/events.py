"""The events that subscribers get: a job's steps and its final state. Their bytes are frozen when made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import orjson

from gateway.assets import Asset, AssetState
from gateway.jobs import EVENT_PAYLOAD_CHARACTERS, Job, rfc3339
from gateway.lifecycle import JobState
from gateway.money.prices import CURRENCY
from gateway.views import job as job_view
from gateway.views.budgets import budgets_of


class EventType(StrEnum):
    QUEUED = "job.queued"  #: accepted
    SUBMITTED = "job.submitted"  #: the upstream has a task for it
    COMPLETED = "job.completed"
    FAILED = "job.failed"
    CANCELED = "job.canceled"
    LATE_RESULT = "job.late_result"  #: after job.failed: the task was completed after all; the state stays
    BUDGET_THRESHOLD = "budget.threshold"  #: the acceptance of the job reached 50, 80 or 100 % of a budget
    MIRRORED = "job.mirrored"  #: the video is copied, and each other file is copied or given up


EVENT_OF: Final = {
    JobState.COMPLETED: EventType.COMPLETED,
    JobState.FAILED: EventType.FAILED,
    JobState.CANCELED: EventType.CANCELED,
}


#: Events of finished jobs. An endpoint that names no events gets these; a job's callback_url gets only these.
FINAL_TYPES: Final = (*EVENT_OF.values(), EventType.LATE_RESULT)
#: The event of each state. Those of states that are not final are made by a worker, if an endpoint wants
#: them.
TYPE_OF_STATE: Final = {
    JobState.QUEUED: EventType.QUEUED,
    JobState.SUBMITTED: EventType.SUBMITTED,
    **EVENT_OF,
}
#: Filters that stand for every type.
ALL: Final = frozenset({"*", "job.*"})
_NOT_FINISHED_YET: Final[dict[str, Any]] = {
    "output": None,
    "assets": {},
    "usage": None,
    "metadata": None,
    "error": None,
    "finished_at": None,
    "late": None,
    "cancel_wished_at": None,
    "mirrored_at": None,
    "charged": None,
    "charge_basis": None,
}
_NOT_SENT_YET: Final[dict[str, Any]] = {
    "task_id": None,
    "earlier": [],
    "evidence": None,
    "progress": None,
    "submitting_at": None,
    "released_at": None,
    "submitted_at": None,
    "unknown_at": None,
    "resubmits": 0,
}


def event_id(job_id: str, kind: str) -> str:
    """The event's id. It depends only on job and type, so that creating the event again gives the same id."""
    return f"evt_{job_id.removeprefix('job_')}_{kind.removeprefix('job.').replace('.', '_')}"


def expand(filters: Sequence[str]) -> tuple[EventType, ...]:
    """The types that an endpoint's filters select, in the order of a job's life."""
    if not filters:
        return FINAL_TYPES
    wanted = set(filters)
    return tuple(kind for kind in EventType if kind in wanted or wanted & ALL)


@dataclass(frozen=True, slots=True)
class Event:
    """`id`: from `event_id`. `body`: the frozen bytes that are sent. `trace`: the job's traceparent."""

    id: str
    type: EventType
    job_id: str
    tenant: str
    created_at: int
    body: bytes
    trace: str | None = None


def make(job: Job, payload: str | None, client_url: str = "", currency: str = CURRENCY) -> Event:
    """The event of a job that becomes final. `job`: as it will be stored. `client_url`: of the gateway, for
    the addresses in it. `currency`: of its cost."""
    kind = EVENT_OF[job.state]
    assert job.finished_at is not None
    # Its bytes are the same whenever it is made, however far the copies of its files are.
    uncopied = {variant: Asset(AssetState.PENDING, url=asset.url) for variant, asset in job.assets.items()}
    return _frozen(replace(job, assets=uncopied), kind, payload, job.finished_at, client_url, currency)


def make_late(
    job: Job, payload: str | None, at: int, client_url: str = "", currency: str = CURRENCY
) -> Event:
    """The event of a late result. `job`: with `late` set."""
    return _frozen(job, EventType.LATE_RESULT, payload, at, client_url, currency)


def make_step(
    job: Job, kind: EventType, payload: str | None, client_url: str = "", currency: str = CURRENCY
) -> Event:
    """The event of a step. `job`: as it is now, maybe in a later state; the event shows it as it was then.
    That of the copies shows the job as it is."""
    if kind is EventType.MIRRORED:
        return _frozen(job, kind, payload, job.mirrored_at or job.created_at, client_url, currency)
    reserved = job.estimate or 0  # as when it was accepted
    changes: dict[str, Any] = {"state": JobState.SUBMITTED, "reserved": reserved, **_NOT_FINISHED_YET}
    at = job.submitted_at or job.created_at
    if kind in (EventType.QUEUED, EventType.BUDGET_THRESHOLD):
        changes |= {"state": JobState.QUEUED, **_NOT_SENT_YET}
        at = job.created_at
    return _frozen(replace(job, **changes), kind, payload, at, client_url, currency)


def in_words_of(door: str, event: Event, body: bytes) -> Event:
    """The same event for the job's own callback URL, in the words of the door through which the job came. It
    has an id of its own, because its bytes differ."""
    return replace(event, id=f"{event.id}_{door}", body=body)


def short_enough(payload: str | None) -> str | None:
    """The payload if an event may carry it."""
    return payload if payload is None or len(payload) <= EVENT_PAYLOAD_CHARACTERS else None


def _frozen(job: Job, kind: EventType, payload: str | None, at: int, client_url: str, currency: str) -> Event:
    long = payload is not None and len(payload) > EVENT_PAYLOAD_CHARACTERS
    shown = job_view.public(job, client_url=client_url, payload=None if long else payload, currency=currency)
    more: dict[str, Any] = {"payload_omitted": True} if long else {}
    if kind is EventType.BUDGET_THRESHOLD:
        more["budgets"] = budgets_of(job)
    body = orjson.dumps({"type": kind, "timestamp": rfc3339(at), "data": {**shown, **more}})
    return Event(event_id(job.id, kind), kind, job.id, job.tenant, at, body, job.trace)
