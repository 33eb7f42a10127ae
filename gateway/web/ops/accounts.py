"""Operators' operations on upstream accounts: list, get, pause and resume. API keys are never shown."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from gateway.dispatch import ACCOUNT
from gateway.errors import NotFound
from gateway.jobs import rfc3339
from gateway.store.accounts import Pause
from gateway.store.base import Account
from gateway.tenants import Key
from gateway.web.http.answers import json_answer
from gateway.web.http.params import Params
from gateway.web.ops import bodies
from gateway.web.schemas import ops as schemas
from gateway.web.state import State, state_of


async def page(request: Request, key: Key, _: Params) -> Response:
    """All configured accounts, `main` first."""
    data = await views(state_of(request))
    return json_answer(schemas.AccountList(object="list", data=data, has_more=False, next=None))


async def show(request: Request, key: Key, _: Params) -> Response:
    state = state_of(request)
    return json_answer(await view(state, name_of(request, state)))


async def pause(request: Request, key: Key, _: Params) -> Response:
    """The account, paused: nothing is sent with it until it is resumed."""
    state = state_of(request)
    name = name_of(request, state)
    wanted = await bodies.read(request, key, schemas.PauseRequest)
    await state.resources.accounts.pause(wanted.reason, key.id, name)
    return json_answer(await view(state, name))


async def resume(request: Request, key: Key, _: Params) -> Response:
    """The account, no longer paused, whether an operator or a refusal by the upstream had paused it."""
    state = state_of(request)
    name = name_of(request, state)
    await state.resources.accounts.resume(key.id, name)
    return json_answer(await view(state, name))


async def views(state: State) -> list[schemas.Account]:
    """Every account, `main` first."""
    return [_view(state, *found) for found in await state.resources.accounts.all()]


async def view(state: State, name: str = ACCOUNT) -> schemas.Account:
    return _view(state, *await state.resources.accounts.read(name))


def name_of(request: Request, state: State) -> str:
    """The account in the path. NotFound if it is not configured."""
    name: str = request.path_params["account"]
    if all(one.name != name for one in state.resources.accounts.limits):
        raise NotFound("account", "of this name among the gateway's settings")
    return name


def _view(state: State, account: Account, pause: Pause | None) -> schemas.Account:
    limits = next(one for one in state.resources.accounts.limits if one.name == account.name)
    return {
        "object": "account",
        "name": account.name,
        "state": account.state,
        "paused": account.paused_at is not None,
        "paused_at": rfc3339(account.paused_at),
        "paused_by": pause.by if pause else None,
        "reason": account.reason,
        "status": pause.status if pause else None,
        "code": pause.code if pause else None,
        "probe_at": rfc3339(pause.probe_at) if pause else None,
        "hold_until": rfc3339(account.hold_until),
        "slots": account.slots,
        "limit": limits.slots,
        "in_flight": account.in_flight,
        "weight": limits.weight,
        "rate": limits.per_second,
    }
