"""The state machines of jobs and deliveries.

Rule 1: every state, and every transition between states, is a row in this file.
Rule 2: this file does not know HTTP, Redis or the upstream; it imports only the standard library.
Rule 3: no other module writes a state. It names the event that happened, and passes the rows of that event
(`job_transitions`, `delivery_transitions`) to the store, which compares and sets.

Expected repetitions are rows, not ifs: a callback and a poll may both report the same success.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final


class JobState(StrEnum):
    """The state of a job. Each comment says what ends the state, and what a crash in it means."""

    #: Stored and answered with 202; waits in its tenant's lane. Ends when a worker claims the job. A crash
    #: does not lose it.
    QUEUED = "queued"
    #: A worker holds the job with a lease and an epoch. If the worker dies before it released the last byte
    #: of the paid request, the job is queued again at no cost; after that it becomes unknown.
    SUBMITTING = "submitting"
    #: The last byte was sent, but no clear answer came back, so money may have been spent. Ends with evidence
    #: (a late answer, a callback, the upstream's list, an operator), or at the end of the grace window as the
    #: owner chose (`OnUnknown`). Without a choice, only a late answer that proves it unpaid queues it again.
    UNKNOWN = "unknown"
    #: The upstream has a task for the job. Ends with a callback or a poll, confirmed by a GET.
    SUBMITTED = "submitted"
    #: The upstream made the video. Final.
    COMPLETED = "completed"
    #: The upstream refused or failed, or a deadline passed. Final.
    FAILED = "failed"
    #: The owner canceled it: before any money was spent, or by the upstream's own cancel. Final.
    CANCELED = "canceled"


class JobEvent(StrEnum):
    """What happens to a job."""

    ACCEPTED = "accepted"  #: a client posted it
    REBUILT = "rebuilt"  #: a callback named a job that Redis had lost
    CLAIMED = "claimed"  #: a worker starts a submission
    CLAIM_LOST = "claim_lost"  #: that worker stopped before it released the request: certainly unpaid
    UPSTREAM_BUSY = "upstream_busy"  #: refused without a task: safe to send again
    UPSTREAM_ACCEPTED = "upstream_accepted"  #: a task exists
    UPSTREAM_REJECTED = "upstream_rejected"  #: refused for good, without a task
    OUTCOME_LOST = "outcome_lost"  #: the request was released, and the outcome is not known
    CALLBACK_SEEN = "callback_seen"  #: a callback that names no task of ours to poll
    ROLLBACK_SEEN = "rollback_seen"  #: a genuine callback of a submission that our record does not have
    RESUBMIT_CHOSEN = "resubmit_chosen"  #: the owner's policy or an operator: pay again instead of failing
    UPSTREAM_SUCCEEDED = "upstream_succeeded"
    UPSTREAM_FAILED = "upstream_failed"
    UPSTREAM_CANCELED = "upstream_canceled"  #: the upstream stopped the task, as the owner asked
    LATE_SUCCESS = "late_success"  #: the task finished after we had given up the job
    CANCEL_REQUESTED = "cancel_requested"  #: nothing was paid yet
    CANCEL_WISHED = "cancel_wished"  #: money may have been spent: the upstream is asked to cancel, if it can
    START_DEADLINE_PASSED = "start_deadline_passed"  #: nothing was paid, and nothing will be
    DEADLINE_PASSED = "deadline_passed"
    POISONED = "poisoned"  #: too many workers died while they held it, before anything was paid


S, E = JobState, JobEvent

JOB_TRANSITIONS: Final[Mapping[JobState, Mapping[JobEvent, JobState]]] = MappingProxyType(
    {
        S.QUEUED: {
            E.CLAIMED: S.SUBMITTING,
            E.CANCEL_REQUESTED: S.CANCELED,
            E.START_DEADLINE_PASSED: S.FAILED,
            # An earlier submission of the job was accepted after all: do not send it again.
            E.UPSTREAM_ACCEPTED: S.SUBMITTED,
            E.CALLBACK_SEEN: S.UNKNOWN,
            E.ROLLBACK_SEEN: S.UNKNOWN,
        },
        S.SUBMITTING: {
            # The next three only before the last byte is released: their callers let the store compare
            # `released_at` too (`settlement.unpaid`).
            E.CANCEL_REQUESTED: S.CANCELED,
            E.START_DEADLINE_PASSED: S.FAILED,
            E.POISONED: S.FAILED,
            E.ROLLBACK_SEEN: S.UNKNOWN,
            E.CANCEL_WISHED: S.SUBMITTING,
            E.CLAIM_LOST: S.QUEUED,
            E.UPSTREAM_BUSY: S.QUEUED,
            E.UPSTREAM_REJECTED: S.FAILED,
            E.UPSTREAM_ACCEPTED: S.SUBMITTED,
            E.OUTCOME_LOST: S.UNKNOWN,
            E.CALLBACK_SEEN: S.SUBMITTING,
        },
        S.UNKNOWN: {
            # A late result of this same submission: its last byte was not sent, or there is no task.
            E.CLAIM_LOST: S.QUEUED,
            E.UPSTREAM_BUSY: S.QUEUED,
            E.UPSTREAM_ACCEPTED: S.SUBMITTED,
            E.UPSTREAM_REJECTED: S.FAILED,
            E.OUTCOME_LOST: S.UNKNOWN,
            E.CALLBACK_SEEN: S.UNKNOWN,
            E.ROLLBACK_SEEN: S.UNKNOWN,
            E.CANCEL_WISHED: S.UNKNOWN,
            # Never queued again automatically: we may have paid for a task whose id we do not know.
            E.RESUBMIT_CHOSEN: S.QUEUED,
            E.DEADLINE_PASSED: S.FAILED,
        },
        S.SUBMITTED: {
            E.UPSTREAM_ACCEPTED: S.SUBMITTED,
            E.OUTCOME_LOST: S.SUBMITTED,
            E.CALLBACK_SEEN: S.SUBMITTED,
            E.ROLLBACK_SEEN: S.SUBMITTED,
            E.CANCEL_WISHED: S.SUBMITTED,
            E.UPSTREAM_SUCCEEDED: S.COMPLETED,
            E.UPSTREAM_FAILED: S.FAILED,
            E.UPSTREAM_CANCELED: S.CANCELED,
            E.DEADLINE_PASSED: S.FAILED,
        },
        S.COMPLETED: {
            E.UPSTREAM_ACCEPTED: S.COMPLETED,
            E.OUTCOME_LOST: S.COMPLETED,
            E.CALLBACK_SEEN: S.COMPLETED,
            E.UPSTREAM_SUCCEEDED: S.COMPLETED,
        },
        S.FAILED: {
            E.UPSTREAM_ACCEPTED: S.FAILED,
            E.OUTCOME_LOST: S.FAILED,
            E.CALLBACK_SEEN: S.FAILED,
            E.UPSTREAM_FAILED: S.FAILED,
            E.DEADLINE_PASSED: S.FAILED,
            E.LATE_SUCCESS: S.FAILED,
        },
        S.CANCELED: {
            E.UPSTREAM_ACCEPTED: S.CANCELED,
            E.OUTCOME_LOST: S.CANCELED,
            E.CALLBACK_SEEN: S.CANCELED,
            E.UPSTREAM_CANCELED: S.CANCELED,
            E.CANCEL_REQUESTED: S.CANCELED,
        },
    }
)


class OnUnknown(StrEnum):
    """What the owner of a job wants if its grace window ends without evidence."""

    HOLD = "hold"  #: fail: never pay twice
    RESUBMIT = "resubmit"  #: send it again, within a count and a budget: it may be paid twice
    MANUAL = "manual"  #: wait for an operator


class Status(StrEnum):
    """The public status of a job. It never goes backwards: a job is in progress only when a task is known to
    exist, because until then the job can go back to its lane. `phase` in the API is more exact."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


