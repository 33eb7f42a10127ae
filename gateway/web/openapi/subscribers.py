"""The operations by which operators see to deliveries and subscribers, in the API's document."""

from __future__ import annotations

from gateway.tenants import Scope
from gateway.web.openapi.parts import DELIVERY, Document, answer, change, filters, operation, query
from gateway.web.ops.deliveries import PAGE_MAX
from gateway.web.schemas import deliveries, ops
from gateway.web.schemas import subscribers as subscriber_schemas


def subscribers() -> Document:
    return {
        "/ops/api/deliveries": {"get": _list_deliveries()},
        "/ops/api/deliveries/{delivery_id}": {"parameters": [DELIVERY], "get": _show_delivery()},
        "/ops/api/deliveries/{delivery_id}/redeliver": {"parameters": [DELIVERY], "post": _redeliver()},
        "/ops/api/subscribers/parked": {"get": _list_parked()},
        "/ops/api/subscribers/park": {"post": _park()},
        "/ops/api/subscribers/resume": {"post": _resume()},
    }


def _list_deliveries() -> Document:
    tenant = query("tenant", "Of this one.", {"type": "string", "pattern": ops.TENANT})
    return operation(
        "listDeliveriesOfTenant",
        "A tenant's deliveries, newest first",
        Scope.OPS_READ,
        {"200": answer("A page.", deliveries.DeliveryPage)},
        400,
        parameters=[tenant | {"required": True}, *filters()],
    )


def _show_delivery() -> Document:
    answers = {"200": answer("The delivery, with its newest attempts.", subscriber_schemas.OpsDelivery)}
    return operation("showDeliveryOfAny", "Any tenant's delivery", Scope.OPS_READ, answers, 400, 404)


def _redeliver() -> Document:
    answers = {"202": answer("Pending.", subscriber_schemas.OpsDelivery)}
    return operation("redeliverOfAny", "Send it again, now", Scope.OPS_WRITE, answers, 400, 404, 409)


def _list_parked() -> Document:
    limit = {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_MAX}
    return operation(
        "listParkedSubscribers",
        "Subscribers that are left alone for a while",
        Scope.OPS_READ,
        {"200": answer("Those first that are tried again first.", subscriber_schemas.SubscriberList)},
        400,
        parameters=[query("limit", "At most so many.", limit)],
    )


def _park() -> Document:
    answers = {"200": answer("Those that are left alone.", subscriber_schemas.SubscriberList)}
    body = subscriber_schemas.ParkSubscriber
    return change("parkSubscriber", "Send nothing to a subscriber", answers, body)


def _resume() -> Document:
    answers = {"200": answer("Those that still are.", subscriber_schemas.SubscriberList)}
    body = subscriber_schemas.ResumeSubscribers
    return change("resumeSubscribers", "Send to one or all of them again", answers, body)
