"""Schemas of the operators' API: jobs, accounts, logs and the state of the service."""

from __future__ import annotations

from typing import Annotated, Final, Literal, NotRequired

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from gateway.generation.texts import NotBlank
from gateway.lifecycle import OnUnknown
from gateway.money.amounts import PATTERN
from gateway.resolution import Action
from gateway.store.base import AccountState
from gateway.web.schemas.jobs import Count, JobSummary, Timestamp
from gateway.web.schemas.shape import open_shape, shape

ENTRY_ID: Final = "^[0-9]{1,15}-[0-9]{1,15}$"
UNKNOWN_ID: Final = "^[0-9]{1,15}-job_[0-9A-HJKMNP-TV-Z]{26}$"
TENANT: Final = "^[a-z0-9][a-z0-9_-]{0,31}$"
TASK_ID: Final = "^[!-~]{1,128}$"

# `Field` must come before the validator, or the limits disappear from the JSON schema.
Reason = Annotated[
    str,
    Field(min_length=1, max_length=256, description="The reason, for other operators. Not blank."),
    NotBlank,
]
Amount = Annotated[float, Field(ge=0)]
EntryId = Annotated[str, Field(pattern=ENTRY_ID)]


class OpsRequest(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class ResolveRequest(OpsRequest):
    action: Action = Field(
        description="`bind`: set the upstream task that you found; `resubmit`: send the job again, which may "
        "pay for it twice; `fail`: stop waiting and fail the job."
    )
    task_id: str | None = Field(
        default=None,
        pattern=TASK_ID,
        description="Id of the upstream task. Required with `bind`, and only allowed there.",
    )


class PauseRequest(OpsRequest):
    reason: Reason


class ChargeRequest(OpsRequest):
    amount: str = Field(
        pattern=PATTERN,
        description='What the job cost, such as "0.2750"; "0" if the upstream did not charge it.',
    )
    reason: Reason


@shape
class OpsJob(JobSummary):
    """A job with the fields that its owner cannot see."""

    tenant: str
    epoch: int
    """Number of submissions."""
    task_id: str | None
    released_at: Timestamp | None
    """When the last byte of the latest submission was sent. The job may be paid for from then on."""
    account: str | None
    """Upstream account of the latest submission."""


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
    """An event in the history of a job."""

    at: Timestamp
    event: str


@open_shape
class JobHistoryLine(JobHistoryEntry):
    """An event in the history of one of the exported jobs."""

    job: str
    tenant: str


@shape
class JobWithHistory(TypedDict):
    job: OpsJob
    audit: list[JobHistoryEntry]
    """Job history, oldest entry first."""


@shape
class Account(TypedDict):
    """An upstream account."""

    object: Literal["account"]
    name: str
    state: AccountState
    """`stopped`: the service is paused; `held`: until `hold_until`; `slowed`: a 429 lowered its slots."""
    paused: bool
    """Whether sending with the account is stopped."""
    paused_at: Timestamp | None
    paused_by: str | None
    """Id of an operator's key, or `upstream`."""
    reason: str | None
    status: int | None
    """HTTP status of the upstream's response, if the upstream refused the account."""
    code: str | None
    probe_at: Timestamp | None
    """When the next job is sent with it as a probe; null while an operator keeps it paused."""
    hold_until: Timestamp | None
    """Nothing is sent before this time. null once it has passed."""
    slots: Count
    """Maximum number of tasks it may hold now. A 429 lowers it."""
    limit: Count
    """Configured maximum number of tasks."""
    in_flight: Count
    """Number of its slots that are in use."""
    weight: Count
    """Its share of new jobs, relative to the weights of the other accounts."""
    rate: Amount
    """Submissions per second; 0: unlimited."""


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
    """An action of an operator."""

    act: str
    by: str
    """Id of the operator's key."""
    request: NotRequired[str]
    """`X-Request-Id` of the request."""


@open_shape
class Quarantined(Entry):
    """A genuine callback that could not be understood."""

    why: str
    raw: NotRequired[str]
    """Start of its body. Bytes that are not text are escaped."""


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
    """What happens when the grace period has passed."""
    evidence: str | None
    """Evidence that the upstream accepted it."""


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
    """Number of tickets of one role, by where they are."""

    waiting: Count
    """Waiting in lanes."""
    due: Count
    """Scheduled to enter a lane later."""
    again: Count
    """Became due again while they held a slot."""
    slots: Count
    holders: Count
    inflight: Count


@shape
class Paused(TypedDict):
    at: Timestamp
    by: str
    """Id of the operator's key."""
    reason: str


@shape
class ServiceState(TypedDict):
    object: Literal["state"]
    paused: Paused | None
    """Set while an operator keeps the service paused: nothing is sent to the upstream."""
    counts: dict[str, int]
    """Number of jobs and deliveries by state: `job:queued`, `delivery:pending`, ..."""
    roles: dict[str, RoleState]
    unknown: Count
    """Number of jobs whose outcome is unknown."""
    deadlines: Count
    """Number of jobs whose deadline has not passed."""
    account: Account
    """The account `main`."""
