"""Builds the JSON documents that the scripts read from transitions and limits. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from typing import Any, Final

import orjson

from gateway.dispatch import ACCOUNT, BATCH, CallbackLimits, HealthLimits, Role, RoleLimits, Ticket
from gateway.events import FINAL_TYPES, TYPE_OF_STATE, EventType
from gateway.jobs import Job, born_at, submit_ticket
from gateway.lifecycle import (
    FINAL,
    DeliveryEvent,
    DeliveryState,
    JobEvent,
    JobState,
    delivery_transitions,
    job_transitions,
)
from gateway.store.base import Callback
from gateway.store.effect_base import Subject, texts
from gateway.store.effects import AuditEntry, OweEvent, UnsetFields
from gateway.store.transitions import Guard, Transition

Roles = Mapping[Role, RoleLimits]

# orjson does not accept enum members as keys, so these use plain strings.
PUBLISHED_MODEL: Final = "viduq2_pro_reference"
_FINAL_JOB: Final = {state.value: True for state in FINAL}
#: {state: type of its event} for states that are not final. `owe_event` handles the final ones.
STEPS: Final = {state.value: kind.value for state, kind in TYPE_OF_STATE.items() if kind not in FINAL_TYPES}
#: The types that a worker creates if an endpoint wants them.
STEP_TYPES: Final = (*STEPS.values(), EventType.MIRRORED.value)
#: The same, with those that hardly any job causes.
TICKET_TYPES: Final = (*STEP_TYPES, EventType.BUDGET_THRESHOLD.value)
_MOVES: Final = {
    event: {before.value: after.value for before, after in job_transitions(event).items()}
    for event in JobEvent
}
_DELIVERY_MOVES: Final = {
    event: {before.value: after.value for before, after in delivery_transitions(event).items()}
    for event in DeliveryEvent
}
#: For each event: {state that it can lead to: type of the event that clients get}.
_PUBLISHES: Final = {
    event: {
        after.value: TYPE_OF_STATE[after].value
        for before, after in job_transitions(event).items()
        if after in TYPE_OF_STATE and after is not before
    }
    for event in JobEvent
}


def limits_of(roles: Roles, *wanted: Role) -> dict[str, Mapping[str, Any]]:
    """The `roles` of scripts/lib/dispatching.lua: {role: its limits}."""
    return {role.value: _limits(role, roles[role]) for role in wanted}


@cache
def _limits(role: Role, limits: RoleLimits) -> Mapping[str, Any]:
    found: dict[str, Any] = {
        "slots": limits.slots,
        "lane_slots": limits.lane_slots,
        "lease_ms": limits.lease_ms,
        "batch": BATCH,
        "interval_ms": 1000 / limits.per_second if limits.per_second else 0,
        "probe_ms": limits.probe_ms,
        "retry_share": limits.retry_share,
    }
    if role is Role.SUBMIT:
        found["accounts"] = accounts_of(limits)
    if role is Role.DELIVER:
        found["health"] = health_limits(limits.health)
        found["tenant_slots"] = limits.tenant_slots or limits.slots
    return found


def accounts_of(submit: RoleLimits) -> list[dict[str, Any]]:
    """The `accounts` of scripts/lib/account_health.lua."""
    return [
        {
            "name": one.name,
            "slots": one.slots,
            "weight": one.weight,
            "interval_ms": 1000 / one.per_second if one.per_second else 0,
        }
        for one in submit.all_accounts
    ]


def health_limits(limits: HealthLimits) -> Mapping[str, int]:
    """The `limits` of scripts/lib/circuit_breaker.lua."""
    return asdict(limits)


def job_transition(job: Job, transition: Transition, roles: Roles) -> dict[str, Any]:
    """The document of transition.lua for a job."""
    assert isinstance(transition.event, JobEvent)
    document = _transition(Subject(submit_ticket(job), job), job.id, transition, roles)
    return document | {
        "kind": "job",
        "moves": _MOVES[transition.event],
        "final": _FINAL_JOB,
        "unknown": JobState.UNKNOWN,
        "steps": STEPS,
        "publishes": _PUBLISHES[transition.event],
    }


def delivery_transition(lane: str, delivery_id: str, transition: Transition, roles: Roles) -> dict[str, Any]:
    """The document of transition.lua for a delivery. `lane`: where it waits."""
    assert isinstance(transition.event, DeliveryEvent)
    slot = Ticket(Role.DELIVER, lane, delivery_id)
    return _transition(Subject(slot), delivery_id, transition, roles) | {
        "kind": "delivery",
        "moves": _DELIVERY_MOVES[transition.event],
        "final": {},
        "dead": DeliveryState.DEAD,
    }


def new_round(delivery_id: str, roles: Roles) -> dict[str, Any]:
    """The document for a delivery's new round of attempts. The scripts that use it add fields, put the
    delivery into its lane and dispatch it."""
    again = Transition(DeliveryEvent.REDELIVERY_REQUESTED, effects=[UnsetFields(["next_attempt_at"])])
    return delivery_transition("", delivery_id, again, roles) | {"dispatch": limits_of(roles, Role.DELIVER)}


def _transition(of: Subject, name: str, transition: Transition, roles: Roles) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": name,
        "event": transition.event,
        "guard": _guard(transition.guard),
        "effects": {effect.name: effect.document(of) for effect in transition.effects},
        "dispatch": limits_of(roles, *_concerned(transition, of)),
    }
    if (owing := transition.find(OweEvent)) is not None:
        document["at"] = owing.event.created_at
    return document


def _guard(guard: Guard) -> dict[str, Any]:
    fields = {name: "" if value is None else str(value) for name, value in guard.fields.items()}
    return {"fields": fields} | ({"holder": holder(guard.holder)} if guard.holder else {})


def holder(ticket: Ticket) -> dict[str, Any]:
    """The `holder` of a guard: the ticket and the number of its dispatch."""
    return {"role": ticket.role, "ticket": str(ticket), "number": ticket.dispatch_number}


def _concerned(transition: Transition, of: Subject) -> list[Role]:
    """The roles in which the transition may free slots or create work."""
    roles = {role for effect in transition.effects for role in effect.roles(of)}
    if transition.event is JobEvent.UPSTREAM_ACCEPTED:  # subscribers may want its event
        roles.add(Role.DELIVER)
    return sorted(roles)


def callback_args(callback: Callback, roles: Roles, limits: CallbackLimits) -> dict[str, Any]:
    """The document of callback.lua."""
    job = Job(callback.job_id, callback.tenant, JobState.SUBMITTED, "", {}, 0)
    stub = texts(
        state=job.state,
        tenant=job.tenant,
        model=PUBLISHED_MODEL,
        params={},
        created_at=born_at(job.id),
        epoch=callback.epoch,
        account=None if callback.account == ACCOUNT else callback.account,
        callback_url=callback.callback_url,
        door=callback.door,
        released_at=born_at(job.id),
        submitting_at=born_at(job.id),
    )
    order: dict[str, Any] = {
        "name": job.id,
        "tenant": job.tenant,
        "epoch": callback.epoch,
        "task": callback.task_id,
        "terminal": callback.terminal,
        "working": callback.working,
        "distrusted": callback.distrusted,
        "reported": None if callback.claimed is None else orjson.dumps(callback.claimed).decode(),
        "nonce": callback.nonce,
        "tally": [f"callbacks|{callback.label}"],
        "hint": callback.label,
        "gap_ms": limits.gap_ms,
        "submit_ticket": str(submit_ticket(job)),
        "account": callback.account,
        "first_poll_ms": limits.first_poll_ms,
        "born_at": born_at(job.id),
        "retention_ms": limits.retention_ms,
        "armed": JobState.SUBMITTING,
        "unknown": JobState.UNKNOWN,
        "final": _FINAL_JOB,
        "good": JobState.COMPLETED,
        "accepted": _happened(JobEvent.UPSTREAM_ACCEPTED),
        "seen": _happened(JobEvent.CALLBACK_SEEN),
        "rollback": _happened(JobEvent.ROLLBACK_SEEN),
        "rebuilt": {"event": JobEvent.REBUILT, "creates": {"state": job.state, "fields": stub}},
        "steps": STEPS,
        "publishes": STEPS,
        "dispatch": limits_of(roles, Role.CONFIRM, Role.DELIVER),
    }
    # cjson would decode null to a value that Lua treats as true.
    return {name: value for name, value in order.items() if value is not None}


def _happened(event: JobEvent) -> dict[str, Any]:
    return {"event": event, "moves": _MOVES[event]}


def dump_audit(audit: AuditEntry | None) -> bytes:
    """The `audit` of a script; empty if no operator acts."""
    return b"" if audit is None else dump(audit.document())


def dump(order: Mapping[str, Any] | Sequence[Any]) -> bytes:
    return orjson.dumps(order)


def pairs(flat: Sequence[str]) -> dict[str, str]:
    """A Lua reply's flat list of field, value, ... as a dict."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
