"""What subscribers get, for the API's document: the events, and the terms they come on."""

from __future__ import annotations

from typing import Final

from gateway.backoff import DELIVERY_SCHEDULE
from gateway.events import EventType
from gateway.web.openapi.paths import reference
from gateway.web.operation import Document
from gateway.web.schemas import jobs

_SUMMARIES: Final = {
    EventType.QUEUED: "The job was accepted",
    EventType.SUBMITTED: "The upstream works on it",
    EventType.COMPLETED: "The video is there",
    EventType.FAILED: "There will be no video",
    EventType.CANCELED: "The job was canceled",
    EventType.LATE_RESULT: "There is a video after all, of a job that had failed",
}
_UNITS: Final = ((3600, "h"), (60, "min"), (1, "s"))


def terms() -> str:
    """One paragraph on webhooks for people."""
    waits = ", ".join(map(_told, DELIVERY_SCHEDULE))
    return f"""\
Webhooks follow Standard Webhooks. Each comes at least once, perhaps twice and in any order: keep the
`webhook-id`, and pass over one that you have had. Verify the signature over the bytes as they came: with your
tenant's signing secret for a job's `callback_url`, with the endpoint's own secret for an endpoint. Any 2xx is
success; a redirect (3xx) is a failure and is not followed; 410 disables the endpoint. After a failure it is
sent again, as the operator did not set otherwise after {waits}, each 20 % more or less, and
never sooner than a `Retry-After`. A delivery is `pending` while it is owed, `delivered` after a 2xx, `dead`
after the last attempt failed, and `held` while its endpoint is disabled.
"""


def webhooks() -> Document:
    return {kind.value: {"post": _event(kind)} for kind in EventType}


def _event(kind: EventType) -> Document:
    schema = reference(jobs.Event)
    return {
        "operationId": f"on_{kind.name.lower()}",
        "summary": _SUMMARIES[kind],
        "tags": ["webhooks"],
        "security": [],
        "parameters": [
            _header("webhook-id", "The event's id, the same in every attempt.", {"type": "string"}),
            _header("webhook-timestamp", "When this attempt was signed: Unix seconds.", {"type": "integer"}),
            _header(
                "webhook-signature",
                "`v1,` and Base64; several, with spaces between, while a key changes.",
                {"type": "string"},
            ),
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            "2XX": {"description": "Taken; it is not sent again."},
            "410": {"description": "Nobody is here any more: the endpoint is disabled."},
            "default": {"description": "A failure; it is sent again later."},
        },
    }


def _header(name: str, meaning: str, schema: Document) -> Document:
    return {"name": name, "in": "header", "required": True, "description": meaning, "schema": schema}


def _told(seconds: float) -> str:
    """7200.0 -> 2 h."""
    size, unit = next(pair for pair in _UNITS if seconds >= pair[0])
    return f"{seconds / size:g} {unit}"
