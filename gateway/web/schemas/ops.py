"""The shapes of what operators ask for and get, for the routes and for the API's document."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.lifecycle import OnUnknown
from gateway.resolution import Action
from gateway.web.schemas.jobs import Answer, JobSummary, Timestamp

ENTRY_ID: Final = "^[0-9]{1,15}-[0-9]{1,15}$"
UNKNOWN_ID: Final = "^[0-9]{1,15}-job_[0-9A-HJKMNP-TV-Z]{26}$"
TENANT: Final = "^[a-z0-9][a-z0-9_-]{0,31}$"
TASK_ID: Final = "^[!-~]{1,128}$"

Count = Annotated[int, Field(ge=0)]


class OpsRequest(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class ResolveRequest(OpsRequest):
    action: Action = Field(
        description="`bind`: the task was found by hand; `resubmit`: send the job again, which may pay "
        "for it twice; `fail`: wait no longer."
    )
    task_id: str | None = Field(
        default=None, pattern=TASK_ID, description="The task, with `bind` and only then."
    )


class ParkRequest(OpsRequest):
    reason: str = Field(min_length=1, max_length=256, description="Why, for the other operators.")


class OpsJob(JobSummary):
    """The job, and what its owner is not shown."""

    tenant: str
    epoch: int
    """How often it was submitted."""
    task_id: str | None
    released_at: Timestamp | None
    """When the last byte of the newest submission was let go: from then on money may have been spent."""
    account: str | None
    """The upstream's account of the newest submission."""


class OpsJobList(Answer):
    object: Literal["list"]
    data: list[OpsJob]
    """Newest first."""
    has_more: bool
    next: str | None
    """Path of the next page."""


class AuditEntry(BaseModel):
    """Something that happened to the job."""

    model_config = ConfigDict(extra="allow")

    at: Timestamp
    event: str


class JobStory(Answer):
    job: OpsJob
    audit: list[AuditEntry]
    """Oldest first."""


class Account(Answer):
    """One of the upstream's accounts."""

    object: Literal["account"]
    name: str
    parked: bool
    """Nothing is sent with it."""
    parked_at: Timestamp | None
    parked_by: str | None
    """The id of an operator's key, or `upstream`."""
    reason: str | None
    status: int | None
    """The upstream's refusal, if there was one."""
    code: str | None
    probe_at: Timestamp | None
    """When the next job may try; null while an operator keeps it parked."""
    hold_until: Timestamp | None
    """Nothing is sent before."""
    slots: Count
    """How many tasks it may hold now; a 429 lowers it."""
    limit: Count
    """As its setting has it."""
    in_flight: Count
    """Slots that jobs hold of it."""
    weight: Count
    """Its share of the jobs that any account may have, beside the weights of the others."""
    rate: float = Field(ge=0)
    """Submissions in a second; 0: any number."""


class AccountList(Answer):
    object: Literal["list"]
    data: list[Account]
    """`main` first."""
    has_more: bool
    next: str | None


class Entry(BaseModel):
    model_config = ConfigDict(extra="allow")

    id: str = Field(pattern=ENTRY_ID)
    at: Timestamp | None


class OpsEvent(Entry):
    """Something that operators should know."""

    kind: str


class Act(Entry):
    """Something that an operator did, and what it was about."""

    act: str
    by: str
    """The id of an operator's key."""
    request: str | None = None
    """The `X-Request-Id` of the request by which it was done."""


class ActList(Answer):
    object: Literal["list"]
    data: list[Act]
    """Newest first."""
    has_more: bool
    next: str | None
    """Path of the next page."""


class Quarantined(Entry):
    """A genuine callback that could not be made sense of."""

    why: str
    raw: str | None = None
    """The start of its body; what is no text in it shows as escapes."""


class OpsEventList(Answer):
    object: Literal["list"]
    data: list[OpsEvent]
    """Oldest first."""
    has_more: bool
    next: str | None
    """Path of the next page."""


class QuarantineList(Answer):
    object: Literal["list"]
    data: list[Quarantined]
    """Oldest first."""
    has_more: bool
    next: str | None
    """Path of the next page."""


class UnknownJob(BaseModel):
    """A job whose outcome is unknown."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(pattern=UNKNOWN_ID)
    job: str
    tenant: str
    epoch: int
    since: Timestamp
    on_unknown: OnUnknown
    """What becomes of it when the grace window has passed."""
    evidence: str | None
    """What proves that the upstream accepted it."""


class UnknownList(Answer):
    object: Literal["list"]
    data: list[UnknownJob]
    """Longest unknown first."""
    has_more: bool
    next: str | None
    """Path of the next page."""


class RoleState(Answer):
    """Of one role: what waits, what is due later, what became due while it was held, and what is held."""

    waiting: Count
    due: Count
    again: Count
    slots: Count
    holders: Count
    inflight: Count


class Paused(Answer):
    at: Timestamp
    by: str
    """The id of an operator's key."""
    reason: str


class ServiceState(Answer):
    object: Literal["state"]
    paused: Paused | None
    """While nothing is sent to the upstream, because an operator said so."""
    counts: dict[str, int]
    """Jobs and deliveries by state: `job:queued`, `delivery:pending`, ..."""
    roles: dict[str, RoleState]
    unknown: Count
    """Jobs whose outcome is unknown."""
    deadlines: Count
    """Jobs that have a deadline ahead."""
    account: Account


REQUESTS: Final[tuple[type[BaseModel], ...]] = (ResolveRequest, ParkRequest)
ANSWERS: Final[tuple[type[BaseModel], ...]] = (
    *(OpsJobList, JobStory, Account, AccountList, OpsEventList, ActList),
    *(QuarantineList, UnknownList, ServiceState),
)
