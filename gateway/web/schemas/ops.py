"""The schemas of what operators request and get: jobs, accounts, logs and the state of the service."""

from __future__ import annotations

from typing import Annotated, Final, Literal, NotRequired

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from gateway.lifecycle import OnUnknown
from gateway.resolution import Action
from gateway.web.schemas.jobs import Count, JobSummary, Timestamp
from gateway.web.schemas.shape import open_shape, shape

ENTRY_ID: Final = "^[0-9]{1,15}-[0-9]{1,15}$"
UNKNOWN_ID: Final = "^[0-9]{1,15}-job_[0-9A-HJKMNP-TV-Z]{26}$"
TENANT: Final = "^[a-z0-9][a-z0-9_-]{0,31}$"
TASK_ID: Final = "^[!-~]{1,128}$"

Amount = Annotated[float, Field(ge=0)]
EntryId = Annotated[str, Field(pattern=ENTRY_ID)]


class OpsRequest(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class ResolveRequest(OpsRequest):
    action: Action = Field(
        description="`bind`: you found the task by hand; `resubmit`: send the job again, which may pay "
        "for it twice; `fail`: stop waiting."
    )
    task_id: str | None = Field(
        default=None,
        pattern=TASK_ID,
        description="The upstream's task. Only with `bind`, and required there.",
    )


class PauseRequest(OpsRequest):
    reason: str = Field(min_length=1, max_length=256, description="The reason, for other operators.")


@shape
class OpsJob(JobSummary):
    """The job, with what its owner does not see."""

    tenant: str
    epoch: int
    """How often it was submitted."""
    task_id: str | None
    released_at: Timestamp | None
    """When the last byte of the newest submission was sent. From then on money may have been spent."""
    account: str | None
    """The upstream's account of the newest submission."""


@shape
class OpsJobList(TypedDict):
    object: Literal["list"]
    data: list[OpsJob]
    """Newest first."""
    has_more: bool
    next: str | None
    """Path of the next page."""


@open_shape
class JobHistoryEntry(TypedDict):
    """Something that happened to the job."""

    at: Timestamp
    event: str


@open_shape
class JobHistoryLine(JobHistoryEntry):
    """Something that happened to one of the jobs."""

    job: str
    tenant: str


@shape
class JobWithHistory(TypedDict):
    job: OpsJob
    audit: list[JobHistoryEntry]
    """The job's history, oldest entry first."""


@shape
class Account(TypedDict):
    """One of the upstream's accounts."""

    object: Literal["account"]
    name: str
    paused: bool
    """Nothing is sent with it."""
    paused_at: Timestamp | None
    paused_by: str | None
    """The id of an operator's key, or `upstream`."""
    reason: str | None
    status: int | None
    """The upstream's status code, if the upstream refused the account."""
    code: str | None
    probe_at: Timestamp | None
    """When the next job is sent with it as a test; null while an operator keeps it paused."""
    hold_until: Timestamp | None
    """Nothing is sent before this time."""
    slots: Count
    """How many tasks it may hold now. A 429 lowers it."""
    limit: Count
    """How many tasks it may hold at most, as configured."""
    in_flight: Count
    """Slots that jobs hold of it."""
    weight: Count
    """Its share of the jobs that any account may send, relative to the weights of the others."""
    rate: Amount
    """Submissions a second; 0: unlimited."""


@shape
class AccountList(TypedDict):
    object: Literal["list"]
    data: list[Account]
    """`main` first."""
    has_more: bool
    next: str | None


@open_shape
class Entry(TypedDict):
    id: EntryId
    at: Timestamp


@open_shape
class OpsEvent(Entry):
    """Something that operators should know."""

    kind: str


@open_shape
class AuditEntry(Entry):
    """Something that an operator did, and to what."""

    act: str
    by: str
    """The id of an operator's key."""
    request: NotRequired[str]
    """The `X-Request-Id` of the request that did it."""


@open_shape
class Quarantined(Entry):
    """A genuine callback that could not be understood."""

    why: str
    raw: NotRequired[str]
    """The start of its body. Bytes that are not text are shown as escapes."""


@shape
class AuditList(TypedDict):
    object: Literal["list"]
    data: list[AuditEntry]
    """Newest first."""
    has_more: bool
    next: str | None
    """Path of the next page."""


@shape
class OpsEventList(TypedDict):
    object: Literal["list"]
    data: list[OpsEvent]
    """Oldest first."""
    has_more: bool
    next: str | None
    """Path of the next page."""


@shape
class QuarantineList(TypedDict):
    object: Literal["list"]
    data: list[Quarantined]
    """Oldest first."""
    has_more: bool
    next: str | None
    """Path of the next page."""


@shape
class UnknownJob(TypedDict):
    """A job whose outcome is unknown."""

    id: Annotated[str, Field(pattern=UNKNOWN_ID)]
    job: str
    tenant: str
    epoch: int
    since: Timestamp
    on_unknown: OnUnknown
    """What happens when the grace window has passed."""
    evidence: str | None
    """What proves that the upstream accepted it."""


@shape
class UnknownList(TypedDict):
    object: Literal["list"]
    data: list[UnknownJob]
    """Longest unknown first."""
    has_more: bool
    next: str | None
    """Path of the next page."""


@shape
class RoleState(TypedDict):
    """The tickets of one role."""

    waiting: Count
    """In lanes."""
    due: Count
    """To enter a lane later."""
    again: Count
    """That became due while they held a slot."""
    slots: Count
    holders: Count
    inflight: Count


@shape
class Paused(TypedDict):
    at: Timestamp
    by: str
    """The id of an operator's key."""
    reason: str


@shape
class ServiceState(TypedDict):
    object: Literal["state"]
    paused: Paused | None
    """While an operator keeps the service paused: nothing is sent to the upstream."""
    counts: dict[str, int]
    """Jobs and deliveries by state: `job:queued`, `delivery:pending`, ..."""
    roles: dict[str, RoleState]
    unknown: Count
    """Jobs whose outcome is unknown."""
    deadlines: Count
    """Jobs whose deadline is still ahead."""
    account: Account
    """The account `main`."""
