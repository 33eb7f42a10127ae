"""The routes of deliveries: look at what is and was owed, and have one sent again."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from gateway.endpoints import Delivery
from gateway.errors import Conflict, GatewayError, NotFound, Problem, ScopeMissing
from gateway.jobs import JOB_ID, rfc3339
from gateway.lifecycle import DeliveryState
from gateway.store.delivery_base import DeliveryQuery, Hindrance
from gateway.tenants import Key, Scope
from gateway.web import auth
from gateway.web.http.answers import json_answer
from gateway.web.http.problems import Refusal
from gateway.web.http.queries import Query
from gateway.web.schemas.deliveries import DELIVERY_ID
from gateway.web.schemas.jobs import ENDPOINT_ID
from gateway.web.state import state_of

PAGE_DEFAULT: Final = 20
PAGE_MAX: Final = 100
FILTERS: Final = ("state", "endpoint", "job", "after", "limit")
_DELIVERY_ID: Final = re.compile(DELIVERY_ID)
_ENDPOINT_ID: Final = re.compile(ENDPOINT_ID)


async def page(request: Request) -> Response:
    """The tenant's deliveries, newest first, without their logs."""
    key = await reader(request)
    return await listed(request, Query(request, *FILTERS), key.tenant, "/v1/deliveries")


async def listed(request: Request, query: Query, tenant: str, path: str) -> Response:
    """A page of a tenant's deliveries. `path`: where the next one is asked for."""
    state = query.choice("state", DeliveryState)
    endpoint = query.text("endpoint", _ENDPOINT_ID, "the id of an endpoint")
    job = query.text("job", JOB_ID, "the id of a job")
    after = query.text("after", _DELIVERY_ID, "the id of a delivery")
    limit = query.whole("limit", 1, PAGE_MAX, PAGE_DEFAULT)
    query.check()
    wanted = DeliveryQuery(
        tenant=tenant,
        states=[DeliveryState(state)] if state else list(DeliveryState),
        lane=endpoint,
        job_id=job,
        after=None if after is None else await _cursor(request, tenant, after),
        limit=limit,
    )
    found = await state_of(request).resources.deliveries.page(wanted)
    # The index of a lane knows no tenants, and a lane is of one alone.
    mine = [delivery for delivery in found.deliveries if delivery.tenant == tenant]
    more, following = found.more and bool(mine), None
    if more:
        given = {"after": mine[-1].id, "limit": limit, "state": state, "endpoint": endpoint, "job": job}
        if not path.startswith("/v1/"):
            given = {"tenant": tenant, **given}
        named = {name: value for name, value in given.items() if value is not None}
        following = f"{path}?{urlencode(named)}"
    data = [public_delivery(delivery, log=False) for delivery in mine]
    return json_answer({"object": "list", "data": data, "has_more": more, "next": following})


async def show(request: Request) -> Response:
    """The delivery, with its newest attempts."""
    key = await reader(request)
    Query(request).check()
    return json_answer(public_delivery(await _owned(request, key)))


async def redeliver(request: Request) -> Response:
    """202 and the delivery, which is pending and sent as soon as its lane has room. Conflict when its
    endpoint gets nothing any more, or while an attempt is under way."""
    key = await auth.require(request, Scope.ENDPOINTS_WRITE)
    Query(request).check()
    resources = state_of(request).resources
    delivery = await _owned(request, key)
    found = await resources.deliveries.redeliver(delivery, resources.environment.new_ulid())
    if isinstance(found, Hindrance):
        raise hindered(found, delivery)
    return json_answer(public_delivery(found), 202, {"location": f"/v1/deliveries/{found.id}"})


async def reader(request: Request) -> Key:
    """The key of who may look: who reads jobs sees their deliveries, and so does who keeps endpoints."""
    try:
        return await auth.require(request, Scope.ENDPOINTS_WRITE)
    except ScopeMissing:  # whoever has neither is told of the lesser one
        return await auth.require(request, Scope.JOBS_READ)


def public_delivery(delivery: Delivery, *, log: bool = True) -> dict[str, Any]:
    """The delivery as its owner sees it."""
    document = {
        "id": delivery.id,
        "object": "delivery",
        "state": delivery.state,
        "event": {"id": delivery.event_id, "type": delivery.event_type},
        "job": delivery.job_id,
        "endpoint": delivery.endpoint_id,
        "url": delivery.url,
        "created_at": rfc3339(delivery.created_at),
        "attempts": delivery.attempts,
        "since": delivery.since,
        "trigger": delivery.trigger,
        "next_attempt_at": rfc3339(delivery.next_attempt_at),
    }
    return {**document, "log": delivery.log} if log else document


async def _owned(request: Request, key: Key) -> Delivery:
    """The delivery in the path. NotFound for no such delivery and for another tenant's alike."""
    name = request.path_params["delivery_id"]
    if not _DELIVERY_ID.fullmatch(name):
        raise NotFound("delivery", "of this form; ids look like dlv_..., as GET /v1/deliveries lists them")
    found = await state_of(request).resources.deliveries.read(key.tenant, name)
    if found is None:
        raise NotFound("delivery", name)
    return found


async def _cursor(request: Request, tenant: str, after: str) -> Delivery:
    found = await state_of(request).resources.deliveries.read(tenant, after)
    if found is None:
        message = "is not, or no longer, the id of such a delivery; begin without it"
        raise Refusal(400, "wrong: after", [Problem("after", "wrong_form", message)])
    return found


def hindered(why: Hindrance, delivery: Delivery) -> GatewayError:
    """Why it is not sent again."""
    match why:
        case Hindrance.MISSING:
            return NotFound("delivery", delivery.id)
        case Hindrance.DELETED:
            instead = f"see the job itself: GET /v1/jobs/{delivery.job_id}"
            return Conflict(f"the endpoint {delivery.endpoint_id} was deleted; {instead}")
        case Hindrance.DISABLED:
            return Conflict(disabled(str(delivery.endpoint_id)))
        case Hindrance.UNDER_WAY:
            return Conflict("an attempt is under way just now; look at what comes of it, then ask again")


def disabled(endpoint_id: str) -> str:
    """Why nothing is sent to the endpoint, and the way out."""
    return (
        f"the endpoint {endpoint_id} is disabled; enable it first: "
        f'PATCH /v1/endpoints/{endpoint_id} with {{"disabled": false}}'
    )
