"""The shapes of what endpoints are asked for and shown as, for the routes and for the API's document."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.delivery.headers import MAX_HEADERS
from gateway.urls import MAX_CALLBACK_URL_CHARACTERS
from gateway.web.http import problem_codes
from gateway.web.schemas.jobs import ENDPOINT_ID, Answer, Timestamp, Warning  # noqa: A004 - its name in the document

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
Count = Annotated[int, Field(ge=0)]


#: `health.status`; there may be more tomorrow.
HEALTH: Final = ("ok", "failing", "parked", "probing", "disabled")


def _without_defaults(schema: dict[str, Any]) -> None:
    """Of a change: what is not named stays as it is, which no default could tell."""
    for field in schema["properties"].values():
        field.pop("default", None)


Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_CALLBACK_URL_CHARACTERS,
        description="Where events are POSTed to: http or https.",
        examples=["https://video.example.com/webhooks"],
        json_schema_extra={"pattern": "^[hH][tT][tT][pP][sS]?://"},
    ),
]
Filters = Annotated[
    list[Filter],
    Field(
        max_length=8,
        description="Which events; `*` and `job.*`: all. None named: how a job ends (`job.completed`, "
        "`job.failed`, `job.canceled`, `job.late_result`).",
    ),
]
Description = Annotated[str, Field(max_length=256, description="For people.")]
Headers = Annotated[
    dict[str, str],
    Field(
        max_length=MAX_HEADERS,
        description="Sent with each webhook, such as a token of your own. Ours can not be replaced.",
        examples=[{"X-Team": "video"}],
    ),
]
Schedule = Annotated[
    list[Wait] | None,
    Field(
        max_length=MAX_WAITS,
        description="Seconds before attempts 2, 3, ...; none: one attempt alone; null: the service's own.",
        examples=[[5, 60, 3600]],
    ),
]
Slots = Annotated[
    int | None,
    Field(ge=1, le=MAX_SLOTS, description="Attempts at once, at most; null: as many as the service has."),
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
    """What is to be otherwise. What is not named stays; what can be null goes back to the service's own."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    url: Url = ""
    events: Filters = []
    description: Description = ""
    headers: Headers = {}
    schedule: Schedule = None
    slots: Slots = None
    disabled: bool = Field(
        default=False,
        description="true: nothing is sent, and what is owed is held; false: it is sent events again.",
    )


class RotateRequest(EndpointBody):
    overlap_seconds: int = Field(
        default=OVERLAP_SECONDS,
        ge=0,
        le=MAX_OVERLAP_SECONDS,
        description="How long webhooks are signed with the secrets from before as well. 0: with the new one "
        "alone from now on, as after a leak.",
    )


class EndpointHealth(Answer):
    """How the attempts of the last minutes went."""

    status: str = Field(json_schema_extra={"x-extensible-enum": list(HEALTH)})
    """`ok`; `failing`: the newest attempts failed; `parked`: so many failed that nothing is tried until
    `parked_until`; `probing`: one attempt finds out whether it is back; `disabled`."""
    attempts: Count
    """Of the last minutes."""
    failed: Count
    failing_since: Timestamp | None
    """The first failure after the last success. An endpoint that fails for days is disabled."""
    parked_until: Timestamp | None
    waiting: Count
    """Deliveries that could be tried now, were there a slot for them."""
    in_flight: Count
    held: Count
    """Deliveries that were kept while it was disabled. They wait until they are asked for."""
    dead: Count
    """Deliveries whose last attempt failed. They can be sent again."""


class OlderSecret(Answer):
    """A secret from before a rotation, with which webhooks are signed too."""

    valid_until: Timestamp


class Endpoint(Answer):
    """A URL that is told of jobs."""

    id: str = Field(pattern=ENDPOINT_ID)
    object: Literal["endpoint"]
    url: str
    events: list[Filter]
    description: str
    headers: dict[str, str]
    schedule: list[float] | None
    """null: the service's own."""
    slots: int | None
    """null: as many as the service has for each."""
    created_at: Timestamp
    disabled_at: Timestamp | None
    disabled_reason: str | None
    older_secrets: list[OlderSecret]
    """Newest first."""
    health: EndpointHealth


class ChangedEndpoint(Endpoint):
    warnings: list[Warning]


class CreatedEndpoint(ChangedEndpoint):
    """The endpoint with its secret."""

    secret: str
    """Verifies webhooks (Standard Webhooks). Shown this once."""


class RotatedEndpoint(Endpoint):
    """The endpoint with its new secret."""

    secret: str
    """Shown this once."""


class EndpointList(Answer):
    object: Literal["list"]
    data: list[Endpoint]


class Timings(Answer):
    """In milliseconds; null: it was not done, or did not come to its end."""

    dns: float | None
    connect: float | None
    tls: float | None
    first_byte: float | None


class TestAttempt(BaseModel):
    """One POST of a test event."""

    __test__ = False  # no test of ours, for pytest
    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    at: Timestamp
    url: str
    outcome: str = Field(json_schema_extra={"x-extensible-enum": list(problem_codes.ATTEMPTS)})
    status: int | None
    """What the endpoint answered, if it did."""
    duration_ms: int
    timings: Timings
    reused: bool
    """It went over a connection that was open already."""
    retried: bool
    """The first connection failed, and a second one was made."""
    response_headers: dict[str, str]
    excerpt: str
    """The start of the answer's body."""
    hint: str | None
    """What to do about it."""


class TestResult(Answer):
    """What became of a test event."""

    __test__ = False

    delivered: bool
    """It answered 2xx."""
    event: str
    """The `webhook-id`."""
    attempt: TestAttempt


REQUESTS: Final[tuple[type[BaseModel], ...]] = (EndpointRequest, EndpointChange, RotateRequest)
ANSWERS: Final[tuple[type[BaseModel], ...]] = (
    *(Endpoint, ChangedEndpoint, CreatedEndpoint, RotatedEndpoint, EndpointList),
    TestResult,
)
