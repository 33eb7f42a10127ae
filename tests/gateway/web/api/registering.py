"""Endpoints for tests: registering one, whose name is looked up without any server of names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
from starlette.applications import Starlette

from gateway.delivery.addresses import Lookup
from gateway.delivery.guard import Guard
from gateway.lifecycle import DeliveryState
from gateway.resources import Resources
from gateway.store import keys

URL = "https://hooks.example.com/video"


async def known(name: str, port: int) -> list[str]:
    """Every name is this machine's."""
    return ["127.0.0.1"]


async def unknown(name: str, port: int) -> list[str]:
    raise OSError("no such name")


async def mixed(name: str, port: int) -> list[str]:
    return ["127.0.0.1", "10.0.0.1"]


def look_up_by(app: Starlette, look_up: Lookup) -> None:
    """Names of URLs that are registered are looked up so from now on."""
    app.state.gateway = replace(app.state.gateway, guard=Guard(["127.0.0.0/8"], look_up=look_up))


async def register(client: httpx.AsyncClient, **wanted: Any) -> dict[str, Any]:
    """The endpoint as it was answered, `path` with it."""
    answer = await client.post("/v1/endpoints", json={"url": URL, **wanted})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return {**made, "path": answer.headers["location"]}


async def keep(resources: Resources, lane: str, state: DeliveryState, count: int) -> None:
    """So many deliveries of the lane in that state, as far as its index knows."""
    index = keys.lane_deliveries(lane, state)
    await resources.redis.zadd(index, {f"{state}_{n}": n for n in range(count)})
