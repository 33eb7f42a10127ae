"""Builds the response for an endpoint: its configuration and health, without its secrets and the values
of its headers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from gateway import events
from gateway.delivery import sealing
from gateway.endpoints import Endpoint
from gateway.errors import Notice
from gateway.jobs import rfc3339
from gateway.lifecycle import DeliveryState
from gateway.resources import Resources
from gateway.store import keys
from gateway.store.client import store_errors
from gateway.store.lanes import LaneHealth
from gateway.web.schemas import endpoints as schemas
from gateway.web.schemas.jobs import Warning  # noqa: A004 - its name in the document


async def views(resources: Resources, endpoints: Sequence[Endpoint]) -> list[schemas.Endpoint]:
    """One view per endpoint, in the same order."""
    healths = asyncio.gather(*(resources.lanes.health(endpoint.id) for endpoint in endpoints))
    kept, found = await asyncio.gather(_kept(resources, endpoints), healths)
    now = resources.environment.now_ms()
    return [
        _view(endpoint, health, held, dead, now)
        for endpoint, health, (held, dead) in zip(endpoints, found, kept, strict=True)
    ]


async def view(resources: Resources, endpoint: Endpoint) -> schemas.Endpoint:
    (found,) = await views(resources, [endpoint])
    return found


def warnings_view(warnings: Sequence[Notice]) -> list[Warning]:
    """The `warnings` of a response."""
    return [{"param": one.param, "code": one.code, "message": one.message} for one in warnings]


def _view(endpoint: Endpoint, health: LaneHealth, held: int, dead: int, now: int) -> schemas.Endpoint:
    return {
        "id": endpoint.id,
        "object": "endpoint",
        "url": endpoint.url,
        "events": cast(list[schemas.Filter], list(endpoint.events or events.FINAL_TYPES)),
        "description": endpoint.description,
        "headers": sealing.masked(endpoint),
        "schedule": None if endpoint.schedule is None else list(endpoint.schedule),
        "slots": endpoint.slots,
        "created_at": rfc3339(endpoint.created_at),
        "disabled_at": rfc3339(endpoint.disabled_at),
        "disabled_reason": endpoint.disabled_reason,
        "older_secrets": [
            {"valid_until": rfc3339(secret.until)} for secret in endpoint.previous if secret.until > now
        ],
        "health": {
            "status": _status(endpoint, health),
            "attempts": health.total,
            "failed": health.failed,
            "failing_since": rfc3339(health.failing_since),
            "paused_until": rfc3339(health.paused_until),
            "waiting": health.waiting,
            "in_flight": health.in_flight,
            "held": held,
            "dead": dead,
        },
    }


async def _kept(resources: Resources, endpoints: Sequence[Endpoint]) -> list[tuple[int, int]]:
    """The number of held and of dead deliveries of each endpoint."""
    with store_errors():
        async with resources.redis.pipeline(transaction=False) as pipe:
            for endpoint in endpoints:
                pipe.zcard(keys.lane_deliveries(endpoint.id, DeliveryState.HELD))
                pipe.zcard(keys.lane_deliveries(endpoint.id, DeliveryState.DEAD))
            found: list[int] = await pipe.execute()
    return list(zip(found[::2], found[1::2], strict=True))


def _status(endpoint: Endpoint, health: LaneHealth) -> str:
    if endpoint.disabled_at is not None:
        return "disabled"
    if health.paused:
        return "paused"
    if health.probing:
        return "probing"
    return "failing" if health.failing_since is not None else "ok"
