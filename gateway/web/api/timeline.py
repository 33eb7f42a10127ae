"""Builds a job's timeline from its history, deliveries and attempts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

from gateway.endpoints import Delivery
from gateway.jobs import Job, rfc3339
from gateway.web.schemas.jobs import Timeline, TimelineEntry

#: Description of each kind of entry, by the name of the event.
TEXTS: Final[Mapping[str, str]] = {
    "accepted": "accepted and stored durably",
    "rebuilt": "restored from a callback, because Redis had lost it",
    "claimed": "a worker started a submission",
    "released": "the last byte of the request was sent: the job may be paid for from now on",
    "claim_lost": "back in the queue: the request was not sent completely, and nothing was paid",
    "upstream_busy": "back in the queue: the upstream created no task",
    "upstream_accepted": "the upstream created a task",
    "upstream_rejected": "failed before the upstream created a task; `error` says why",
    "outcome_lost": "the upstream's response was lost: it is unknown whether the job was paid for",
    "charge_decided": "an operator decided what the job cost",
    "callback_seen": "a callback proved that the upstream has a task for the job",
    "rollback_seen": "a callback reported a submission that Redis had lost",
    "resubmit_chosen": "queued again, as its owner or an operator chose; it may be paid for twice",
    "upstream_succeeded": "the video is ready",
    "upstream_failed": "the upstream could not create the video",
    "upstream_canceled": "the upstream stopped the task",
    "late_success": "the result arrived after the job had failed",
    "cancel_requested": "canceled while it waited",
    "cancel_wished": "a cancel was requested after it was sent",
    "start_deadline_passed": "failed: it was not sent in time",
    "deadline_passed": "given up: its deadline passed, or an operator failed it",
    "poisoned": "failed: too many workers died while working on it",
    "task_named": "the id of the upstream task became known",
    "task_trusted": "the task that a callback named can be no other job's",
    "callback": "the upstream sent a callback",
    "owed": "a webhook became due",
    "attempt": "an attempt to send a webhook ended",
}
#: Fields that only operators see: ids of upstream tasks and of operators' keys, and accounts.
_OPERATORS_ONLY: Final = frozenset({"task", "by", "account"})
_ATTEMPT: Final = ("number", "outcome", "status", "duration_ms", "trigger")


def timeline_of(
    job: Job, audit: Sequence[Mapping[str, str]], deliveries: Iterable[Delivery], *, operator: bool
) -> Timeline:
    """`audit`: the job history, oldest first. Returns entries {at, kind, text, ...}, ordered by time."""
    entries = [_history_entry(entry, operator) for entry in audit]
    for delivery in deliveries:
        entries += _delivery_entries(delivery)
    entries.sort(key=lambda entry: entry["at"])  # stable: entries of one step keep their order
    data = cast(list[TimelineEntry], entries)  # further fields of an entry depend on its kind
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
