"""An endpoint as its owner sees it: what was registered, and how it does. Its secrets are no part of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.endpoints import Endpoint, public_endpoint
from gateway.errors import Notice
from gateway.jobs import rfc3339
from gateway.lifecycle import DeliveryState
from gateway.resources import Resources
from gateway.store import keys
from gateway.store.client import store_errors
from gateway.store.lanes import LaneHealth

_KEPT: Final = (DeliveryState.HELD, DeliveryState.DEAD)


async def views(resources: Resources, endpoints: Sequence[Endpoint]) -> list[dict[str, Any]]:
    """One for each endpoint, in their order."""
    healths = asyncio.gather(*(resources.lanes.health(endpoint.id) for endpoint in endpoints))
    kept, found = await asyncio.gather(_kept(resources, endpoints), healths)
    now = resources.environment.now_ms()
    return [
        {
            **public_endpoint(endpoint),
            "older_secrets": [
                {"valid_until": rfc3339(secret.until)} for secret in endpoint.previous if secret.until > now
            ],
            "health": {**_health(endpoint, health), **counts},
        }
        for endpoint, health, counts in zip(endpoints, found, kept, strict=True)
    ]


async def view(resources: Resources, endpoint: Endpoint) -> dict[str, Any]:
    (found,) = await views(resources, [endpoint])
    return found


def told(warnings: Sequence[Notice]) -> list[dict[str, str]]:
    """What an answer says under `warnings`."""
    return [{"param": one.param, "code": one.code, "message": one.message} for one in warnings]


async def _kept(resources: Resources, endpoints: Sequence[Endpoint]) -> list[Mapping[str, int]]:
    """How many of each one's deliveries wait to be asked for."""
    with store_errors():
        async with resources.redis.pipeline(transaction=False) as pipe:
            for endpoint in endpoints:
                for state in _KEPT:
                    pipe.zcard(keys.lane_deliveries(endpoint.id, state))
            found: list[int] = await pipe.execute()
    names = [state.value for state in _KEPT]
    width = len(names)
    return [
        dict(zip(names, found[at : at + width], strict=True))
        for at in range(0, width * len(endpoints), width)
    ]


def _health(endpoint: Endpoint, health: LaneHealth) -> dict[str, Any]:
    return {
        "status": _status(endpoint, health),
        "attempts": health.total,
        "failed": health.failed,
        "failing_since": rfc3339(health.failing_since),
        "parked_until": rfc3339(health.paused_until),
        "waiting": health.waiting,
        "in_flight": health.in_flight,
    }


def _status(endpoint: Endpoint, health: LaneHealth) -> str:
    if endpoint.disabled_at is not None:
        return "disabled"
    if health.paused:
        return "parked"
    if health.probing:
        return "probing"
    return "failing" if health.failing_since is not None else "ok"
