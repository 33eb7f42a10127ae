"""All operations on endpoints, deliveries and recoveries, one entry each."""

from __future__ import annotations

from typing import Final

from gateway.tenants import Scope
from gateway.web.api import deliveries, endpoint_changes, endpoints, recoveries
from gateway.web.operation import LOCATION, Document, Operation, Reply
from gateway.web.schemas import deliveries as delivery_schemas
from gateway.web.schemas import endpoints as schemas
from gateway.web.schemas import jobs

_WRITE: Final = (Scope.ENDPOINTS_WRITE,)
#: Deliveries may be read by keys that read jobs and by keys that manage endpoints.
_READ: Final = (Scope.JOBS_READ, Scope.ENDPOINTS_WRITE)
#: What counts against the tenant's rate as one kind of request.
_CHANGES: Final = "webhook changes"
_REPLAYED: Final[dict[str, Document]] = {
    "Idempotent-Replayed": {
        "description": "`true` if this is the existing endpoint of the same key and body.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}
ENDPOINTS: Final = (
    Operation(
        "POST", "/v1/endpoints", "createEndpoint", "Create an endpoint: a URL for webhooks", endpoints.create,
        {201: Reply("Created.", schemas.CreatedEndpoint, {**LOCATION, **_REPLAYED})},
        _WRITE, headers=(endpoints.IDEMPOTENCY_KEY,), body=schemas.EndpointRequest, problems=(409,),
        metered=_CHANGES,
    ),
    Operation(
        "GET", "/v1/endpoints", "listEndpoints", "List endpoints", endpoints.page,
        {200: Reply("All endpoints.", schemas.EndpointList)},
        _WRITE,
    ),
    Operation(
        "GET", "/v1/endpoints/{endpoint_id}", "getEndpoint", "Get an endpoint and its health", endpoints.show,
        {200: Reply("The endpoint.", schemas.Endpoint)},
        _WRITE,
    ),
    Operation(
        "PATCH", "/v1/endpoints/{endpoint_id}", "updateEndpoint", "Change, disable or enable an endpoint",
        endpoint_changes.change,
        {200: Reply("The changed endpoint.", schemas.ChangedEndpoint)},
        _WRITE,
        description="409 if other requests keep changing the endpoint at the same moment.",
        body=schemas.EndpointChange, problems=(409,), metered=_CHANGES,
    ),
    Operation(
        "DELETE", "/v1/endpoints/{endpoint_id}", "deleteEndpoint", "Delete an endpoint", endpoints.delete,
        {204: Reply("Deleted. Its pending deliveries are not sent.")},
        _WRITE, metered=_CHANGES,
    ),
    Operation(
        "POST", "/v1/endpoints/{endpoint_id}/rotate", "rotateEndpointSecret",
        "Give an endpoint a new signing secret", endpoint_changes.rotate,
        {
            200: Reply(
                "The endpoint with its new secret. Webhooks are signed with both secrets until the old one "
                "expires.",
                schemas.RotatedEndpoint,
            )
        },
        _WRITE, body=schemas.RotateRequest, body_required=False, problems=(409,), metered=_CHANGES,
    ),
    Operation(
        "POST", "/v1/endpoints/{endpoint_id}/test", "sendTestEvent", "Send a test event to an endpoint",
        endpoint_changes.test,
        {
            200: Reply(
                "The outcome. An event of the type `endpoint.test` was sent, signed like every event. It is "
                "not retried and does not count for the endpoint's health.",
                schemas.TestResult,
            )
        },
        _WRITE, problems=(409,), metered=_CHANGES,
    ),
)  # fmt: skip

DELIVERIES: Final = (
    Operation(
        "GET", "/v1/deliveries", "listDeliveries", "List deliveries, newest first", deliveries.page,
        {200: Reply("A page of deliveries.", delivery_schemas.DeliveryPage)},
        _READ, tag="webhooks", query=deliveries.FILTERS,
    ),
    Operation(
        "GET", "/v1/deliveries/{delivery_id}", "getDelivery", "Get a delivery", deliveries.show,
        {200: Reply("The delivery, with its newest attempts.", jobs.Delivery)},
        _READ, tag="webhooks",
    ),
    Operation(
        "POST", "/v1/deliveries/{delivery_id}/redeliver", "redeliverDelivery", "Send a delivery again, now",
        deliveries.redeliver,
        {
            202: Reply(
                "The delivery is pending. It is sent as soon as its endpoint has a free slot. If the circuit "
                "breaker is open, the endpoint is tried again immediately; while an operator keeps the "
                "endpoint paused, the delivery waits. Its schedule starts again.",
                jobs.Delivery, LOCATION,
            )
        },
        _WRITE, tag="webhooks",
        description="Works in any state: a delivery that waits for its next attempt is sent now. The id and "
        "the bytes of the event stay the same. 409 while an attempt is in progress, and if the endpoint is "
        "disabled or deleted.",
        problems=(409,), metered=_CHANGES,
    ),
)  # fmt: skip

RECOVERIES: Final = (
    Operation(
        "POST", "/v1/endpoints/{endpoint_id}/recover", "recoverEndpoint",
        "Redeliver what an endpoint missed in a time range", recoveries.recover,
        {202: Reply("The recovery runs in the background.", delivery_schemas.Recovery, LOCATION)},
        _WRITE, tag="webhooks",
        description="Deliveries are sent in batches, oldest first, after all other deliveries to the "
        "endpoint. 409 while another recovery of the endpoint is running, and if the endpoint is disabled.",
        body=delivery_schemas.RecoveryRequest, problems=(409,), metered=_CHANGES,
    ),
    Operation(
        "GET", "/v1/endpoints/{endpoint_id}/recoveries", "listRecoveries",
        "List the recoveries of an endpoint", recoveries.page,
        {200: Reply("The newest recoveries.", delivery_schemas.RecoveryList)},
        _READ, tag="webhooks",
    ),
    Operation(
        "GET", "/v1/recoveries/{recovery_id}", "getRecovery", "Get a recovery", recoveries.show,
        {200: Reply("The recovery.", delivery_schemas.Recovery)},
        _READ, tag="webhooks",
    ),
)  # fmt: skip

WEBHOOKS: Final = (*ENDPOINTS, *DELIVERIES, *RECOVERIES)
