"""Operators' operations on paused subscribers: list, pause and resume."""

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
from gateway.web.http.params import Params, integer
from gateway.web.ops import actions, bodies
from gateway.web.schemas import subscribers as schemas
from gateway.web.state import State, state_of

PAGE_MAX: Final = 1000
LIMIT: Final = integer("limit", "Maximum number of items to return.", 1, PAGE_MAX, PAGE_MAX)


async def paused(request: Request, key: Key, params: Params) -> Response:
    """The paused subscribers, ordered by when they are retried."""
    return json_answer(await _paused(state_of(request), params[LIMIT]))


async def pause(request: Request, key: Key, _: Params) -> Response:
    """The paused subscribers, including this one."""
    wanted = await bodies.read(request, key, schemas.PauseSubscriber)
    state = state_of(request)
    await actions.pause_subscriber(state, wanted.subscriber, wanted.seconds, wanted.reason, key.id)
    return json_answer(await _paused(state, PAGE_MAX))


async def resume(request: Request, key: Key, _: Params) -> Response:
    """The subscribers that are still paused. Deliveries to the resumed ones are sent immediately."""
    wanted = await bodies.read(request, key, schemas.ResumeSubscribers)
    if wanted.all == (wanted.subscriber is not None):
        message = 'send {"subscriber": ...} with an id from GET /ops/api/subscribers/paused, or {"all": true}'
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
        "paused_by": lane.by,
        "reason": lane.reason,
        "waiting": lane.waiting,
    }
