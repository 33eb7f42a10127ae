"""Schemas of responses about jobs and their deliveries, of events, and of errors."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from gateway.events import EventType
from gateway.lifecycle import DeliveryState, Status
from gateway.views.job import EstimatedCost as EstimatedCost
from gateway.views.job import EventJob as EventJob
from gateway.views.job import Job as Job
from gateway.views.job import JobSummary as JobSummary
from gateway.views.job import Queue as Queue
from gateway.views.job import Warning as Warning  # noqa: A004 - its name in the document
from gateway.views.shapes import JOB_ID as JOB_ID
from gateway.views.shapes import Count as Count
from gateway.views.shapes import JobId as JobId
from gateway.views.shapes import Timestamp as Timestamp
from gateway.views.shapes import extensible
from gateway.web.http import problem_codes
from gateway.web.http.problem_document import Problem as Problem
from gateway.web.schemas.shape import open_shape, shape

#: What starts a round of attempts.
TRIGGERS: Final = ("auto", "manual", "recovery")
ENDPOINT_ID: Final = "^ep_[0-9A-HJKMNP-TV-Z]{26}$"


@shape
class Event(TypedDict):
    """The body of a webhook: the job at the time of the event."""

    type: Annotated[str, extensible(list(EventType))]
    """Ignore types that you do not know: there may be more one day."""
    timestamp: Timestamp
    data: EventJob


@shape
class TestData(TypedDict):
    endpoint: Annotated[str, Field(pattern=ENDPOINT_ID)]
    message: str


@shape
class TestEvent(TypedDict):
    """The body of a test event. It is about no job."""

    type: Literal["endpoint.test"]
    timestamp: Timestamp
    data: TestData


@shape
class MissingEvents(TypedDict):
    after: str
    """The position that you continued from."""
    oldest: str
    """The oldest position that is kept. The stream goes on with its event."""
    message: str


@shape
class Gap(TypedDict):
    """The `data` of the message `gap` of an event stream: events after `after` and before `oldest` are no
    longer kept."""

    type: Literal["gap"]
    data: MissingEvents


@open_shape
class TimelineEntry(TypedDict):
    """Something that happened: `accepted`, `claimed`, `released`, `callback`, `owed`, `attempt`, ... More
    kinds and fields may be added."""

    at: Timestamp
    kind: str
    text: str
    """Description for people."""


@shape
class Timeline(TypedDict):
    object: Literal["timeline"]
    job: JobId
    status: Status
    polls: Annotated[int, Field(ge=0)]
    """Number of polls that found the task unfinished."""
    data: list[TimelineEntry]
    """Oldest first."""


@shape
class JobList(TypedDict):
    object: Literal["list"]
    data: list[JobSummary]
    """Newest first."""
    has_more: bool
    next: str | None
    """Path of the next page."""


@shape
class JobCheck(TypedDict):
    """The result of a check that passed. A POST of the job may still be refused for another reason, such as a
    quota or a rate."""

    valid: Literal[True]
    cost: EstimatedCost
    warnings: list[Warning]
    upstream_params: dict[str, Any]
    """Parameters that would be sent to the upstream. Inline files are described, not included."""


@shape
class DeliveredEvent(TypedDict):
    id: str
    type: Annotated[str, extensible(list(EventType))]


@shape
class Timings(TypedDict):
    """In milliseconds. null: the step was skipped or did not complete."""

    dns: float | None
    connect: float | None
    tls: float | None
    first_byte: float | None


@open_shape
class Attempt(TypedDict):
    """One POST of an event to its subscriber. More fields may be added. Fields that are not required are
    absent if nothing was sent."""

    number: int
    """1 for the first attempt of the delivery."""
    at: Timestamp
    outcome: Annotated[str, extensible(problem_codes.ATTEMPTS)]
    trigger: NotRequired[Annotated[str, extensible(TRIGGERS)]]
    """What started the round of attempts that it belongs to."""
    next_attempt_at: NotRequired[Timestamp | None]
    """When the next attempt was planned. null: none was."""
    gave_up: NotRequired[str]
    """Why there is no next attempt, after a failure."""
    url: NotRequired[str]
    status: NotRequired[int | None]
    """HTTP status of the subscriber's response, if there was one."""
    duration_ms: NotRequired[int]
    timings: NotRequired[Timings]
    reused: NotRequired[bool]
    """Whether an open connection was reused."""
    retried: NotRequired[bool]
    """Whether the first connection failed and a second one was opened."""
    response_headers: NotRequired[dict[str, str]]
    """Some headers of the response."""
    excerpt: NotRequired[str]
    """Start of the response body."""
    hint: NotRequired[str | None]
    """How to fix the failure."""


@shape
class DeliverySummary(TypedDict):
    """A delivery in a list, without its log."""

    id: str
    object: Literal["delivery"]
    state: DeliveryState
    event: DeliveredEvent
    job: JobId
    endpoint: str | None
    url: str | None
    created_at: Timestamp
    attempts: int
    """Total number of attempts."""
    attempts_before: int
    """How many of them belong to earlier rounds. A redelivery starts a new round of the schedule."""
    trigger: Annotated[str, extensible(TRIGGERS)]
    """What started the current round of attempts."""
    next_attempt_at: Timestamp | None
    """Time of the next retry. null: no retry is scheduled; a pending delivery is sent as soon as a slot is
    free."""


@shape
class Delivery(DeliverySummary):
    """One event owed to one endpoint, or to the job's own callback_url (then `endpoint` is null)."""

    log: list[Attempt]
    """The newest attempts, newest last."""


@shape
class DeliveryList(TypedDict):
    object: Literal["list"]
    data: list[Delivery]


@shape
class Received(TypedDict):
    received: Literal[True]


@shape
class Health(TypedDict):
    status: Literal["ok"]
