"""The schemas of answers about jobs and their deliveries, of events, and of errors."""

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
    """The body of a webhook: a job, as it was at that step."""

    type: Annotated[EventType, extensible(list(EventType))]
    timestamp: Timestamp
    data: EventJob


@open_shape
class TimelineEntry(TypedDict):
    """Something that happened: `accepted`, `claimed`, `released`, `callback`, `owed`, `attempt`, ... More
    kinds may come, and more fields."""

    at: Timestamp
    kind: str
    text: str
    """For people."""


@shape
class Timeline(TypedDict):
    object: Literal["timeline"]
    job: JobId
    status: Status
    polls: Annotated[int, Field(ge=0)]
    """How often the upstream was asked about the task and had not finished it."""
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
    """The job would be accepted."""

    valid: Literal[True]
    warnings: list[Warning]
    upstream_params: dict[str, Any]
    """What would be sent to the upstream. Inline files are described instead of included."""


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
    """A delivery as lists show it."""

    id: str
    object: Literal["delivery"]
    state: DeliveryState
    event: DeliveredEvent
    job: JobId
    endpoint: str | None
    url: str | None
    created_at: Timestamp
    attempts: int
    """Number of attempts made, in total."""
    since: int
    """How many of them were made before the current round. A redelivery starts the schedule again."""
    trigger: Annotated[str, extensible(("auto", "manual", "recovery"))]
    """What started the current round."""
    next_attempt_at: Timestamp | None
    """Time of the next attempt after a failed one. null: no attempt is scheduled; a pending delivery is sent
    as soon as it is its turn."""


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
