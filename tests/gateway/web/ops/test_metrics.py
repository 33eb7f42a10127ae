"""What the metrics tell of deliveries that wait."""

from __future__ import annotations

import httpx
import pytest

from gateway.dispatch import Role
from gateway.store import keys
from gateway.web.state import State
from tests.gateway.web.ops.test_health import samples


async def test_parked_subscribers_and_the_longest_due_delivery_show(
    state: State, nobody: httpx.AsyncClient
) -> None:
    found = samples((await nobody.get("/metrics")).text)
    assert found["gateway_deliveries_parked_lanes",] == found["gateway_deliveries_oldest_due_seconds",] == 0
    await state.resources.lanes.pause(Role.DELIVER, "ep_1", None)
    redis = state.resources.redis
    seconds, _ = await redis.time()
    await redis.zadd(keys.waiting(Role.DELIVER), {"ep_1|dlv_1": (seconds - 600) * 1000})
    await redis.zadd(keys.due(Role.DELIVER), {"ep_2|dlv_2": (seconds - 60) * 1000})
    found = samples((await nobody.get("/metrics")).text)
    assert found["gateway_deliveries_parked_lanes",] == 1
    assert found["gateway_deliveries_oldest_due_seconds",] == pytest.approx(600, abs=10)
    await redis.zadd(keys.due(Role.DELIVER), {"ep_2|dlv_2": (seconds - 900) * 1000})
    found = samples((await nobody.get("/metrics")).text)
    assert found["gateway_deliveries_oldest_due_seconds",] == pytest.approx(900, abs=10)
