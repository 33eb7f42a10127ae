"""Python's moves as the documents that the scripts read. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from typing import Any, Final

import orjson

from gateway.dispatch import ACCOUNT, BATCH, CallbackLimits, HealthLimits, Role, RoleLimits
from gateway.endpoints import callback_lane
from gateway.events import FINAL_TYPES, TYPE_OF_STATE, Event
from gateway.jobs import Job, born_at, confirm_ticket, submit_ticket, to_fields
from gateway.lifecycle import FINAL, DeliveryState, JobEvent, JobState, job_moves
from gateway.store.base import Callback, Move

Roles = Mapping[Role, RoleLimits]

# Enumerations are no keys for JSON: the scripts get plain texts.
PUBLISHED_MODEL: Final = "viduq2_pro_reference"
_FINAL_JOB: Final = {state.value: True for state in FINAL}
#: Steps on a job's way, and the types of their events; how it ends is told by the step itself.
STEPS: Final = {state.value: kind.value for state, kind in TYPE_OF_STATE.items() if kind not in FINAL_TYPES}
_MOVES: Final = {
    event: {before.value: after.value for before, after in job_moves(event).items()} for event in JobEvent
}
#: What clients hear of the states that an event can lead to.
_TELLS: Final = {
    event: {
        after.value: TYPE_OF_STATE[after].value
        for before, after in job_moves(event).items()
        if after in TYPE_OF_STATE and after is not before
    }
    for event in JobEvent
}


def limits_of(roles: Roles, *wanted: Role) -> dict[str, dict[str, Any]]:
    """The `roles` of scripts/lib/dispatching.lua: {role: its limits}."""
    return {role.value: _limits(role, roles[role]) for role in wanted}


def _limits(role: Role, limits: RoleLimits) -> dict[str, Any]:
    found: dict[str, Any] = {
        "slots": limits.slots,
        "lane_slots": limits.lane_slots,
        "lease_ms": limits.lease_ms,
        "batch": BATCH,
        "interval_ms": 1000 / limits.per_second if limits.per_second else 0,
        "probe_ms": limits.probe_ms,
        "retry_share": limits.again_share,
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


@cache
def health_limits(limits: HealthLimits) -> Mapping[str, int]:
    """The `limits` of scripts/lib/circuit_breaker.lua."""
    return asdict(limits)


def texts(**values: object) -> dict[str, str]:
    """Fields as texts: a number that passed through Lua could lose digits."""
    return {
        name: value.decode() if isinstance(value, bytes) else str(value)
        for name, value in to_fields(**values).items()
    }


def job_order(job: Job, move: Move, roles: Roles) -> dict[str, Any]:
    """The document of transition.lua for a job."""
    after: dict[str, list[Any]] = {}
    ticket = str(submit_ticket(job))
    kind = kind_of_video(job)
    if move.give_back_in_ms is not None:
        after["give_back"] = [Role.SUBMIT, ticket, move.give_back_in_ms]
    if move.poll_in_ms is not None:
        after["due"] = [Role.CONFIRM, str(confirm_ticket(job)), move.poll_in_ms]
        if move.typical is not None:
            after["due"] += [kind, move.typical]
    if move.hold_ms is not None:
        after["hold"] = [Role.SUBMIT, ticket, move.hold_ms]
    if move.end_hold_ms is not None:
        after["end_hold"] = [Role.SUBMIT, ticket, move.end_hold_ms]
    order: dict[str, Any] = {
        "kind": "job",
        "name": job.id,
        "event": move.event,
        "moves": _MOVES[move.event],
        "final": _FINAL_JOB,
        "unknown": JobState.UNKNOWN,
        "expect": {name: "" if value is None else str(value) for name, value in move.expect.items()},
        "set": texts(**move.fields),
        "add": move.add,
        "unset": list(move.unset),
        "after": after,
        "leave": [[done.role, str(done)] for done in move.done],
        "tally": list(move.tally),
        "dispatch": limits_of(roles, *_concerned(move)),
        "steps": STEPS,
        "tells": _TELLS[move.event],
    }
    order |= {name: value for name, value in _extras(job, move, kind).items() if value is not None}
    if move.holder is not None:
        order["holder"] = [move.holder.role, str(move.holder), move.holder.ring]
    if move.owed is not None:
        event = move.owed
        order["at"] = event.created_at
        order["owed"] = owed(event) | {"tells": move.beside}
        if move.callback_url:
            order["owed"] |= {
                "callback_url": move.callback_url,
                "callback_lane": callback_lane(event.tenant, move.callback_url),
            }
    return order


def owed(event: Event) -> dict[str, Any]:
    """What `make_deliveries` of records.lua takes."""
    return {
        "id": event.id,
        "type": event.type,
        "job_id": event.job_id,
        "tenant": event.tenant,
        "at": event.created_at,
        "pending": DeliveryState.PENDING,
        "held": DeliveryState.HELD,
        "ending": event.type in FINAL_TYPES,
        "trace": event.trace or "",
    }


def _extras(job: Job, move: Move, kind: str) -> dict[str, Any]:
    verdict = move.account
    return {
        "run": move.run,
        "by": move.by,
        "why": move.why,
        "task": move.task,
        "task_epoch": job.epoch if move.task else None,
        "task_account": job.account if move.task else None,
        "winner": move.winner,
        "beside": move.beside or None,
        "learn": None if move.learn_ms is None else [kind, move.learn_ms],
        "budget": None if move.budget is None else [job.tenant, move.budget.day, move.budget.most],
        "account": verdict and asdict(verdict),
    }


def kind_of_video(job: Job) -> str:
    """Videos of a kind take about as long as each other: `720p:5`."""
    peak = ":off_peak" if job.off_peak else ""
    return f"{job.params.get('resolution', '720p')}:{job.params.get('duration', 5)}{peak}"


def callback_order(callback: Callback, roles: Roles, limits: CallbackLimits) -> dict[str, Any]:
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
        "claimed": None if callback.claimed is None else orjson.dumps(callback.claimed).decode(),
        "nonce": callback.nonce,
        "tally": [f"callbacks|{callback.label}"],
        "hint": callback.label,
        "gap": limits.gap_ms,
        "submit": str(submit_ticket(job)),
        "account": callback.account,
        "first_poll_ms": limits.first_poll_ms,
        "born": born_at(job.id),
        "retention_ms": limits.retention_ms,
        "armed": JobState.SUBMITTING,
        "unknown": JobState.UNKNOWN,
        "final": _FINAL_JOB,
        "accepted": [JobEvent.UPSTREAM_ACCEPTED, _MOVES[JobEvent.UPSTREAM_ACCEPTED]],
        "seen": [JobEvent.CALLBACK_SEEN, _MOVES[JobEvent.CALLBACK_SEEN]],
        "rollback": [JobEvent.ROLLBACK_SEEN, _MOVES[JobEvent.ROLLBACK_SEEN]],
        "stub": {"state": job.state, "fields": stub},
        "steps": STEPS,
        "tells": STEPS,
        "dispatch": limits_of(roles, Role.CONFIRM, Role.DELIVER),
    }
    # cjson makes a null of None, which Lua takes for something.
    return {name: value for name, value in order.items() if value is not None}


def _concerned(move: Move) -> list[Role]:
    """The roles in which the move may have made room or work."""
    roles = {done.role for done in move.done}
    if move.give_back_in_ms is not None or move.account is not None:
        roles.add(Role.SUBMIT)
    if move.poll_in_ms is not None:
        roles.add(Role.CONFIRM)
    if move.owed is not None or move.event is JobEvent.UPSTREAM_ACCEPTED:
        roles.add(Role.DELIVER)
    return sorted(roles)


def dump(order: Mapping[str, Any] | Sequence[Any]) -> bytes:
    return orjson.dumps(order)


def pairs(flat: Sequence[str]) -> dict[str, str]:
    """A Lua reply's flat list of fields as a dict."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
