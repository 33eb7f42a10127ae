"""The routes by which operators see the upstream's accounts, park one and let it go on.

`/ops/api/account` is `/ops/api/accounts/main`. Keys are never shown.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.dispatch import ACCOUNT
from gateway.errors import NotFound
from gateway.jobs import rfc3339
from gateway.store.accounts import Pause
from gateway.store.base import Account
from gateway.tenants import Scope
from gateway.web import auth
from gateway.web.http.answers import json_answer
from gateway.web.http.queries import Query
from gateway.web.ops import bodies
from gateway.web.schemas.ops import ParkRequest
from gateway.web.state import State, state_of


async def list_all(request: Request) -> Response:
    """Every account that the settings name, `main` first."""
    await auth.require(request, Scope.OPS_READ)
    Query(request).check()
    data = await documents(state_of(request))
    return json_answer({"object": "list", "data": data, "has_more": False, "next": None})


async def documents(state: State) -> list[dict[str, Any]]:
    return [_view(state, *found) for found in await state.resources.accounts.all()]


async def show(request: Request) -> Response:
    await auth.require(request, Scope.OPS_READ)
    Query(request).check()
    state = state_of(request)
    return json_answer(await account_document(state, name_of(request, state)))


async def park(request: Request) -> Response:
    """The account, parked: nothing is sent with it until `resume`."""
    key = await auth.require(request, Scope.OPS_WRITE)
    Query(request).check()
    state = state_of(request)
    name = name_of(request, state)
    wanted = await bodies.read(request, key, ParkRequest)
    await state.resources.accounts.pause(wanted.reason, key.id, name)
    return json_answer(await account_document(state, name))


async def resume(request: Request) -> Response:
    """The account, not parked any more, whoever had parked it."""
    key = await auth.require(request, Scope.OPS_WRITE)
    Query(request).check()
    state = state_of(request)
    name = name_of(request, state)
    await state.resources.accounts.resume(key.id, name)
    return json_answer(await account_document(state, name))


async def account_document(state: State, name: str = ACCOUNT) -> dict[str, Any]:
    return _view(state, *await state.resources.accounts.read(name))


def name_of(request: Request, state: State) -> str:
    """The account in the path, `main` without one. NotFound for an account that the settings do not name."""
    name: str = request.path_params.get("account", ACCOUNT)
    if all(one.name != name for one in state.resources.accounts.limits):
        raise NotFound("account", "of this name among the gateway's settings")
    return name


def _view(state: State, account: Account, parking: Pause | None) -> dict[str, Any]:
    limits = next(one for one in state.resources.accounts.limits if one.name == account.name)
    return {
        "object": "account",
        "name": account.name,
        "parked": account.parked_at is not None,
        "parked_at": rfc3339(account.parked_at),
        "parked_by": parking and parking.by,
        "reason": account.reason,
        "status": parking and parking.status,
        "code": parking and parking.code,
        "probe_at": rfc3339(parking.probe_at) if parking else None,
        "hold_until": rfc3339(account.hold_until),
        "slots": account.slots,
        "limit": limits.slots,
        "in_flight": account.in_flight,
        "weight": limits.weight,
        "rate": limits.per_second,
    }
