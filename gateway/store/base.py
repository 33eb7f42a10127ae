"""The store's interface for jobs, and what each call raises.

Every call may raise StoreUnavailable: Redis did not answer, but may have done the work. So every call that
changes something can safely be repeated.
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
    """The outcome of a transition."""

    MOVED = "moved"  #: the record is in another state now
    REPEATED = "repeated"  #: the table expects this repeat: the state stays, the fields were written
    ABSORBED = "absorbed"  #: the record was final already; nothing was written
    REFUSED = "refused"  #: the event cannot happen in this state
    FENCED = "fenced"  #: the guard did not hold, for example because of a newer submission
    STALE = "stale"  #: a newer dispatch holds the ticket
    LATE = "late"  #: we gave the job up and watch it: the late result or task was stored beside its state
    OVER_BUDGET = "over_budget"  #: the tenant's resubmissions for today, or a budget of money, are used up
    ON_HOLD = "on_hold"  #: the store failed over: nothing may be submitted now
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class TransitionResult:
    """`before` and `after`: the record's states; "" when there is no record."""

    outcome: Outcome
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """Where a job waits. `position`: its tenant's jobs ahead of it; `ahead`: estimated jobs of all tenants
    ahead; `eta_seconds`: estimated time until it is sent, None when not known or nothing is sent."""

    position: int
    ahead: int
    eta_seconds: int | None


@dataclass(frozen=True, slots=True)
class Allowance:
    """A tenant's rate limit: `quota` requests of this kind per `window_seconds`. `left`: allowed now; all are
    allowed again in `reset_seconds`, the next one in `wait_seconds`."""

    quota: int
    window_seconds: int
    left: int
    reset_seconds: int
    wait_seconds: int
    kind: str = "jobs"


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """What a tenant may have and do; None, or a rate of 0: no limit. Its own settings override `queue_max`,
    `rate` and `burst`. `queue_max`: jobs that wait; `bytes_max`: bytes in Redis; `media_max`: bytes of inline
    media of its unfinished jobs; `rate`: jobs per second, with `burst` at once."""

    queue_max: int
    bytes_max: int | None = None
    media_max: int | None = None
    rate: float = 0
    burst: int = 1


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer to `accept`. `replayed`: the idempotency key was used before with the same body; `job_id` is
    that job. `queue_position`: if the job waits; `allowance`: if the tenant has a rate limit."""

    job_id: str
    replayed: bool
    queue_position: QueuePosition | None = None
    allowance: Allowance | None = None


class CallbackOutcome(StrEnum):
    """What a genuine callback did."""

    MOVED = "moved"  #: the job's state changed
    REPEATED = "repeated"  #: known already; a poll of the task is due
    ABSORBED = "absorbed"  #: the job is final; nothing changed
    LATE = "late"  #: we had given the job up; its task will be polled
    EARLIER = "earlier"  #: for an earlier submission: its task is stored, the first success wins
    AHEAD = "ahead"  #: for a submission that the record does not know: Redis lost acknowledged writes
    ORPHAN = "orphan"  #: for an unknown job: quarantined, and rebuilt if a task is named
    EXPIRED = "expired"  #: for a job that was finished and then removed
    CROSSED = "crossed"  #: it names the task of another job: quarantined, both are polled
    REPLAYED = "replayed"  #: its nonce was used before; a poll is due, nothing else


@dataclass(frozen=True, slots=True)
class Callback:
    """A callback whose token was verified, independent of the upstream's dialect.

    `task_id`: the task that it names, if it may be polled. `terminal`: it reports a final status; `working`:
    it reports that work began. `distrusted`: its signature is missing, wrong or too old, so it only makes a
    poll due. `claimed`: the result in its body, stored when bodies are trusted. `raw`: the start of an
    unreadable body, for the quarantine. `nonce`: of its signature, valid once. `label`: for the metrics.
    `account`: that of the submission. `callback_url`, `door`: of the job, in case that it must be rebuilt.
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
    callback_url: str | None = None
    door: str | None = None


class AccountState(StrEnum):
    """Whether jobs can be sent with an account now."""

    PAUSED = "paused"  #: the upstream refused it, or an operator paused it
    STOPPED = "stopped"  #: an operator paused the whole service
    HELD = "held"  #: nothing is sent before the time that a 429 named
    SLOWED = "slowed"  #: a 429 lowered its slots, and not all are back
    ACTIVE = "active"

    @classmethod
    def of(cls, *, paused: bool, stopped: bool, held: bool, slowed: bool) -> AccountState:
        if paused:
            return cls.PAUSED
        if stopped:
            return cls.STOPPED
        if held:
            return cls.HELD
        return cls.SLOWED if slowed else cls.ACTIVE


