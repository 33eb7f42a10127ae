"""Schemas of requests and responses about endpoints."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from gateway.delivery.headers import MAX_HEADERS
from gateway.urls import MAX_CALLBACK_URL_CHARACTERS
from gateway.views.shapes import extensible
from gateway.web.http import problem_codes
from gateway.web.schemas.jobs import ENDPOINT_ID, Count, Timestamp, Timings, Warning  # noqa: A004 - its name in the document
from gateway.web.schemas.shape import open_shape, shape

MAX_WAITS: Final = 20
MAX_WAIT_SECONDS: Final = 604_800
MAX_SLOTS: Final = 50
MAX_OVERLAP_SECONDS: Final = 604_800
OVERLAP_SECONDS: Final = 86_400

#: Tests check that these match `EventType` and `events.ALL`.
Filter = Literal[
    "job.queued",
    "job.submitted",
    "job.completed",
    "job.failed",
    "job.canceled",
    "job.late_result",
    "job.mirrored",
    "budget.threshold",
    "job.*",
    "*",
]
Wait = Annotated[float, Field(ge=1, le=MAX_WAIT_SECONDS)]


#: Values of `health.status`. More may be added.
HEALTH: Final = ("ok", "failing", "paused", "probing", "disabled")


def _without_defaults(schema: dict[str, Any]) -> None:
    """Removes the defaults of a PATCH body: an omitted field stays unchanged, which no default can
    express."""
    for field in schema["properties"].values():
        field.pop("default", None)


Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_CALLBACK_URL_CHARACTERS,
        description="URL that events are POSTed to: http or https.",
        examples=["https://video.example.com/webhooks"],
        json_schema_extra={"pattern": "^[hH][tT][tT][pP][sS]?://"},
    ),
]
Filters = Annotated[
    list[Filter],
    Field(
        max_length=8,
        description="Event types to send. `*` and `job.*`: all. An empty list: the final ones "
        "(`job.completed`, `job.failed`, `job.canceled`, `job.late_result`).",
    ),
]
Description = Annotated[str, Field(max_length=256, description="Free text.")]
Headers = Annotated[
    dict[str, str],
    Field(
        max_length=MAX_HEADERS,
        description="Headers to send with each webhook, such as a token of your own. The service's headers "
        "cannot be replaced. Their values are stored encrypted, and shown only in the response that sets "
        "them.",
        examples=[{"X-Team": "video"}],
    ),
]
Schedule = Annotated[
    list[Wait] | None,
    Field(
        max_length=MAX_WAITS,
        description="Seconds to wait before attempts 2, 3, ... An empty list: only one attempt. null: the "
        "service's schedule.",
        examples=[[5, 60, 3600]],
    ),
]
Slots = Annotated[
    int | None,
    Field(
        ge=1, le=MAX_SLOTS, description="Maximum number of concurrent attempts. null: the service's default."
    ),
]


class EndpointBody(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class EndpointRequest(EndpointBody):
    url: Url
    events: Filters = []
    description: Description = ""
    headers: Headers = {}
    schedule: Schedule = None
    slots: Slots = None


class EndpointChange(EndpointBody):
    """The fields to change. An omitted field stays unchanged. null resets `schedule` and `slots` to the
    service's default; the other fields cannot be null."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    url: Url = ""
    events: Filters = []
    description: Description = ""
    headers: Headers = {}
    schedule: Schedule = None
    slots: Slots = None
    disabled: bool = Field(
        default=False,
        description="true: send nothing and hold deliveries. false: send events again.",
    )


class RotateRequest(EndpointBody):
    overlap_seconds: int = Field(
        default=OVERLAP_SECONDS,
        ge=0,
        le=MAX_OVERLAP_SECONDS,
        description="Seconds for which webhooks are also signed with the older secrets. 0: sign only with "
        "the new secret from now on, for example after a leak.",
    )


@shape
class EndpointHealth(TypedDict):
    """The circuit breaker's state and the attempts of the last minutes."""

    status: Annotated[str, extensible(HEALTH)]
    """`ok`. `failing`: the latest attempts failed. `paused`: nothing is sent until `paused_until`, because
    too many attempts failed (the circuit breaker is open) or an operator paused it. `probing`: one attempt
    checks whether the endpoint works again (half-open). `disabled`."""
    attempts: Count
    """Number of attempts in the last minutes."""
    failed: Count
    failing_since: Timestamp | None
    """Time of the first failure after the last success. An endpoint that fails for days is disabled."""
    paused_until: Timestamp | None
    """null: not paused, or paused until an operator resumes it."""
    waiting: Count
    """Due deliveries that wait for a free slot."""
    in_flight: Count
    held: Count
    """Deliveries held while the endpoint was disabled. They wait for a redelivery or a recovery."""
    dead: Count
    """Deliveries whose last attempt failed. They can be redelivered."""


@shape
class OlderSecret(TypedDict):
    """A secret from before a rotation. Webhooks are still signed with it too."""

    valid_until: Timestamp


@shape
class Endpoint(TypedDict):
    """A URL that receives events of jobs."""

    id: Annotated[str, Field(pattern=ENDPOINT_ID)]
    object: Literal["endpoint"]
    url: str
    events: list[Filter]
    description: str
    headers: dict[str, str]
    """`********` instead of each value, except in the response that sets them."""
    schedule: list[float] | None
    """null: the service's schedule."""
    slots: int | None
    """null: the service's default."""
    created_at: Timestamp
    disabled_at: Timestamp | None
    disabled_reason: str | None
    older_secrets: list[OlderSecret]
    """Newest first."""
    health: EndpointHealth


@shape
class ChangedEndpoint(Endpoint):
    warnings: list[Warning]


@shape
class CreatedEndpoint(ChangedEndpoint):
    """The endpoint with its secret."""

    secret: str
    """Secret to verify webhooks with (Standard Webhooks). Shown only once."""


@shape
class RotatedEndpoint(Endpoint):
    """The endpoint with its new secret."""

    secret: str
    """Shown only once."""


@shape
class EndpointList(TypedDict):
    object: Literal["list"]
    data: list[Endpoint]


@open_shape
class TestAttempt(TypedDict):
    """One POST of a test event."""

    at: Timestamp
    url: str
    outcome: Annotated[str, extensible(problem_codes.ATTEMPTS)]
    status: int | None
    """HTTP status of the endpoint's response, if there was one."""
    duration_ms: int
    timings: Timings
    reused: bool
    """Whether an open connection was reused."""
    retried: bool
    """Whether the first connection failed and a second one was opened."""
    response_headers: dict[str, str]
    excerpt: str
    """Start of the response body."""
    hint: str | None
    """How to fix the failure."""


@shape
class TestResult(TypedDict):
    """The outcome of a test event."""

    delivered: bool
    """Whether the endpoint answered 2xx."""
    event: str
    """The `webhook-id`."""
    attempt: TestAttempt
