"""What the rest of the service may ask of the store, and what each call raises.

Every call may raise StoreUnavailable: Redis did not answer, and may have acted all the same. Every
call that changes something may therefore be made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from gateway.dispatch import Ticket
from gateway.endpoints import Delivery, Endpoint
from gateway.events import Event
from gateway.jobs import Job
from gateway.lifecycle import DeliveryEvent, JobEvent, JobState


class Outcome(StrEnum):
    """What became of an event that was sent to a record."""

    MOVED = "moved"
    REPEATED = "repeated"  #: a repeat that the table expects; its fields were written
    ABSORBED = "absorbed"  #: final already; nothing was written
    REFUSED = "refused"  #: the event cannot happen in this state
    FENCED = "fenced"  #: a newer submission holds the record
    STALE = "stale"  #: a newer dispatch holds the ticket
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Answer:
    """`before` and `after`: the record's state, when there is a record."""

    outcome: Outcome
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """`replayed`: the idempotency key was used before with the same body, for this very job."""

    job_id: str
    replayed: bool


@dataclass(frozen=True, slots=True)
class Move:
    """An event for a job, and what goes with it in the same step.

    `fields` are written, `once` only where nothing stands yet, `add` counts up, `unset` removes.
    `expect`: fields that must hold these values (None: must be absent), or the move is fenced.
    `holder`: only the newest dispatch of this ticket may do it. `give_back_in_ms`: the submit slot is
    given back and the job is due again then. `poll_in_ms`: due for confirmation. `hold_ms`: new lease
    of the submit slot (-1: until it is given back). `done`: tickets that are finished with.
    `event`: what subscribers are owed, made only if the job moves. `tally`: counted for the metrics.
    """

    event: JobEvent
    fields: dict[str, object] = field(default_factory=dict)
    once: dict[str, object] = field(default_factory=dict)
    add: dict[str, int] = field(default_factory=dict)
    unset: Sequence[str] = ()
    expect: dict[str, int | str | None] = field(default_factory=dict)
    holder: Ticket | None = None
    give_back_in_ms: int | None = None
    poll_in_ms: int | None = None
    hold_ms: int | None = None
    done: Sequence[Ticket] = ()
    owed: Event | None = None
    callback_url: str | None = None
    tally: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs, newest first; `more` when older ones follow."""

    jobs: list[Job]
    more: bool


class JobStore(Protocol):
    async def accept(self, job: Job, payload: str | None, fingerprint: str, *, queue_max: int) -> Accepted:
        """Store a new job and put it in its tenant's lane. IdempotencyMismatch, LimitReached."""

    async def read(self, job_id: str) -> Job | None:
        """The job, or None."""

    async def payload(self, job: Job) -> str | None:
        """The client's own payload."""

    async def position(self, job: Job) -> int | None:
        """How many of the tenant's jobs are ahead of this one, or None when it does not wait."""

    async def page(self, tenant: str, states: Sequence[JobState], after: str | None, limit: int) -> Page:
        """The tenant's jobs in these states, older than `after`."""

    async def unfinished(self, job_ids: Sequence[str]) -> set[str]:
        """Those of these jobs that exist and are not final."""

    async def apply(self, job: Job, move: Move) -> Answer:
        """Send an event to the job."""

    async def claim(self, ticket: Ticket) -> Job | None:
        """Begin a submission: epoch + 1, a lease. None when another worker has it, or it is over."""

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


class DeliveryStore(Protocol):
    async def begin(self, ticket: Ticket) -> tuple[Delivery, bytes, Endpoint | None] | None:
        """Take up a delivery: it, its event's bytes, and its endpoint when it has one that still exists.
        None when the ticket is stale."""

    async def finish(
        self,
        ticket: Ticket,
        delivery: Delivery,
        event: DeliveryEvent,
        *,
        retry_in_ms: int | None,
        tally: Sequence[str],
    ) -> Answer:
        """Record an attempt (`delivery` as it is after it)."""


class EndpointStore(Protocol):
    async def create(self, endpoint: Endpoint) -> None:
        """Register it."""

    async def read(self, tenant: str, endpoint_id: str) -> Endpoint | None:
        """The endpoint, if it is this tenant's."""

    async def of(self, tenant: str) -> list[Endpoint]:
        """All of a tenant's."""

    async def delete(self, endpoint: Endpoint) -> None:
        """Forget it; what is still owed to it dies at its next attempt."""

    async def disable(self, endpoint: Endpoint, reason: str, at: int) -> None:
        """What is owed to it is held from now on."""
