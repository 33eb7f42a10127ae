"""Operators' operations that show the state of the service, pause it and resume it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from gateway.jobs import rfc3339
from gateway.tenants import Key
from gateway.web.http.answers import json_answer
from gateway.web.http.params import Params
from gateway.web.ops import accounts, bodies
from gateway.web.schemas import ops as schemas
from gateway.web.state import State, state_of


async def show(request: Request, key: Key, _: Params) -> Response:
    """The state over all processes. Open work is all zeros once all jobs are finished and delivered."""
    return json_answer(await current(state_of(request)))


async def pause(request: Request, key: Key, _: Params) -> Response:
    """The state; nothing is sent to the upstream until the service is resumed."""
    wanted = await bodies.read(request, key, schemas.PauseRequest)
    state = state_of(request)
    await state.resources.lanes.pause_all(wanted.reason, key.id)
    return json_answer(await current(state))


async def resume(request: Request, key: Key, _: Params) -> Response:
    """The state; waiting jobs are sent again."""
    state = state_of(request)
    await state.resources.lanes.resume_all(key.id)
    return json_answer(await current(state))


async def current(state: State) -> schemas.ServiceState:
    """The state over all processes."""
    found = await state.resources.gauges.work_in_progress()
    paused: schemas.Paused | None = None
    if found.paused:
        at = rfc3339(int(found.paused["at"]))
        paused = {"at": at, "by": found.paused["by"], "reason": found.paused["reason"]}
    return {
        "object": "state",
        "paused": paused,
        "counts": found.counts,
        "roles": {role.value: _role(numbers) for role, numbers in found.roles.items()},
        "unknown": found.unknown,
        "deadlines": found.deadlines,
        "account": await accounts.view(state),
    }


def _role(numbers: dict[str, int]) -> schemas.RoleState:
    return {
        "waiting": numbers["waiting"],
        "due": numbers["due"],
        "again": numbers["again"],
        "slots": numbers["slots"],
        "holders": numbers["holders"],
        "inflight": numbers["inflight"],
    }
