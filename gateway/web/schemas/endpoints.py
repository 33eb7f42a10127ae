"""The schemas of requests and answers about endpoints."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from gateway.delivery.headers import MAX_HEADERS
from gateway.job_view import extensible
from gateway.urls import MAX_CALLBACK_URL_CHARACTERS
from gateway.web.http import problem_codes
from gateway.web.schemas.jobs import ENDPOINT_ID, Count, Timestamp, Warning  # noqa: A004 - its name in the document
from gateway.web.schemas.shape import open_shape, shape

MAX_WAITS: Final = 20
MAX_WAIT_SECONDS: Final = 604_800
MAX_SLOTS: Final = 50
MAX_OVERLAP_SECONDS: Final = 604_800
OVERLAP_SECONDS: Final = 86_400

#: Tests hold these to `EventType` and `events.ALL`.
Filter = Literal[
    "job.queued",
    "job.submitted",
    "job.completed",
    "job.failed",
    "job.canceled",
    "job.late_result",
    "job.*",
    "*",
]
Wait = Annotated[float, Field(ge=1, le=MAX_WAIT_SECONDS)]


#: `health.status`; there may be more tomorrow.
HEALTH: Final = ("ok", "failing", "parked", "probing", "disabled")


def _without_defaults(schema: dict[str, Any]) -> None:
    """Of a change: a field that is left out stays as it is, which no default can express."""
    for field in schema["properties"].values():
        field.pop("default", None)


Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_CALLBACK_URL_CHARACTERS,
        description="The URL that events are POSTed to: http or https.",
        examples=["https://video.example.com/webhooks"],
        json_schema_extra={"pattern": "^[hH][tT][tT][pP][sS]?://"},
    ),
]
Filters = Annotated[
    list[Filter],
    Field(
        max_length=8,
        description="Which events; `*` and `job.*`: all. An empty list: the final ones (`job.completed`, "
        "`job.failed`, `job.canceled`, `job.late_result`).",
    ),
]
Description = Annotated[str, Field(max_length=256, description="A note for people.")]
Headers = Annotated[
    dict[str, str],
    Field(
        max_length=MAX_HEADERS,
        description="Sent with each webhook, for example a token of your own. The service's headers cannot "
        "be replaced.",
        examples=[{"X-Team": "video"}],
    ),
]
Schedule = Annotated[
    list[Wait] | None,
    Field(
        max_length=MAX_WAITS,
        description="Seconds before attempts 2, 3, ... An empty list: only one attempt. null: the service's "
        "schedule.",
        examples=[[5, 60, 3600]],
    ),
]
Slots = Annotated[
    int | None,
    Field(ge=1, le=MAX_SLOTS, description="Maximum number of concurrent attempts. null: the service's."),
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
    """The changes. A field that is left out stays as it is; null resets a field to the service's setting."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    url: Url = ""
    events: Filters = []
    description: Description = ""
    headers: Headers = {}
    schedule: Schedule = None
    slots: Slots = None
    disabled: bool = Field(
        default=False,
        description="true: nothing is sent, and deliveries are held. false: events are sent again.",
    )


class RotateRequest(EndpointBody):
    overlap_seconds: int = Field(
        default=OVERLAP_SECONDS,
        ge=0,
        le=MAX_OVERLAP_SECONDS,
        description="How long webhooks are also signed with the older secrets. 0: only with the new one from "
        "now on, for example after a leak.",
    )


@shape
class EndpointHealth(TypedDict):
    """The outcome of the attempts of the last minutes."""

    status: Annotated[str, extensible(HEALTH)]
    """`ok`. `failing`: the newest attempts failed. `parked`: so many failed that nothing is sent until
    `parked_until`. `probing`: one attempt finds out whether the endpoint is back. `disabled`."""
    attempts: Count
    """In the last minutes."""
    failed: Count
    failing_since: Timestamp | None
    """Time of the first failure after the last success. An endpoint that fails for days is disabled."""
    parked_until: Timestamp | None
    waiting: Count
    """Deliveries that are due and wait for a free slot."""
    in_flight: Count
    held: Count
    """Deliveries that were held while it was disabled. They wait for a redelivery or a recovery."""
    dead: Count
    """Deliveries whose last attempt failed. They can be redelivered."""


@shape
class OlderSecret(TypedDict):
    """A secret from before a rotation. Webhooks are also signed with it."""

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
    schedule: list[float] | None
    """null: the service's schedule."""
    slots: int | None
    """null: the service's number."""
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
    """Verifies webhooks (Standard Webhooks). Shown only once."""


@shape
class RotatedEndpoint(Endpoint):
    """The endpoint with its new secret."""

    secret: str
    """Shown only once."""


@shape
class EndpointList(TypedDict):
    object: Literal["list"]
    data: list[Endpoint]


@shape
class Timings(TypedDict):
    """In milliseconds. null: not done, or not completed."""

    dns: float | None
    connect: float | None
    tls: float | None
    first_byte: float | None


@open_shape
class TestAttempt(TypedDict):
    """One POST of a test event."""

    at: Timestamp
    url: str
    outcome: Annotated[str, extensible(problem_codes.ATTEMPTS)]
    status: int | None
    """The status that the endpoint answered, if it did."""
    duration_ms: int
    timings: Timings
    reused: bool
    """An open connection was reused."""
    retried: bool
    """The first connection failed, and a second one was opened."""
    response_headers: dict[str, str]
    excerpt: str
    """The start of the response body."""
    hint: str | None
    """What to do about it."""


@shape
class TestResult(TypedDict):
    """The outcome of a test event."""

    delivered: bool
    """The endpoint answered 2xx."""
    event: str
    """The `webhook-id`."""
    attempt: TestAttempt
