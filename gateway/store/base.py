"""What the rest of the service may ask of the store, and what each call raises.

Every call may raise StoreUnavailable: Redis did not answer, and may have acted all the same. Every
call that changes something may therefore be made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from gateway.dispatch import ACCOUNT, Ticket
from gateway.jobs import Job
from gateway.lifecycle import JobState, OnUnknown
from gateway.store.transitions import Transition


class Outcome(StrEnum):
    """What became of a transition."""

    MOVED = "moved"  #: the record is in another state
    REPEATED = "repeated"  #: a repeat that the table expects; its fields were written
    ABSORBED = "absorbed"  #: final already; nothing was written
    REFUSED = "refused"  #: the event cannot happen in this state
    FENCED = "fenced"  #: a newer submission holds the record
    STALE = "stale"  #: a newer dispatch holds the ticket
    LATE = "late"  #: final already by our own verdict, and watched: what it brought was noted beside it
    OVER_BUDGET = "over_budget"  #: the tenant has resubmitted as often as it may today
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class TransitionResult:
    """`before` and `after`: the record's state, when there is a record."""

    outcome: Outcome
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """Where a job waits. `position`: how many of its tenant's are ahead of it; `ahead`: of all tenants', an
    estimate; `eta_seconds`: until it is sent, an estimate; None when nothing is known, or nothing is sent."""

    position: int
    ahead: int
    eta_seconds: int | None


@dataclass(frozen=True, slots=True)
class Allowance:
    """Of a tenant's rate: `quota` jobs at once, in `window_seconds` as many again; `left` now, all of them in
    `reset_seconds`, the next one in `wait_seconds`."""

    quota: int
    window_seconds: int
    left: int
    reset_seconds: int
    wait_seconds: int


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer to `accept`. `replayed`: the idempotency key was used before with the same body, for this
    very job. `queue_position`: if it waits; `allowance`: what is left of the tenant's rate, if it has
    one."""

    job_id: str
    replayed: bool
    queue_position: QueuePosition | None = None
    allowance: Allowance | None = None


class CallbackOutcome(StrEnum):
    """What a genuine callback did."""

    MOVED = "moved"  #: the job moved on
    REPEATED = "repeated"  #: known already; a poll of the task is due
    ABSORBED = "absorbed"  #: the job is final; nothing changed
    LATE = "late"  #: the job was given up by us; its task will be polled
    EARLIER = "earlier"  #: of a submission before the newest: its task is noted, first success wins
    AHEAD = "ahead"  #: of a submission that the record knows nothing of: Redis lost acknowledged writes
    ORPHAN = "orphan"  #: of a job that Redis does not know; quarantined, and rebuilt when a task is named
    EXPIRED = "expired"  #: of a job that was finished and forgotten
    CROSSED = "crossed"  #: it names the task of another job; quarantined, both are polled
    REPLAYED = "replayed"  #: its nonce was seen before; a poll is due, nothing else


@dataclass(frozen=True, slots=True)
class Callback:
    """A callback whose token was verified, brought into our words.

    `task_id`: the task that it names, when it may be polled. `terminal`: it tells of an end; `working`: of
    a beginning. `distrusted`: its signature is missing, wrong or too old, so that it only makes a poll due.
    `claimed`: the result in its body, to be kept when bodies are trusted. `raw`: its start, when it could
    not be read: quarantined. `nonce`: of its signature, to be used once. `label`: for the metrics.
    `account`: with which the submission was made.
    """

    job_id: str
    tenant: str
    epoch: int
    label: str
    task_id: str | None = None
    terminal: bool = False
    working: bool = False
    distrusted: bool = False
    claimed: dict[str, Any] | None = None
    raw: bytes = b""
    nonce: str | None = None
    account: str = ACCOUNT


@dataclass(frozen=True, slots=True)
class Account:
    """One of the upstream's accounts. Times: ms. `slots`: how many tasks it may hold now (429 lowers it);
    `parked_at`: since when it is paused, with `reason`; `hold_until`: nothing is sent before; `in_flight`:
    slots that are taken of it."""

    slots: int
    parked_at: int | None = None
    reason: str | None = None
    hold_until: int | None = None
    in_flight: int = 0
    name: str = ACCOUNT


@dataclass(frozen=True, slots=True)
class Witness:
    """Proof that callbacks can reach us. Times: ms of Redis' clock. `since`: without a gap since then;
    `last`: last proven; both None when it never was."""

    now: int
    since: int | None
    last: int | None


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs, newest first; `more` when older ones follow."""

    jobs: list[Job]
    more: bool


class JobStore(Protocol):
    async def accept(
        self,
        job: Job,
        payload: str | None,
        fingerprint: str,
        *,
        queue_max: int,
        bytes_max: int | None = None,
        rate: float = 0,
        burst: int = 1,
    ) -> Admission:
        """Store a new job and put it in its tenant's lane, unless too many wait there already, its jobs take
        more than so many bytes, or more than `burst` came faster than `rate` in a second (0: any number).
        What the tenant was given of its own goes before. IdempotencyMismatch, LimitReached, RateLimited."""

    async def read(self, job_id: str) -> Job | None:
        """The job, or None."""

    async def payload(self, job: Job) -> str | None:
        """The client's own payload."""

    async def queue_positions(self, jobs: Sequence[Job]) -> list[QueuePosition | None]:
        """Where each of these jobs waits, or None for one that does not."""

    async def page(self, tenant: str, states: Sequence[JobState], after: str | None, limit: int) -> Page:
        """The tenant's jobs in these states, older than `after`."""

    async def unfinished(self, job_ids: Sequence[str]) -> set[str]:
        """Those of these jobs that exist and are not final."""

    async def apply(self, job: Job, transition: Transition) -> TransitionResult:
        """An event happened to the job."""

    async def claim(self, ticket: Ticket, run: str | None = None) -> Job | None:
        """Begin a submission: epoch + 1, a lease. None when another worker has it, or it is over. `run`:
        who claims, unlike any other claim, so that this one may be made again when its answer was lost."""

    async def release(self, job: Job) -> bool:
        """The gate: True, durably, when the last byte of this submission may go out."""

    async def begin_confirm(self, ticket: Ticket) -> Job | None:
        """Take up a confirmation. None when the ticket is stale or the job is gone."""

    async def postpone(self, ticket: Ticket, in_ms: int, fields: dict[str, object]) -> None:
        """Confirm again in `in_ms`."""

    async def drop(self, ticket: Ticket) -> None:
        """Nothing is left to do for the ticket."""

    async def renew(self, ticket: Ticket) -> bool:
        """A new lease; False when the ticket is stale."""

    async def callback(self, callback: Callback) -> CallbackOutcome:
        """A genuine callback, in one durable step."""

    async def witness(self) -> Witness:
        """Since when callbacks have demonstrably been able to reach us."""

    async def note_callback_path(self) -> None:
        """A probe came in by the way that callbacks take."""

    async def on_unknown(self, job: Job) -> OnUnknown | None:
        """What the job's owner chose: for the job, or else for the tenant."""

    async def overdue(self, limit: int) -> list[Job]:
        """Jobs whose `start_by` or `end_by` may have passed, earliest first."""

    async def defer_deadline(self, job: Job, until_ms: int) -> None:
        """Look at the job's deadlines again then."""
