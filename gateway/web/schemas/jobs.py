"""The shapes of requests and answers, for the API's document.

Answers are made by `jobs.public` and its like, which know nothing of this file; tests hold the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.events import EventType
from gateway.jobs import Priority, Spend
from gateway.lifecycle import DeliveryState, JobState, OnUnknown, Status
from gateway.web.http import problem_codes

_ULID: Final = "[0-9A-HJKMNP-TV-Z]{26}"
JOB_ID: Final = f"^job_{_ULID}$"
ENDPOINT_ID: Final = f"^ep_{_ULID}$"

Timestamp = Annotated[
    str, Field(examples=["2026-11-22T08:00:00.123Z"], json_schema_extra={"format": "date-time"})
]
JobId = Annotated[str, Field(pattern=JOB_ID)]


def _open(words: Sequence[str]) -> Any:
    """A word that is one of these today; there may be more tomorrow."""
    return Field(json_schema_extra={"x-extensible-enum": list(words)})


def _no_default(schema: dict[str, Any]) -> None:
    del schema["default"]


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Warning(Answer):  # noqa: A001 - its name in the document
    """Something that its client should know of a request that is accepted all the same."""

    param: str
    code: str = _open(problem_codes.WARNINGS)
    message: str


class Content(BaseModel):
    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    type: str
    url: str
    """The plain video."""
    watermarked_url: str | None = None
    """The marked video, when `watermark` was asked for and the upstream gave one."""


class OutputGroup(BaseModel):
    model_config = ConfigDict(extra="allow")

    content: list[Content]


class JobError(Answer):
    code: str
    error_message: str


class Cancel(Answer):
    """That its owner wished to cancel the job after it was handed to the upstream."""

    requested_at: Timestamp
    refused: str | None
    """Why the upstream went on with it, if it did."""


class LateResult(Answer):
    """What the upstream made after the job had been given up. It may have been charged."""

    at: Timestamp
    task_id: str
    output: list[OutputGroup]
    usage: dict[str, Any] | None
    metadata: dict[str, Any] | None


class Queue(Answer):
    position: int = Field(ge=0, description="How many jobs of yours are ahead of this one.")
    ahead_estimate: int = Field(ge=0, description="How many jobs of all tenants are, as an estimate.")
    eta_seconds: int | None = Field(
        ge=0, description="Until it is sent, as an estimate; null: nothing is known yet, or nothing is sent."
    )


class Links(Answer):
    self: str
    cancel: str


class JobSummary(Answer):
    """A job as lists show it."""

    id: JobId
    object: Literal["job"]
    status: Status
    """Never goes backwards."""
    phase: JobState
    """The inner state, finer than `status`."""
    progress: float | None = Field(ge=0, le=1)
    model: str
    created_at: Timestamp
    started_at: Timestamp | None
    submitted_at: Timestamp | None
    finished_at: Timestamp | None
    expires_at_estimate: Timestamp | None
    """Until when `output` can surely be fetched, as far as is known: an hour after `finished_at`. null unless
    completed."""
    output: list[OutputGroup] | None
    """The videos. Their URLs may end after an hour: fetch them at once, and never keep the URLs."""
    usage: dict[str, Any] | None
    """What it cost: `cost` in USD as a decimal string, `discount`."""
    metadata: dict[str, Any] | None
    error: JobError | None
    callback_url: str | None
    warnings: list[Warning]
    spend: Spend
    """Whether the upstream has been paid, as far as we know: `none` is provable; `possible`: the job was sent
    and the answer was lost; `certain`: the upstream has a task for it."""
    resubmissions: int = Field(ge=0)
    """How often it was sent again after an unknown outcome: each may have been paid for."""
    on_unknown: OnUnknown | None
    """What was asked for with `Gateway-On-Unknown`; null: the tenant's setting, or else the service's."""
    unknown_since: Timestamp | None
    """While `phase` is `unknown`: since when. After the grace window, or at the total deadline, it ends."""
    start_deadline: Timestamp | None
    """It fails, for free, when it was not sent by then."""
    total_deadline: Timestamp | None
    """It fails when it has not ended by then."""
    cancel: Cancel | None
    late_result: LateResult | None
    """Told by `job.late_result`: `status` stays failed, for a final state never changes."""
    priority: Priority
    queue: Queue | None
    """While the job waits."""
    links: Links


class Job(JobSummary):
    """A request for a video, and its life."""

    payload: str | None
    """Yours, untouched."""


class EventJob(Job):
    """The job as an event tells it."""

    payload_omitted: Annotated[Literal[True], Field(json_schema_extra=_no_default)] = True
    """Only there when `payload` was left out because it is long; GET the job for it."""


class Event(Answer):
    """What a webhook's body holds: a job, as it was at that step."""

    type: EventType = Field(json_schema_extra={"x-extensible-enum": list(EventType)})
    timestamp: Timestamp
    data: EventJob


class TimelineEntry(BaseModel):
    """Something that happened: `accepted`, `claimed`, `released`, `callback`, `owed`, `attempt`, ... More
    kinds may come, and more fields."""

    model_config = ConfigDict(extra="allow")

    at: Timestamp
    kind: str
    text: str
    """For people."""


class Timeline(Answer):
    object: Literal["timeline"]
    job: JobId
    status: Status
    polls: int = Field(ge=0)
    """How often the upstream was asked about the task and had not finished it."""
    data: list[TimelineEntry]
    """Oldest first."""


class JobList(Answer):
    object: Literal["list"]
    data: list[JobSummary]
    """Newest first."""
    has_more: bool
    next: str | None
    """Path of the next page."""


class DryRun(Answer):
    """The request would be accepted."""

    valid: Literal[True]
    warnings: list[Warning]
    upstream_params: dict[str, Any]
    """What the upstream would be sent, inline files described instead of shown."""


class DeliveredEvent(Answer):
    id: str
    type: EventType


class Attempt(BaseModel):
    """One POST of an event to its subscriber."""

    model_config = ConfigDict(extra="allow")

    number: int
    at: Timestamp
    outcome: str = _open(problem_codes.ATTEMPTS)


class DeliverySummary(Answer):
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
    """How many were made, in all."""
    since: int
    """How many of them were made before the present round: sent again, it begins the schedule anew."""
    trigger: str = _open(("auto", "manual", "recovery"))
    """What began the present round."""
    next_attempt_at: Timestamp | None
    """When a failed one is tried again. null while it is pending: it waits for nothing but its turn."""


class Delivery(DeliverySummary):
    """One event owed to one endpoint, or to the job's own callback_url (then `endpoint` is null)."""

    log: list[Attempt]
    """The newest attempts, newest last."""


class DeliveryList(Answer):
    object: Literal["list"]
    data: list[Delivery]


class Received(Answer):
    received: Literal[True]


class Health(Answer):
    status: Literal["ok"]


class Fault(Answer):
    """One thing wrong with the request: where, what, and the way out."""

    param: str
    code: str = _open(problem_codes.FAULTS)
    message: str


class Problem(Answer):
    """An error (RFC 9457)."""

    type: str = Field(
        examples=["urn:vidu-gateway:problem:invalid-request"],
        json_schema_extra={"enum": list(problem_codes.PROBLEM_TYPES)},
    )
    title: str
    status: int
    detail: str
    errors: list[Fault]
