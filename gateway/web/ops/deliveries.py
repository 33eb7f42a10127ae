"""The routes by which operators see to deliveries of any tenant: what is owed, sending it again, and
subscribers that are left alone for a while."""

from __future__ import annotations

import math
import re
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway import tenants
from gateway.endpoints import Delivery
from gateway.errors import InvalidRequest, NotFound, Problem
from gateway.jobs import rfc3339
from gateway.tenants import Scope
from gateway.web import auth
from gateway.web.api import deliveries
from gateway.web.http.answers import json_answer
from gateway.web.http.queries import Query
from gateway.web.ops import actions, bodies
from gateway.web.schemas.deliveries import DELIVERY_ID
from gateway.web.schemas.subscribers import ParkSubscriber, ResumeSubscribers
from gateway.web.state import State, state_of

PAGE_MAX: Final = 1000
_DELIVERY_ID: Final = re.compile(DELIVERY_ID)


async def page(request: Request) -> Response:
    """A tenant's deliveries, newest first, without their logs."""
    await auth.require(request, Scope.OPS_READ)
    query = Query(request, "tenant", *deliveries.FILTERS)
    tenant = query.text("tenant", tenants.TENANT, "the name of a tenant")
    if tenant is None:
        query.problems.append(Problem("tenant", "required", "say whose: tenant=NAME"))
    return await deliveries.listed(request, query, tenant or "", "/ops/api/deliveries")


async def show(request: Request) -> Response:
    await auth.require(request, Scope.OPS_READ)
    Query(request).check()
    found = await delivery_of(request)
    return json_answer({"tenant": found.tenant, **deliveries.public_delivery(found)})


async def redeliver(request: Request) -> Response:
    """202 and the delivery, which is sent as soon as its lane has room; also if that is left alone."""
    key = await auth.require(request, Scope.OPS_WRITE)
    Query(request).check()
    found = await actions.redeliver(state_of(request), await delivery_of(request), key.id)
    return json_answer({"tenant": found.tenant, **deliveries.public_delivery(found)}, 202)


async def parked(request: Request) -> Response:
    """Subscribers to whom nothing is sent for a while, those first that are tried again first."""
    await auth.require(request, Scope.OPS_READ)
    query = Query(request, "limit")
    limit = query.whole("limit", 1, PAGE_MAX, PAGE_MAX)
    query.check()
    return await _parked(state_of(request), limit)


async def park(request: Request) -> Response:
    """The subscribers that are left alone, this one among them."""
    key = await auth.require(request, Scope.OPS_WRITE)
    Query(request).check()
    wanted = await bodies.read(request, key, ParkSubscriber)
    state = state_of(request)
    await actions.park_subscriber(state, wanted.subscriber, wanted.seconds, wanted.reason, key.id)
    return await _parked(state, PAGE_MAX)


async def resume(request: Request) -> Response:
    """Those that are still left alone; what waits for the others is sent, as if nothing had ever failed."""
    key = await auth.require(request, Scope.OPS_WRITE)
    Query(request).check()
    wanted = await bodies.read(request, key, ResumeSubscribers)
    if wanted.all == (wanted.subscriber is not None):
        message = 'send {"subscriber": ...}, as GET /ops/api/subscribers/parked has it, or {"all": true}'
        raise InvalidRequest([Problem("subscriber", "required", message)])
    state = state_of(request)
    lanes = state.resources.lanes
    names = [wanted.subscriber] if wanted.subscriber else [one.lane for one in await lanes.paused(PAGE_MAX)]
    await actions.resume_subscribers(state, names, key.id)
    return await _parked(state, PAGE_MAX)


async def _parked(state: State, limit: int) -> Response:
    data, more = await parked_rows(state, limit)
    return json_answer({"object": "list", "data": data, "has_more": more, "next": None})


async def parked_rows(state: State, limit: int) -> tuple[list[dict[str, Any]], bool]:
    """At most `limit` subscribers that are left alone, and whether there are more."""
    found = await state.resources.lanes.paused(limit + 1)
    rows = [
        {
            "object": "subscriber",
            "id": one.lane,
            "tenant": one.tenant,
            "url": one.url,
            "parked_until": rfc3339(int(one.until)) if math.isfinite(one.until) else None,
            "waiting": one.waiting,
        }
        for one in found[:limit]
    ]
    return rows, len(found) > limit


async def delivery_of(request: Request) -> Delivery:
    """The delivery in the path, of any tenant; NotFound."""
    name = request.path_params["delivery_id"]
    found = await state_of(request).resources.deliveries.find(name) if _DELIVERY_ID.fullmatch(name) else None
    if found is None:
        raise NotFound("delivery", name)
    return found
