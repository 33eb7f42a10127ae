"""The life of a job and the life of a delivery, and nothing else.

Rule 1: every state, and every move between states, is a row in this file.
Rule 2: this file knows nothing of HTTP, Redis or the upstream; it imports only the standard library.
Rule 3: no other module writes a state. It names the event that happened; the store compares and sets, with
the rows of that event (`moves`) sent along.

Expected repeats are rows, not ifs: a callback and a poll may both report the same success.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final


class JobState(StrEnum):
    """Where a job is. Each says who moves it on, and what a crash in it means."""

    #: Stored and answered 202; waits in its tenant's lane. A worker's claim moves it on. No crash loses it.
    QUEUED = "queued"
    #: A worker holds it under a lease and an epoch. If the worker dies before the last byte of the paid
    #: request was released, the job is queued again for free; after that it becomes unknown.
    SUBMITTING = "submitting"
    #: The last byte left and no verdict came back, so money may have been spent. Evidence (a late answer, a
    #: callback, the upstream's list, an operator) moves it on, or the end of the grace window does, as its
    #: owner chose (`OnUnknown`). By itself only a late answer that proves it unpaid sends it back.
    UNKNOWN = "unknown"
    #: The upstream has a task for it. A callback or a poll, confirmed by a GET, moves it on.
    SUBMITTED = "submitted"
    #: The upstream made the video. Final.
    COMPLETED = "completed"
    #: The upstream refused or failed, or a deadline passed. Final.
    FAILED = "failed"
    #: Its owner canceled it: before any money was spent, or by the upstream's own cancel. Final.
    CANCELED = "canceled"


class JobEvent(StrEnum):
    """What happens to a job."""

    CLAIMED = "claimed"  #: a worker begins a submission
    CLAIM_LOST = "claim_lost"  #: that worker stopped before releasing the request: provably unpaid
    UPSTREAM_BUSY = "upstream_busy"  #: refused without a task: safe to send again
    UPSTREAM_ACCEPTED = "upstream_accepted"  #: a task exists
    UPSTREAM_REJECTED = "upstream_rejected"  #: refused for good, without a task
    OUTCOME_LOST = "outcome_lost"  #: released, and no verdict
    CALLBACK_SEEN = "callback_seen"  #: a callback that names no task of ours to look at
    ROLLBACK_SEEN = (
        "rollback_seen"  #: a genuine callback of a submission that our record does not reckon with
    )
    RESUBMIT_CHOSEN = "resubmit_chosen"  #: the owner's policy, or an operator: pay again rather than fail
    UPSTREAM_SUCCEEDED = "upstream_succeeded"
    UPSTREAM_FAILED = "upstream_failed"
    UPSTREAM_CANCELED = "upstream_canceled"  #: the upstream stopped the task, as its owner wished
    LATE_SUCCESS = "late_success"  #: the task of a job that we had given up was finished after all
    CANCEL_REQUESTED = "cancel_requested"  #: while nothing was paid
    CANCEL_WISHED = "cancel_wished"  #: money may have been spent: the upstream is asked, when it can be
    START_DEADLINE_PASSED = "start_deadline_passed"  #: nothing was paid, and now nothing will be
    DEADLINE_PASSED = "deadline_passed"
    POISONED = "poisoned"  #: too many workers died with it in their hands, before anything was paid


S, E = JobState, JobEvent

JOB_TRANSITIONS: Final[Mapping[JobState, Mapping[JobEvent, JobState]]] = MappingProxyType(
    {
        S.QUEUED: {
            E.CLAIMED: S.SUBMITTING,
            E.CANCEL_REQUESTED: S.CANCELED,
            E.START_DEADLINE_PASSED: S.FAILED,
            # An earlier submission of it was accepted after all: it must not be sent again.
            E.UPSTREAM_ACCEPTED: S.SUBMITTED,
            E.CALLBACK_SEEN: S.UNKNOWN,
            E.ROLLBACK_SEEN: S.UNKNOWN,
        },
        S.SUBMITTING: {
            # The next three only while the last byte is held back: who asks for them has the store compare
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
            # Late news of this very submission: its last byte was held back, or there is no task.
            E.CLAIM_LOST: S.QUEUED,
            E.UPSTREAM_BUSY: S.QUEUED,
            E.UPSTREAM_ACCEPTED: S.SUBMITTED,
            E.UPSTREAM_REJECTED: S.FAILED,
            E.OUTCOME_LOST: S.UNKNOWN,
            E.CALLBACK_SEEN: S.UNKNOWN,
            E.ROLLBACK_SEEN: S.UNKNOWN,
            E.CANCEL_WISHED: S.UNKNOWN,
            # Never back to queued by itself: we may have paid for a task that we cannot name.
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
    """What a job's owner wants when its grace window ends without evidence."""

    HOLD = "hold"  #: fail: never pay twice
    RESUBMIT = "resubmit"  #: send it again, within a count and a budget: it may be paid for twice
    MANUAL = "manual"  #: wait for an operator


