"""All operators' operations on deliveries, dead letters and subscribers, one entry each."""

from __future__ import annotations

from typing import Final

from gateway.tenants import Scope
from gateway.web.api.deliveries import FILTERS
from gateway.web.operation import Operation, Reply
from gateway.web.ops import deliveries, queues, subscribers
from gateway.web.ops.filters import TENANT
from gateway.web.schemas import queues as queue_schemas
from gateway.web.schemas import subscribers as schemas
from gateway.web.schemas.deliveries import DeliveryPage

_READ: Final = (Scope.OPS_READ,)
_WRITE: Final = (Scope.OPS_WRITE,)

DELIVERIES: Final = (
    Operation(
        "GET", "/ops/api/deliveries", "opsListDeliveries", "List a tenant's deliveries, newest first",
        deliveries.page,
        {200: Reply("A page of deliveries.", DeliveryPage)},
        _READ, query=(TENANT, *FILTERS),
    ),
    Operation(
        "GET", "/ops/api/deliveries/{delivery_id}", "opsGetDelivery", "Get a delivery of any tenant",
        deliveries.show,
        {200: Reply("The delivery, with its newest attempts.", schemas.OpsDelivery)},
        _READ,
    ),
    Operation(
        "POST", "/ops/api/deliveries/{delivery_id}/redeliver", "opsRedeliverDelivery",
        "Redeliver a delivery of any tenant now", deliveries.redeliver,
        {202: Reply("The delivery is pending.", schemas.OpsDelivery)},
        _WRITE, problems=(409,),
    ),
    Operation(
        "GET", "/ops/api/dead-letters", "listDeadLetters", "List the dead letters of all tenants",
        queues.dead,
        {200: Reply("A page, newest first, without logs.", queue_schemas.DeadLetters)},
        _READ, query=(queues.SKIP, queues.DEAD_LIMIT),
    ),
    Operation(
        "POST", "/ops/api/dead-letters/redeliver", "redeliverDeadLetters",
        "Redeliver the newest dead letters", queues.redeliver_dead,
        {202: Reply("The number of redelivered dead letters.", queue_schemas.Redelivery)},
        _WRITE, body=queue_schemas.RedeliverDead,
    ),
    Operation(
        "GET", "/ops/api/subscribers/paused", "listPausedSubscribers", "List paused subscribers",
        subscribers.paused,
        {200: Reply("Paused subscribers, ordered by when they are retried.", schemas.SubscriberList)},
        _READ, query=(subscribers.LIMIT,),
    ),
    Operation(
        "POST", "/ops/api/subscribers/pause", "pauseSubscriber", "Stop sending to a subscriber",
        subscribers.pause,
        {200: Reply("The paused subscribers.", schemas.SubscriberList)},
        _WRITE, body=schemas.PauseSubscriber,
    ),
    Operation(
        "POST", "/ops/api/subscribers/resume", "resumeSubscribers", "Send to one or all subscribers again",
        subscribers.resume,
        {200: Reply("The subscribers that are still paused.", schemas.SubscriberList)},
        _WRITE, body=schemas.ResumeSubscribers,
    ),
)  # fmt: skip