STATUS: Final[Mapping[JobState, Status]] = MappingProxyType(
    {
        S.QUEUED: Status.QUEUED,
        S.SUBMITTING: Status.QUEUED,
        S.UNKNOWN: Status.QUEUED,
        S.SUBMITTED: Status.IN_PROGRESS,
        S.COMPLETED: Status.COMPLETED,
        S.FAILED: Status.FAILED,
        S.CANCELED: Status.CANCELED,
    }
)


class DeliveryState(StrEnum):
    """The state of a delivery. A delivery can be "delivered", a job cannot: it may have many endpoints."""

    PENDING = "pending"  #: waiting for its first or next attempt
    DELIVERED = "delivered"  #: the endpoint answered 2xx
    DEAD = "dead"  #: the last attempt failed; kept with its newest attempts
    HELD = "held"  #: its endpoint is disabled, or its headers cannot be decrypted; kept


class DeliveryEvent(StrEnum):
    """What happens to a delivery."""

    ATTEMPT_SUCCEEDED = "attempt_succeeded"
    ATTEMPT_FAILED = "attempt_failed"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    ENDPOINT_DISABLED = "endpoint_disabled"
    HEADERS_UNREADABLE = "headers_unreadable"
    REDELIVERY_REQUESTED = "redelivery_requested"


