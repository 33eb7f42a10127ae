"""What the metrics show of deliveries that wait, and of processes that end."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from prometheus_client.metrics_core import CounterMetricFamily, Metric

from gateway.dispatch import Role
from gateway.local.shared_memory import Shared
from gateway.store import keys
from gateway.web.ops import process_metrics
from gateway.web.state import State
from tests.gateway.web.ops.test_health import samples


async def test_paused_subscribers_and_the_longest_due_delivery_show(
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


def test_the_figures_of_the_processes_are_read_again_when_one_exited_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared = Shared(2)
    for slot, pid in enumerate((1, 2)):
        shared.began(slot, pid)

    class Collector:
        def __init__(self, pid: Callable[[], int], registry: None) -> None:
            self.pid = pid()

        def collect(self) -> list[Metric]:
            if self.pid == 2:
                shared.ended(1, 7.5)
                return []
            return [CounterMetricFamily("process_cpu_seconds", "", value=10)]

    monkeypatch.setattr(process_metrics, "ProcessCollector", Collector)
    found = {metric.name: metric.samples[0].value for metric in process_metrics._processes(shared)}
    assert found == {
        "process_cpu_seconds": 10 + 10 + 7.5,  # the parent, the other one, and the one that ended
        "gateway_processes": 1,
        "gateway_processes_configured": 2,
    }
