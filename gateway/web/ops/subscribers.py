"""The operations by which operators pause subscribers and resume them."""

from __future__ import annotations

import math
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import InvalidRequest, Problem
from gateway.jobs import rfc3339
from gateway.store.lanes import PausedLane
from gateway.tenants import Key
from gateway.web.http.answers import json_answer
from gateway.web.http.params import Params, whole
from gateway.web.ops import actions, bodies
from gateway.web.schemas import subscribers as schemas
from gateway.web.state import State, state_of

PAGE_MAX: Final = 1000
LIMIT: Final = whole("limit", "Maximum number of items to return.", 1, PAGE_MAX, PAGE_MAX)


async def paused(request: Request, key: Key, params: Params) -> Response:
    """Subscribers to which nothing is sent for a while, those first that are retried first."""
    return json_answer(await _paused(state_of(request), params[LIMIT]))


async def pause(request: Request, key: Key, _: Params) -> Response:
    """The paused subscribers, this one among them."""
    wanted = await bodies.read(request, key, schemas.PauseSubscriber)
    state = state_of(request)
    await actions.pause_subscriber(state, wanted.subscriber, wanted.seconds, wanted.reason, key.id)
    return json_answer(await _paused(state, PAGE_MAX))


async def resume(request: Request, key: Key, _: Params) -> Response:
    """Those that are still paused. What waits for the others is sent, as if nothing had ever failed."""
    wanted = await bodies.read(request, key, schemas.ResumeSubscribers)
    if wanted.all == (wanted.subscriber is not None):
        message = 'send {"subscriber": ...}, as GET /ops/api/subscribers/paused lists it, or {"all": true}'
        raise InvalidRequest([Problem("subscriber", "required", message)])
    state = state_of(request)
    lanes = state.resources.lanes
    names = [wanted.subscriber] if wanted.subscriber else [one.lane for one in await lanes.paused(PAGE_MAX)]
    await actions.resume_subscribers(state, names, key.id)
    return json_answer(await _paused(state, PAGE_MAX))


async def _paused(state: State, limit: int) -> schemas.SubscriberList:
    data, more = await paused_rows(state, limit)
    return {"object": "list", "data": data, "has_more": more, "next": None}


async def paused_rows(state: State, limit: int) -> tuple[list[schemas.Subscriber], bool]:
    """At most `limit` paused subscribers, and whether there are more."""
    found = await state.resources.lanes.paused(limit + 1)
    return [_view(one) for one in found[:limit]], len(found) > limit


def _view(lane: PausedLane) -> schemas.Subscriber:
    return {
        "object": "subscriber",
        "id": lane.lane,
        "tenant": lane.tenant,
        "url": lane.url,
        "paused_until": rfc3339(int(lane.until)) if math.isfinite(lane.until) else None,
        "waiting": lane.waiting,
    }