class Status(StrEnum):
    """A job's public status. It never goes backwards: a job is in progress from the moment that a task is
    known to exist; until then it can still be sent back to its lane. `phase` tells the finer truth."""

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
    """Where a delivery is. "Delivered" is true of a delivery, never of a job: a job has many endpoints."""

    PENDING = "pending"  #: owed; waiting for its first or next attempt
    DELIVERED = "delivered"  #: the endpoint answered 2xx
    DEAD = "dead"  #: the last attempt failed; kept with its newest attempts
    HELD = "held"  #: its endpoint is disabled; kept


class DeliveryEvent(StrEnum):
    """What happens to a delivery."""

    ATTEMPT_SUCCEEDED = "attempt_succeeded"
    ATTEMPT_FAILED = "attempt_failed"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    ENDPOINT_DISABLED = "endpoint_disabled"
    REDELIVERY_REQUESTED = "redelivery_requested"


D, V = DeliveryState, DeliveryEvent

DELIVERY_TRANSITIONS: Final[Mapping[DeliveryState, Mapping[DeliveryEvent, DeliveryState]]] = MappingProxyType(
    {
        D.PENDING: {
            V.ATTEMPT_SUCCEEDED: D.DELIVERED,
            V.ATTEMPT_FAILED: D.PENDING,
            V.ATTEMPTS_EXHAUSTED: D.DEAD,
            V.ENDPOINT_DISABLED: D.HELD,
            V.REDELIVERY_REQUESTED: D.PENDING,
        },
        D.DELIVERED: {V.REDELIVERY_REQUESTED: D.PENDING},
        D.DEAD: {V.REDELIVERY_REQUESTED: D.PENDING},
        D.HELD: {V.REDELIVERY_REQUESTED: D.PENDING},
    }
)

#: The states that nothing leaves, derived: every row of theirs leads back to themselves.
FINAL: Final = frozenset(state for state, rows in JOB_TRANSITIONS.items() if set(rows.values()) <= {state})


def job_moves(event: JobEvent) -> dict[JobState, JobState]:
    """Every move that `event` can make, as {from: to}: what the store compares and sets."""
    return {state: rows[event] for state, rows in JOB_TRANSITIONS.items() if event in rows}


def delivery_moves(event: DeliveryEvent) -> dict[DeliveryState, DeliveryState]:
    """Every move that `event` can make, as {from: to}."""
    return {state: rows[event] for state, rows in DELIVERY_TRANSITIONS.items() if event in rows}


def states_of(status: Status) -> list[JobState]:
    """The inner states that show as this public status."""
    return [state for state, shown in STATUS.items() if shown is status]


def diagrams() -> str:
    """Both machines as mermaid; docs/lifecycle.md holds this text, and a test keeps the two the same."""
    return "\n".join(
        [
            "```mermaid",
            "stateDiagram-v2",
            "    [*] --> queued",
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
