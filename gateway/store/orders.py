"""Python's moves as the documents that the scripts read. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from gateway.dispatch import BATCH, Role, RoleLimits
from gateway.endpoints import callback_lane
from gateway.jobs import Job, to_fields
from gateway.lifecycle import FINAL, DeliveryState, JobEvent, job_moves
from gateway.store.base import Move
from gateway.tickets import confirm_ticket, submit_ticket

Roles = Mapping[Role, RoleLimits]

# Enumerations are no keys for JSON: the scripts get plain texts.
_FINAL_JOB: Final = {state.value: True for state in FINAL}
_MOVES: Final = {
    event: {before.value: after.value for before, after in job_moves(event).items()} for event in JobEvent
}


def limits_of(roles: Roles, *wanted: Role) -> dict[str, list[int]]:
    """The `dispatch` document: {role: [slots, slots of a lane, lease in ms, batch]}."""
    return {
        role.value: [roles[role].slots, roles[role].lane_slots, roles[role].lease_ms, BATCH]
        for role in wanted
    }


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
    if move.give_back_in_ms is not None:
        after["give_back"] = [Role.SUBMIT, ticket, move.give_back_in_ms]
    if move.poll_in_ms is not None:
        after["due"] = [Role.CONFIRM, str(confirm_ticket(job)), move.poll_in_ms]
    if move.hold_ms is not None:
        after["hold"] = [Role.SUBMIT, ticket, move.hold_ms]
    order: dict[str, Any] = {
        "kind": "job",
        "name": job.id,
        "event": move.event,
        "moves": _MOVES[move.event],
        "final": _FINAL_JOB,
        "expect": {name: "" if value is None else str(value) for name, value in move.expect.items()},
        "set": texts(**move.fields),
        "set_once": texts(**move.once),
        "add": move.add,
        "unset": list(move.unset),
        "after": after,
        "leave": [[done.role, str(done)] for done in move.done],
        "tally": list(move.tally),
        "dispatch": limits_of(roles, *_concerned(move)),
    }
    if move.holder is not None:
        order["holder"] = [move.holder.role, str(move.holder), move.holder.ring]
    if move.owed is not None:
        event = move.owed
        order["at"] = event.created_at
        order["owed"] = {
            "id": event.id,
            "type": event.type,
            "job_id": event.job_id,
            "tenant": event.tenant,
            "at": event.created_at,
            "pending": DeliveryState.PENDING,
            "held": DeliveryState.HELD,
        }
        if move.callback_url:
            order["owed"] |= {
                "callback_url": move.callback_url,
                "callback_lane": callback_lane(event.tenant, move.callback_url),
            }
    return order


def _concerned(move: Move) -> list[Role]:
    """The roles in which the move may have made room or work."""
    roles = {done.role for done in move.done}
    if move.give_back_in_ms is not None:
        roles.add(Role.SUBMIT)
    if move.poll_in_ms is not None:
        roles.add(Role.CONFIRM)
    if move.owed is not None:
        roles.add(Role.DELIVER)
    return sorted(roles)


def dump(order: Mapping[str, Any]) -> bytes:
    return orjson.dumps(order)


def pairs(flat: Sequence[str]) -> dict[str, str]:
    """A Lua reply's flat list of fields as a dict."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