D, V = DeliveryState, DeliveryEvent

DELIVERY_TRANSITIONS: Final[Mapping[DeliveryState, Mapping[DeliveryEvent, DeliveryState]]] = MappingProxyType(
    {
        D.PENDING: {
            V.ATTEMPT_SUCCEEDED: D.DELIVERED,
            V.ATTEMPT_FAILED: D.PENDING,
            V.ATTEMPTS_EXHAUSTED: D.DEAD,
            V.ENDPOINT_DISABLED: D.HELD,
            V.HEADERS_UNREADABLE: D.HELD,
            V.REDELIVERY_REQUESTED: D.PENDING,
        },
        D.DELIVERED: {V.REDELIVERY_REQUESTED: D.PENDING},
        D.DEAD: {V.REDELIVERY_REQUESTED: D.PENDING},
        D.HELD: {V.REDELIVERY_REQUESTED: D.PENDING},
    }
)

#: The event that creates a job, and the state it starts in.
JOB_STARTS: Final[Mapping[JobEvent, JobState]] = MappingProxyType(
    {JobEvent.ACCEPTED: JobState.QUEUED, JobEvent.REBUILT: JobState.SUBMITTED}
)

#: The final states, derived from the table: all of their rows lead back to the same state.
FINAL: Final = frozenset(state for state, rows in JOB_TRANSITIONS.items() if set(rows.values()) <= {state})


def job_transitions(event: JobEvent) -> dict[JobState, JobState]:
    """Every transition that `event` can cause, as {from: to}. The store compares and sets with these."""
    return {state: rows[event] for state, rows in JOB_TRANSITIONS.items() if event in rows}


def delivery_transitions(event: DeliveryEvent) -> dict[DeliveryState, DeliveryState]:
    """Every transition that `event` can cause, as {from: to}."""
    return {state: rows[event] for state, rows in DELIVERY_TRANSITIONS.items() if event in rows}


def states_of(status: Status) -> list[JobState]:
    """The internal states that have this public status."""
    return [state for state, shown in STATUS.items() if shown is status]


def diagrams() -> str:
    """Both state machines as mermaid. docs/lifecycle.md contains this text, and a test compares the two."""
    return "\n".join(
        [
            "```mermaid",
            "stateDiagram-v2",
            *(f"    [*] --> {state}: {event}" for event, state in JOB_STARTS.items()),
            *_edges(JOB_TRANSITIONS),
            *(f"    {state} --> [*]" for state in JOB_TRANSITIONS if state in FINAL),
            "```",
            "",
            "```mermaid",
            "stateDiagram-v2",
            "    [*] --> pending",
            "    [*] --> held",
            *_edges(DELIVERY_TRANSITIONS),
            "```",
        ]
    )


def _edges(table: Mapping[Any, Mapping[Any, Any]]) -> list[str]:
    return [
        f"    {state} --> {target}: {event}"
        for state, rows in table.items()
        for event, target in rows.items()
        if target is not state
    ]
