"""The webhooks section of the OpenAPI document, and the description of how webhooks are delivered."""

from __future__ import annotations

import re
from typing import Any, Final

from gateway.backoff import DELIVERY_SCHEDULE
from gateway.events import EventType
from gateway.web.openapi.paths import reference
from gateway.web.operation import Document
from gateway.web.schemas import jobs

_SUMMARIES: Final = {
    EventType.QUEUED: "The job was accepted",
    EventType.SUBMITTED: "The upstream has accepted the job",
    EventType.COMPLETED: "The video is ready",
    EventType.FAILED: "The job failed",
    EventType.CANCELED: "The job was canceled",
    EventType.LATE_RESULT: "The video of a job that had already failed is ready",
    EventType.BUDGET_THRESHOLD: "A threshold of a budget was reached",
    EventType.MIRRORED: "The gateway has its own copy of the video",
}
#: The type of the event of `POST /v1/endpoints/{id}/test`, which is about no job.
TEST: Final = "endpoint.test"
_UNITS: Final = ((3600, "h"), (60, "min"), (1, "s"))


def terms() -> str:
    """One paragraph on how webhooks are delivered."""
    waits = ", ".join(map(_unit, DELIVERY_SCHEDULE))
    return f"""\
Webhooks follow Standard Webhooks. Each event is delivered at least once, possibly twice and in any order:
store the `webhook-id`, and ignore an event that you already have. Verify the signature over the bytes as
received: with your tenant's signing secret for a job's `callback_url`, with the endpoint's own secret for an
endpoint. Any 2xx is success; a redirect (3xx) is a failure and is not followed; 410 disables the endpoint.
After a failure the event is sent again after {waits}
(by default; each wait varies by 20 %), and never sooner than a `Retry-After` allows. A delivery is `pending`
until it succeeds, `delivered` after a 2xx, `dead` after the last attempt failed, and `held` while its
endpoint is disabled.
"""


def webhooks() -> Document:
    made = {kind.value: {"post": _event(kind, _SUMMARIES[kind], jobs.Event)} for kind in EventType}
    return {**made, TEST: {"post": _event(TEST, "A test that you asked for", jobs.TestEvent)}}


def _event(kind: str, summary: str, body: type[Any]) -> Document:
    schema = reference(body)
    return {
        "operationId": "on" + "".join(part.capitalize() for part in re.split("[._]", kind)),
        "summary": summary,
        "tags": ["webhooks"],
        "security": [],
        "parameters": [
            _header("webhook-id", "Id of the event, the same in every attempt.", {"type": "string"}),
            _header("webhook-timestamp", "Time of this attempt, in Unix seconds.", {"type": "integer"}),
            _header(
                "webhook-signature",
                "`v1,` and Base64. While a secret is being rotated: several, separated by spaces.",
                {"type": "string"},
            ),
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            "2XX": {"description": "Accepted. The event is not sent again."},
            "410": {"description": "The subscriber is gone. The endpoint is disabled."},
            "default": {"description": "A failure. The event is sent again later."},
        },
    }


def _header(name: str, meaning: str, schema: Document) -> Document:
    return {"name": name, "in": "header", "required": True, "description": meaning, "schema": schema}


def _unit(seconds: float) -> str:
    """7200.0 -> 2 h."""
    size, unit = next(pair for pair in _UNITS if seconds >= pair[0])
    return f"{seconds / size:g} {unit}"