@dataclass(frozen=True, slots=True)
class Account:
    """One of the upstream's accounts. Times: ms. `slots`: how many tasks it may hold now (a 429 lowers it);
    `paused_at`: since when it is paused, with `reason`; `hold_until`: nothing is sent before then, None once
    that has passed; `in_flight`: its slots that are taken."""

    slots: int
    paused_at: int | None = None
    reason: str | None = None
    hold_until: int | None = None
    in_flight: int = 0
    name: str = ACCOUNT
    state: AccountState = AccountState.ACTIVE


@dataclass(frozen=True, slots=True)
class Witness:
    """Proof that callbacks can reach us. Times: ms of Redis' clock. `last`: the latest proof; `since`: there
    was no gap between proofs since then. Both None without any proof."""

    now: int
    since: int | None
    last: int | None


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs, newest first. `last`: the next page is after this id; None if there is none. It may be that of a
    job that is not shown, because it was just removed or its archive is lost."""

    jobs: list[Job]
    last: str | None

    @property
    def more(self) -> bool:
        return self.last is not None


class JobStore(Protocol):
    async def accept(
        self,
        job: Job,
        payload: str | None,
        fingerprint: str,
        limits: AdmissionLimits,
        *,
        media: int = 0,
        check_only: bool = False,
    ) -> Admission:
        """Stores a new job and puts it into its tenant's lane. `media`: bytes of its inline media;
        `check_only`: checks everything and stores nothing. Raises IdempotencyMismatch, LimitReached,
        RateLimited, PaymentRefused; NotFound if it may not use one of its uploads."""

    async def read(self, job_id: str) -> Job | None:
        """The job, or None. Raises MediaStoreUnavailable if it is archived, and its object cannot be read."""

    async def read_kept(self, job_id: str) -> Job | None:
        """The same, but of an archived job only what the store keeps: enough to know how it ended, its tasks
        and its copies."""

    async def payload(self, job: Job) -> str | None:
        """The client's payload, or None. Raises MediaStoreUnavailable."""

    async def queue_positions(self, jobs: Sequence[Job]) -> list[QueuePosition | None]:
        """The queue position of each job, None for one that does not wait."""

    async def page(self, tenant: str, states: Sequence[JobState], after: str | None, limit: int) -> Page:
        """The tenant's jobs in these states, older than `after`, without those whose archive is lost. Raises
        MediaStoreUnavailable if one of them is archived, and the media store is away."""

    async def unfinished(self, job_ids: Sequence[str]) -> set[str]:
        """Those of these jobs that exist and are not final."""

    async def apply(self, job: Job, transition: Transition) -> TransitionResult:
        """Applies the transition to the job."""

    async def claim(self, ticket: Ticket, run: str | None = None) -> Job | None:
        """Begins a submission: epoch + 1, and a lease. None when another worker has the job, or it is not
        queued. `run`: a unique id of this claim, so that it can be repeated when its answer was lost."""

    async def release(self, job: Job) -> bool:
        """The gate: True, durably, if the last byte of this submission may be sent."""

    async def begin_confirm(self, ticket: Ticket) -> Job | None:
        """Starts a confirmation and its lease. None when the ticket is stale or the job is gone."""

    async def postpone(self, ticket: Ticket, in_ms: int, fields: dict[str, object]) -> None:
        """Writes the fields, and makes the ticket due again in `in_ms`."""

    async def drop(self, ticket: Ticket) -> None:
        """Removes the ticket: nothing is left to do for it."""

    async def renew(self, ticket: Ticket) -> bool:
        """Renews the lease. False when the ticket is stale."""

    async def callback(self, callback: Callback) -> CallbackOutcome:
        """Applies a genuine callback in one durable step."""

    async def trust_report(self, job: Job, *, marked: bool = False) -> bool:
        """Whether the job's only task, which only a callback named, can be no other job's: because a poll of
        it shows the job's mark (`marked`), or because no other submission lacked an answer by then."""

    async def witness(self) -> Witness:
        """Since when callbacks provably can reach us."""

    async def report_journal(self, process: str, failovers: int, *, leaves: bool = False) -> int:
        """Says that this process has replayed all callbacks of its journal. `failovers` of the store: that it
        knew of before; if there are more, the report does not count. `leaves`: it stops, and keeps no journal
        any more. Returns how many failovers there were."""

    async def note_callback_path(self) -> None:
        """Records that a probe arrived by the callback route."""

    async def begin_callback_probe(self, every_seconds: float) -> float:
        """Seconds until the caller may ask again whether to probe the callback route; 0: it probes now. A
        probe is due so long after the last proof that callbacks reach us."""

    async def note_unknown_status(self, job: Job, word: str, error: str) -> bool:
        """Records that the upstream reported this status of the job's task, which nobody knows, and what it
        said beside it. True if it is news for operators."""

    async def on_unknown(self, job: Job) -> OnUnknown | None:
        """The owner's choice: for the job, or else for the tenant; None without one."""

    async def overdue(self, limit: int) -> list[Job]:
        """Jobs whose `start_by` or `end_by` may have passed, earliest first."""

    async def defer_deadline(self, job: Job, until_ms: int) -> None:
        """Checks the job's deadlines again at `until_ms`."""
