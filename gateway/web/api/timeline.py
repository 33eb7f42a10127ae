"""A job's timeline: its history, and each webhook and attempt. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

from gateway.endpoints import Delivery
from gateway.jobs import Job, rfc3339
from gateway.web.schemas.jobs import Timeline, TimelineEntry

#: What is said of each kind of entry, for people. Its name is the event's.
TEXTS: Final[Mapping[str, str]] = {
    "accepted": "accepted, and kept durably",
    "rebuilt": "built up again from a callback, because Redis had lost it",
    "claimed": "a worker took it up and began a submission",
    "released": "the last byte of the request was let go: from here on money may have been spent",
    "claim_lost": "put back in line: the request had not been sent whole, and nothing was paid",
    "upstream_busy": "put back in line: the upstream made no task",
    "upstream_accepted": "the upstream has a task for it",
    "upstream_rejected": "the upstream refused it for good, and nothing was paid",
    "outcome_lost": "the answer was lost: whether it was paid for is not known",
    "callback_seen": "a callback proved that the upstream has a task for it",
    "rollback_seen": "a callback told of a submission that Redis had forgotten",
    "resubmit_chosen": "to be sent again, as its owner or an operator chose; it may be paid for twice",
    "upstream_succeeded": "the video is done",
    "upstream_failed": "the upstream could not make the video",
    "upstream_canceled": "the upstream stopped the task",
    "late_success": "the result came after the job had been given up",
    "cancel_requested": "canceled before anything was paid",
    "cancel_wished": "to be canceled at the upstream",
    "start_deadline_passed": "given up: it was not sent in time, and nothing was paid",
    "deadline_passed": "given up: it took too long",
    "poisoned": "given up: too many workers died with it, and nothing was paid",
    "task_named": "the upstream's task became known",
    "callback": "the upstream called back",
    "owed": "a webhook became due",
    "attempt": "a webhook was sent",
}
#: What only operators are shown: ids of the upstream's tasks and of their keys, and accounts.
_OPERATORS_ONLY: Final = frozenset({"task", "by", "account"})
_ATTEMPT: Final = ("number", "outcome", "status", "duration_ms", "trigger")


def timeline_of(
    job: Job, audit: Sequence[Mapping[str, str]], deliveries: Iterable[Delivery], *, operator: bool
) -> Timeline:
    """`audit`: oldest first, as the store gives it. Entries: {at, kind, text, ...}, in the order of time."""
    entries = [_history_entry(entry, operator) for entry in audit]
    for delivery in deliveries:
        entries += _delivery_entries(delivery)
    entries.sort(key=lambda entry: entry["at"])  # stable: what was noted in one step stays in its order
    data = cast(list[TimelineEntry], entries)  # what else an entry has depends on its kind
    return {"object": "timeline", "job": job.id, "status": job.status, "polls": job.polls, "data": data}


def _history_entry(entry: Mapping[str, str], operator: bool) -> dict[str, Any]:
    kind = entry["event"]
    made: dict[str, Any] = {"at": rfc3339(int(entry["at"])), "kind": kind, "text": TEXTS.get(kind, kind)}
    for name, value in entry.items():
        if name in ("at", "event") or (name in _OPERATORS_ONLY and not operator):
            continue
        made[{"from": "phase_before", "to": "phase"}.get(name, name)] = (
            int(value) if name == "epoch" else value
        )
    if not operator and "by" in entry and kind != "task_named":
        made["by"] = "operator"
    return made


def _delivery_entries(delivery: Delivery) -> list[dict[str, Any]]:
    common = {"delivery": delivery.id, "event": delivery.event_type.value, "endpoint": delivery.endpoint_id}
    made = [{"at": rfc3339(delivery.created_at), "kind": "owed", "text": TEXTS["owed"], **common}]
    for attempt in delivery.log:
        shown = {name: attempt.get(name) for name in _ATTEMPT}
        made.append({"at": attempt["at"], "kind": "attempt", "text": TEXTS["attempt"], **common, **shown})
    return made
