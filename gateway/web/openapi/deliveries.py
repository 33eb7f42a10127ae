"""The operations of deliveries and recoveries in the API's document."""

from __future__ import annotations

from typing import Final

from gateway.lifecycle import DeliveryState
from gateway.tenants import Scope
from gateway.web.api.deliveries import PAGE_DEFAULT, PAGE_MAX
from gateway.web.openapi.parts import ENDPOINT, LOCATION, Document, answer, operation, path, query
from gateway.web.schemas import deliveries as delivery_schemas
from gateway.web.schemas import jobs

DELIVERY: Final = path("delivery_id", delivery_schemas.DELIVERY_ID)
_RECOVERY: Final = path("recovery_id", delivery_schemas.RECOVERY_ID)


def deliveries() -> Document:
    return {
        "/v1/deliveries": {"get": _list_deliveries()},
        "/v1/deliveries/{delivery_id}": {"parameters": [DELIVERY], "get": _show_delivery()},
        "/v1/deliveries/{delivery_id}/redeliver": {"parameters": [DELIVERY], "post": _redeliver()},
        "/v1/endpoints/{endpoint_id}/recover": {"parameters": [ENDPOINT], "post": _recover()},
        "/v1/endpoints/{endpoint_id}/recoveries": {"parameters": [ENDPOINT], "get": _list_recoveries()},
        "/v1/recoveries/{recovery_id}": {"parameters": [_RECOVERY], "get": _show_recovery()},
    }


def filters() -> list[Document]:
    """What lists of deliveries may be asked for."""
    limit = {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT}
    return [
        query("state", "Only these.", {"type": "string", "enum": list(DeliveryState)}),
        query("endpoint", "To this endpoint.", {"type": "string", "pattern": jobs.ENDPOINT_ID}),
        query("job", "Of this job.", {"type": "string", "pattern": jobs.JOB_ID}),
        query(
            "after",
            "Older than this delivery.",
            {"type": "string", "pattern": delivery_schemas.DELIVERY_ID},
        ),
        query("limit", "At most so many.", limit),
    ]


def _list_deliveries() -> Document:
    made = operation(
        "listAllDeliveries",
        "List deliveries, newest first",
        Scope.JOBS_READ,
        {"200": answer("A page.", delivery_schemas.DeliveryPage)},
        400,
        parameters=filters(),
    )
    return _readable(made)


def _show_delivery() -> Document:
    answers = {"200": answer("The delivery, with its newest attempts.", jobs.Delivery)}
    return _readable(operation("showDelivery", "Look at a delivery", Scope.JOBS_READ, answers, 400, 404))


def _redeliver() -> Document:
    meaning = (
        "It is pending, and sent as soon as its endpoint has room; while the endpoint fails so much that "
        "nothing is sent to it, when it is tried again. The schedule begins anew."
    )
    answers = {"202": answer(meaning, jobs.Delivery, headers=LOCATION)}
    made = operation("redeliver", "Send a delivery again, now", Scope.ENDPOINTS_WRITE, answers, 400, 404, 409)
    return _more(
        made,
        "In any state: what waits for its next attempt is sent now instead. The event's id and bytes stay "
        "the same. 409 while an attempt is under way, and when the endpoint is disabled or deleted.",
    )


def _recover() -> Document:
    answers = {"202": answer("It runs in the background.", delivery_schemas.Recovery, headers=LOCATION)}
    made = operation(
        "recover",
        "Send again what an endpoint was not told",
        Scope.ENDPOINTS_WRITE,
        answers,
        400, 404, 408, 409, 413, 415, 422,
        body=delivery_schemas.RecoveryRequest,
    )  # fmt: skip
    return _more(
        made,
        "A part at a time, oldest first, behind all else that the endpoint is owed. 409 while one runs, and "
        "when the endpoint is disabled.",
    )


def _list_recoveries() -> Document:
    answers = {"200": answer("The newest.", delivery_schemas.RecoveryList)}
    return _readable(
        operation("listRecoveries", "List an endpoint's recoveries", Scope.JOBS_READ, answers, 400, 404)
    )


def _show_recovery() -> Document:
    answers = {"200": answer("The recovery.", delivery_schemas.Recovery)}
    return _readable(operation("showRecovery", "Look at a recovery", Scope.JOBS_READ, answers, 400, 404))


def _readable(made: Document) -> Document:
    either = f"Needs the scope `{Scope.JOBS_READ}` or `{Scope.ENDPOINTS_WRITE}`."
    return {**made, "description": either, "tags": ["webhooks"]}


def _more(made: Document, text: str) -> Document:
    return {**made, "description": f"{text} {made['description']}", "tags": ["webhooks"]}
