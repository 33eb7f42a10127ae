"""The job: its record in the store."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, overload

from gateway.assets import Asset, Variant
from gateway.dispatch import ACCOUNT, Role, Ticket
from gateway.environment import ULID_DIGITS
from gateway.lifecycle import FINAL, STATUS, JobState, OnUnknown, Status

JOB_ID: Final = re.compile(r"job_[0-9A-HJKMNP-TV-Z]{26}\Z")

#: A webhook's body stays small: it omits a longer payload, which clients can GET.
EVENT_PAYLOAD_CHARACTERS: Final = 16_384


def born_at(job_id: str) -> int:
    """When the id was made, in ms since the epoch: encoded in its first ten digits."""
    value = 0
    for digit in job_id.removeprefix("job_")[:10]:
        value = value * 32 + ULID_DIGITS.index(digit)
    return value


def first_id_at(ms: int) -> str:
    """What sorts before the ids of all jobs that were made at that time or later, and after all others."""
    digits = "".join(ULID_DIGITS[max(ms, 0) >> shift & 31] for shift in range(45, -1, -5))
    return f"job_{digits}"


@overload
def rfc3339(ms: int) -> str: ...
@overload
def rfc3339(ms: None) -> None: ...
@overload
def rfc3339(ms: int | None) -> str | None: ...
def rfc3339(ms: int | None) -> str | None:
    """Milliseconds since the epoch as `2026-11-22T08:00:00.123Z`."""
    return None if ms is None else f"{_second(ms // 1000)}.{ms % 1000:03d}Z"


@lru_cache(maxsize=1024)
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


class Priority(StrEnum):
    """Priority among the jobs of one tenant: while all wait, 16 high are sent per 4 normal and 1 low."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class Spend(StrEnum):
    NONE = "none"  #: provably nothing was sent
    POSSIBLE = "possible"  #: it was sent, and the answer was lost
    CERTAIN = "certain"  #: the upstream has a task for it (it decides what a failed task costs)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds after acceptance until a job must be sent, and until it must be finished. Off-peak jobs get
    `off_peak_seconds` more for the latter."""

    start_seconds: float = 86_400
    total_seconds: float = 93_600
    off_peak_seconds: float = 180_000


@dataclass(frozen=True, slots=True)
class Job:
    """A job as stored. Times are milliseconds since the epoch.

    `params`: what the upstream gets, with inline media replaced by references to the blob store.
    `epoch`: number of the newest submission, its fencing token. `released_at`: when the last byte of that
    submission was released; from then on money may have been spent. `run`: the claim of that submission.
    `payload_characters`: length of the client's payload, if any; it is stored beside the record, because it
    may be large.
    `start_by`: if nothing was paid by then, the job fails for free; `end_by`: the job fails.
    `unknown_status_polls`: polls in a row whose status nobody knows.
    `evidence`: proof that the newest submission was accepted, when the task is not known.
    `earlier`: tasks of earlier submissions (after a resubmission). `called_back_at`: when the first callback
    reported a final status. `claimed`: the result in a callback's body.
    `claimed_at`: when a callback named a task that no submission's answer has named since. `task_lost_at`:
    when such a task turned out to belong, or maybe to belong, to another job. `watch_until`: we gave the job
    up, and watch for a late result until then. `lost`: leases that ran out before anything was paid.
    `trace`: the traceparent of the request that posted it, if any.
    `refusals`: submissions for which the upstream refused the account. `account`: that of the last dispatch;
    fixed once money may have been spent. `elsewhere`: {task: account} for tasks of other accounts.
    `door`: the API through which it came, if not `/v1/jobs`. `callback_events`: the types of events that its
    callback URL hears; empty: those of its end. `assets`: the files of its result;
    `mirrored_at`: when the last of them was copied or given up, if the video was copied.
    `uploads`: the uploads that it holds, until it is final. `inline_bytes`: of each file that was inside the
    request, by its place such as `images[2]`.
    `deleted_at`: when its owner deleted it, for APIs that can: they show it no more.
    `key`: the id of the client key that posted it. `estimate`: of one submission, in micro-units, None if
    no price is known; `upper_bound`: it may cost less; `priced`: since when that price is valid.
    `reserved`: for submissions that may still be charged; `suspense`: the same after its end; `charged`:
    so far, None before; `charge_basis`: how that is known; `paid`: its tasks that were charged.
    `sent_again`: the epoch after which it was decided to send it again.
    `budgets`: those of which its acceptance reached a threshold.
    `archived`: the hash of its object in the media store, once the rest of its record is there.
    """

    id: str
    tenant: str
    state: JobState
    model: str
    params: dict[str, Any]
    created_at: int
    epoch: int = 0
    callback_url: str | None = None
    warnings: list[dict[str, str]] = field(default_factory=list)
    task_id: str | None = None
    progress: float | None = None
    output: list[dict[str, Any]] | None = None
    usage: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    submitting_at: int | None = None
    released_at: int | None = None
    unknown_at: int | None = None
    submitted_at: int | None = None
    finished_at: int | None = None
    polls: int = 0
    unknown_status_polls: int = 0
    misses: int = 0
    idempotency: str | None = None
    payload_characters: int | None = None
    run: str | None = None
    start_by: int | None = None
    end_by: int | None = None
    on_unknown: OnUnknown | None = None
    priority: Priority = Priority.NORMAL
    resubmits: int = 0
    lost: int = 0
    refusals: int = 0
    evidence: str | None = None
    earlier: list[str] = field(default_factory=list)
    called_back_at: int | None = None
    claimed: dict[str, Any] | None = None
    claimed_at: int | None = None
    task_lost_at: int | None = None
    cancel_wished_at: int | None = None
    cancel_refused: str | None = None
    watch_until: int | None = None
    late: dict[str, Any] | None = None
    trace: str | None = None
    account: str = ACCOUNT
    elsewhere: dict[str, str] = field(default_factory=dict)
    door: str | None = None
    callback_events: list[str] = field(default_factory=list)
    uploads: list[str] = field(default_factory=list)
    inline_bytes: dict[str, int] = field(default_factory=dict)
    assets: dict[Variant, Asset] = field(default_factory=dict)
    mirrored_at: int | None = None
    deleted_at: int | None = None
    key: str | None = None
    estimate: int | None = None
    upper_bound: bool = False
    priced: str | None = None
    reserved: int = 0
    suspense: int = 0
    sent_again: int = 0
    charged: int | None = None
    charge_basis: str | None = None
    paid: list[str] = field(default_factory=list)
    budgets: list[Any] = field(default_factory=list)
    archived: str | None = None

    def account_of(self, task_id: str) -> str:
        """The account that owns the task. Only this account can poll it."""
        return self.elsewhere.get(task_id, self.account)

    @property
    def tasks(self) -> list[str]:
        """All known tasks of the job, that of the newest submission first."""
        return list(dict.fromkeys([*([self.task_id] if self.task_id else []), *self.earlier]))

    @property
    def final(self) -> bool:
        return self.state in FINAL

    @property
    def keeps_media(self) -> bool:
        """Whether the blob store keeps files of this job until it is final."""
        media = [*self.params.get("images", ()), *(self.params.get("videos") or ())]
        return any(str(item).startswith("blob:") for item in media)

    @property
    def status(self) -> Status:
        return STATUS[self.state]

    @property
    def off_peak(self) -> bool:
        return bool(self.params.get("off_peak"))

    @property
    def spend(self) -> Spend:
        """Whether the upstream has been paid, as far as is known."""
        if self.task_id or self.evidence or self.earlier:
            return Spend.CERTAIN
        return Spend.POSSIBLE if self.released_at is not None or self.resubmits else Spend.NONE


def submit_ticket(job: Job) -> Ticket:
    """The job's ticket in the lane of its tenant."""
    return Ticket(Role.SUBMIT, job.tenant, job.id)


def confirm_ticket(job: Job) -> Ticket:
    """The job's ticket in the lane of its upstream account."""
    return Ticket(Role.CONFIRM, job.account, job.id)


def mirror_ticket(job: Job, variant: Variant) -> Ticket:
    """The ticket of one file of the job's result, in the lane of its tenant."""
    return Ticket(Role.MIRROR, job.tenant, f"{job.id}:{variant}")
