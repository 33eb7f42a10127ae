"""Operators' operations that list ops events and quarantined callbacks."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from gateway.tenants import Key
from gateway.web.http.answers import json_answer
from gateway.web.http.params import Params
from gateway.web.ops.entries import entry
from gateway.web.ops.filters import AFTER, LIMIT
from gateway.web.schemas import ops as schemas
from gateway.web.state import state_of


async def events(request: Request, key: Key, params: Params) -> Response:
    """Ops events, oldest first."""
    limit = params[LIMIT]
    found = await state_of(request).resources.ops_log.events(params[AFTER], limit)
    data = [entry(row, schemas.OpsEvent) for row in found.rows]
    following = f"/ops/api/events?after={data[-1]['id']}&limit={limit}" if found.more else None
    return json_answer(schemas.OpsEventList(object="list", data=data, has_more=found.more, next=following))


async def quarantine(request: Request, key: Key, params: Params) -> Response:
    """Genuine callbacks that could not be understood, oldest first."""
    limit = params[LIMIT]
    found = await state_of(request).resources.ops_log.quarantine(params[AFTER], limit)
    data = [entry(row, schemas.Quarantined) for row in found.rows]
    following = f"/ops/api/quarantine?after={data[-1]['id']}&limit={limit}" if found.more else None
    return json_answer(schemas.QuarantineList(object="list", data=data, has_more=found.more, next=following))
