"""The event streams in the API's document."""

from __future__ import annotations

from typing import Final

from gateway.events import ALL, EventType
from gateway.tenants import Scope
from gateway.web.api.events import MEDIA_TYPE, MOST_TYPES, PLACE
from gateway.web.openapi.parts import JOB, REFERENCE, Document, header, operation, query
from gateway.web.schemas import jobs
from gateway.web.streams.keepalive import BEAT_SECONDS

_EVENT: Final = REFERENCE.format(model=jobs.Event.__name__)
_PLACE: Final = {"type": "string", "pattern": f"^{PLACE.pattern.removesuffix(chr(92) + 'Z')}$"}
_MESSAGES: Final = f"""\
Server-sent events. Each message is an event as webhooks carry it: `event` is its type, `data` its body, `id`
its place in the tenant's events, to go on from as `Last-Event-ID`. How a job ended is told in the very bytes
of the webhook. A message `gap` says that events are missing because they are kept no longer. There is a
comment every {BEAT_SECONDS:g} s, with the place that was reached. The stream ends when the service restarts,
when its client reads too slowly, or when its key was revoked: come back with the last `id`.
"""
_AGAIN: Final = header("Last-Event-ID", "Only what came after this event; wins over `after`.", _PLACE)
_AFTER: Final = query("after", "Only what came after this event; `0`: from the oldest that is kept.", _PLACE)


def streams() -> Document:
    return {
        "/v1/events": {"get": _of_tenant()},
        "/v1/jobs/{job_id}/events": {"parameters": [JOB], "get": _of_job()},
    }


def _of_tenant() -> Document:
    kind = {"type": "string", "enum": [*sorted(ALL), *EventType]}
    kinds = {"type": "array", "minItems": 1, "maxItems": MOST_TYPES, "items": kind}
    types = query("types", "Only these, with commas between.", kinds) | {"style": "form", "explode": False}
    return operation(
        "streamEvents",
        "Hear what happens to all jobs, as it happens",
        Scope.JOBS_READ,
        {"200": _stream(f"{_MESSAGES}\nWithout a place to go on from it begins with what happens next.")},
        400, 429,
        parameters=[types, _AFTER, _AGAIN],
    )  # fmt: skip


def _of_job() -> Document:
    answers = {
        "200": _stream(f"{_MESSAGES}\nIt begins with what happened so far, and ends after the job's end."),
        "204": {"description": "The job is over, and nothing came after that place: do not come back."},
    }
    return operation(
        "streamJob",
        "Hear what happens to a job, as it happens",
        Scope.JOBS_READ,
        answers,
        400, 404, 429,
        parameters=[_AFTER, _AGAIN],
    )  # fmt: skip


def _stream(meaning: str) -> Document:
    """The schema is that of each message, as tools read an event stream."""
    body = {"contentMediaType": "application/json", "contentSchema": {"$ref": _EVENT}}
    schema = {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "event": {"type": "string", "enum": [*EventType, "gap"]},
            "data": {"type": "string", **body},
        },
    }
    return {"description": meaning, "content": {MEDIA_TYPE: {"schema": schema}}}
