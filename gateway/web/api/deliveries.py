"""Operations on deliveries: list, get and redeliver."""

from __future__ import annotations

import re
from typing import Any, Final, Literal, cast, overload
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from gateway.endpoints import Delivery
from gateway.errors import Conflict, GatewayError, NotFound, Problem
from gateway.jobs import rfc3339
from gateway.lifecycle import DeliveryState
from gateway.store.delivery_base import DeliveryQuery, Hindrance
from gateway.tenants import Key
from gateway.web.http.answers import json_answer
from gateway.web.http.params import Param, Params, choice, integer, refusal, text
from gateway.web.schemas import jobs
from gateway.web.schemas.deliveries import DELIVERY_ID, DeliveryPage
from gateway.web.schemas.jobs import ENDPOINT_ID, JOB_ID
from gateway.web.state import state_of

PAGE_DEFAULT: Final = 20
PAGE_MAX: Final = 100
STATE: Final = choice("state", "Only deliveries in this state.", DeliveryState)
ENDPOINT: Final = text("endpoint", "Only deliveries to this endpoint.", ENDPOINT_ID, "the id of an endpoint")
JOB: Final = text("job", "Only deliveries of this job.", JOB_ID, "the id of a job")
AFTER: Final = text("after", "Only deliveries older than this one.", DELIVERY_ID, "the id of a delivery")
LIMIT: Final = integer("limit", "Maximum number of items to return.", 1, PAGE_MAX, PAGE_DEFAULT)
FILTERS: Final[tuple[Param[Any], ...]] = (STATE, ENDPOINT, JOB, AFTER, LIMIT)
_DELIVERY_ID: Final = re.compile(DELIVERY_ID)


async def page(request: Request, key: Key, params: Params) -> Response:
    """The tenant's deliveries, newest first, without their logs."""
    return await list_page(request, params, key.tenant, "/v1/deliveries")


async def list_page(request: Request, params: Params, tenant: str, path: str) -> Response:
    """A page of a tenant's deliveries. `path`: path of the link to the next page."""
    state, after, limit = params[STATE], params[AFTER], params[LIMIT]
    wanted = DeliveryQuery(
        tenant=tenant,
        states=[state] if state else list(DeliveryState),
        lane=params[ENDPOINT],
        job_id=params[JOB],
        after=None if after is None else await _cursor(request, tenant, after),
        limit=limit,
    )
    found = await state_of(request).resources.deliveries.page(wanted)
    # The index of a lane is not filtered by tenant; each lane belongs to one tenant.
    mine = [delivery for delivery in found.deliveries if delivery.tenant == tenant]
    more, following = found.more and bool(mine), None
    if more:
        given = {
            "after": mine[-1].id,
            "limit": limit,
            "state": state,
            "endpoint": params[ENDPOINT],
            "job": params[JOB],
        }
        if not path.startswith("/v1/"):
            given = {"tenant": tenant, **given}
        named = {name: value for name, value in given.items() if value is not None}
        following = f"{path}?{urlencode(named)}"
    page: DeliveryPage = {
        "object": "list",
        "data": [public_delivery(delivery, log=False) for delivery in mine],
        "has_more": more,
        "next": following,
    }
    return json_answer(page)


async def show(request: Request, key: Key, _: Params) -> Response:
    """The delivery, with its newest attempts."""
    return json_answer(public_delivery(await _owned(request, key)))


async def redeliver(request: Request, key: Key, _: Params) -> Response:
    """202 and the delivery, which is pending and sent as soon as its lane has a free slot. Conflict if its
    endpoint is disabled or deleted, or while an attempt is in progress."""
    resources = state_of(request).resources
    delivery = await _owned(request, key)
    found = await resources.deliveries.redeliver(delivery, resources.environment.new_ulid())
    if isinstance(found, Hindrance):
        raise hindrance_error(found, delivery)
    return json_answer(public_delivery(found), 202, {"location": f"/v1/deliveries/{found.id}"})


@overload
def public_delivery(delivery: Delivery) -> jobs.Delivery: ...
@overload
def public_delivery(delivery: Delivery, *, log: Literal[False]) -> jobs.DeliverySummary: ...
def public_delivery(delivery: Delivery, *, log: bool = True) -> jobs.Delivery | jobs.DeliverySummary:
    """The delivery as its owner sees it."""
    summary: jobs.DeliverySummary = {
        "id": delivery.id,
        "object": "delivery",
        "state": delivery.state,
        "event": {"id": delivery.event_id, "type": delivery.event_type},
        "job": delivery.job_id,
        "endpoint": delivery.endpoint_id,
        "url": delivery.url,
        "created_at": rfc3339(delivery.created_at),
        "attempts": delivery.attempts,
        "attempts_before": delivery.since,
        "trigger": delivery.trigger,
        "next_attempt_at": rfc3339(delivery.next_attempt_at),
    }
    if not log:
        return summary
    # The workers store the log in this shape.
    whole: jobs.Delivery = {**summary, "log": cast(list[jobs.Attempt], delivery.log)}
    return whole


async def _owned(request: Request, key: Key) -> Delivery:
    """The delivery in the path. NotFound if it does not exist or belongs to another tenant."""
    name = request.path_params["delivery_id"]
    if not _DELIVERY_ID.fullmatch(name):
        raise NotFound("delivery", "of this form; ids look like dlv_..., as GET /v1/deliveries lists them")
    found = await state_of(request).resources.deliveries.read(key.tenant, name)
    if found is None:
        raise NotFound("delivery", name, expires=True)
    return found


async def _cursor(request: Request, tenant: str, after: str) -> Delivery:
    found = await state_of(request).resources.deliveries.read(tenant, after)
    if found is None:
        message = "is not the id of a delivery, or it is no longer kept; start without it"
        raise refusal(Problem("after", "wrong_form", message))
    return found


def hindrance_error(why: Hindrance, delivery: Delivery) -> GatewayError:
    """The error for a delivery that cannot be redelivered."""
    match why:
        case Hindrance.MISSING:
            return NotFound("delivery", delivery.id, expires=True)
        case Hindrance.DELETED:
            instead = f"see the job itself: GET /v1/jobs/{delivery.job_id}"
            return Conflict(f"the endpoint {delivery.endpoint_id} was deleted; {instead}")
        case Hindrance.DISABLED:
            return Conflict(disabled_message(str(delivery.endpoint_id)))
        case Hindrance.UNDER_WAY:
            return Conflict("an attempt is in progress; check its outcome, then try again")


def disabled_message(endpoint_id: str) -> str:
    """Says that the endpoint is disabled, and how to enable it."""
    return (
        f"the endpoint {endpoint_id} is disabled; enable it first: "
        f'PATCH /v1/endpoints/{endpoint_id} with {{"disabled": false}}'
    )
