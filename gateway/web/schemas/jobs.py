"""Schemas of responses about jobs and their deliveries, of events, and of errors."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field
from typing_extensions import TypedDict

from gateway.events import EventType
from gateway.job_view import JOB_ID as JOB_ID
from gateway.job_view import Count as Count
from gateway.job_view import EventJob as EventJob
from gateway.job_view import Job as Job
from gateway.job_view import JobId as JobId
from gateway.job_view import JobSummary as JobSummary
from gateway.job_view import Queue as Queue
from gateway.job_view import Timestamp as Timestamp
from gateway.job_view import Warning as Warning  # noqa: A004 - its name in the document
from gateway.job_view import extensible
from gateway.lifecycle import DeliveryState, Status
from gateway.web.http import problem_codes
from gateway.web.http.problem_document import Problem as Problem
from gateway.web.schemas.shape import open_shape, shape

ENDPOINT_ID: Final = "^ep_[0-9A-HJKMNP-TV-Z]{26}$"


@shape
class Event(TypedDict):
    """The body of a webhook: the job at the time of the event."""

    type: Annotated[EventType, extensible(list(EventType))]
    timestamp: Timestamp
    data: EventJob


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
class DryRun(TypedDict):
    """The result of a check that passed: the job would be accepted."""

    valid: Literal[True]
    warnings: list[Warning]
    upstream_params: dict[str, Any]
    """Parameters that would be sent to the upstream. Inline files are described, not included."""


@shape
class DeliveredEvent(TypedDict):
    id: str
    type: EventType


@open_shape
class Attempt(TypedDict):
    """One POST of an event to its subscriber."""

    number: int
    at: Timestamp
    outcome: Annotated[str, extensible(problem_codes.ATTEMPTS)]


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
    since: int
    """Number of attempts before the current round. A redelivery starts a new round of the schedule."""
    trigger: Annotated[str, extensible(("auto", "manual", "recovery"))]
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
