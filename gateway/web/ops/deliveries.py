"""Operators' operations on deliveries of any tenant: list, get and redeliver."""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.endpoints import Delivery
from gateway.errors import NotFound
from gateway.tenants import Key
from gateway.web.api import deliveries
from gateway.web.http.answers import json_answer
from gateway.web.http.params import Params
from gateway.web.ops import actions
from gateway.web.ops.filters import TENANT
from gateway.web.schemas import subscribers as schemas
from gateway.web.schemas.deliveries import DELIVERY_ID
from gateway.web.state import state_of

_DELIVERY_ID: Final = re.compile(DELIVERY_ID)


async def page(request: Request, key: Key, params: Params) -> Response:
    """A tenant's deliveries, newest first, without their logs."""
    return await deliveries.list_page(request, params, params[TENANT], "/ops/api/deliveries")


async def show(request: Request, key: Key, _: Params) -> Response:
    return json_answer(view(await delivery_of(request)))


async def redeliver(request: Request, key: Key, _: Params) -> Response:
    """202 and the delivery, which is sent as soon as its lane has a free slot. It also ends a timed pause of
    its subscriber."""
    found = await actions.redeliver(state_of(request), await delivery_of(request), key.id)
    return json_answer(view(found), 202)


def view(delivery: Delivery) -> schemas.OpsDelivery:
    """The delivery as operators see it."""
    return {**deliveries.public_delivery(delivery), "tenant": delivery.tenant}


def summary(delivery: Delivery) -> schemas.OpsDeliverySummary:
    """The delivery as operators see it in lists, without its log."""
    return {**deliveries.public_delivery(delivery, log=False), "tenant": delivery.tenant}


async def delivery_of(request: Request) -> Delivery:
    """The delivery in the path, of any tenant; NotFound."""
    name = request.path_params["delivery_id"]
    found = await state_of(request).resources.deliveries.find(name) if _DELIVERY_ID.fullmatch(name) else None
    if found is None:
        raise NotFound("delivery", name)
    return found
