"""The metrics as Prometheus' text: the service's from Redis, true whichever process is asked, and this
process' own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from gateway.dispatch import Role, RoleLimits
from gateway.lifecycle import DeliveryState, JobState
from gateway.store.gauges import Gauges, RoleGauges
from gateway.web.traffic import Traffic

MEDIA_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

_PROCESS: Final = CollectorRegistry()
ProcessCollector(registry=_PROCESS)


def render(
    gauges: Gauges | None, durable: bool | None, limits: Mapping[Role, RoleLimits], traffic: Traffic
) -> bytes:
    """`gauges`, `durable`: None when Redis is away."""
    registry = CollectorRegistry()
    registry.register(_Collected(list(_families(gauges, durable, limits, traffic))))
    return generate_latest(registry) + generate_latest(_PROCESS)


class _Collected:
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _families(
    gauges: Gauges | None, durable: bool | None, limits: Mapping[Role, RoleLimits], traffic: Traffic
) -> Iterator[Metric]:
    yield GaugeMetricFamily("gateway_redis_up", "1 when Redis answered", value=0 if gauges is None else 1)
    if durable is not None:
        yield GaugeMetricFamily(
            "gateway_redis_durable", "1 when Redis keeps what it acknowledges", value=int(durable)
        )
    yield from _own(traffic)
    slots = GaugeMetricFamily("gateway_slots", "Slots there are", labels=["role"])
    for role, limit in limits.items():
        slots.add_metric([role], limit.slots)
    yield slots
    if gauges is not None:
        yield GaugeMetricFamily(
            "gateway_sweep_age_seconds", "Since the last sweep by any worker", value=gauges.sweep_age_seconds
        )
        yield from _counts(gauges)
        yield from _queues(gauges)
        yield from _tallies(gauges)


def _own(traffic: Traffic) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "gateway_http_requests", "Requests answered by this process", labels=["route", "status"]
    )
    for (route, status), number in sorted(traffic.requests.items()):
        requests.add_metric([route, str(status)], number)
    yield requests
    callbacks = CounterMetricFamily(
        "gateway_callback_requests", "Callbacks to this process, by effect", labels=["effect"]
    )
    for effect, number in sorted(traffic.callbacks.items()):
        callbacks.add_metric([effect], number)
    yield callbacks


def _counts(gauges: Gauges) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("gateway_jobs", "Jobs kept, by phase", labels=["phase"])
    for phase in JobState:
        jobs.add_metric([phase], gauges.counts.get(f"job:{phase}", 0))
    yield jobs
    deliveries = GaugeMetricFamily("gateway_deliveries", "Deliveries kept, by state", labels=["state"])
    for state in DeliveryState:
        deliveries.add_metric([state], gauges.counts.get(f"delivery:{state}", 0))
    yield deliveries


def _queues(gauges: Gauges) -> Iterator[Metric]:
    rows: dict[str, tuple[str, Callable[[RoleGauges], float]]] = {
        "gateway_queue_depth": ("Waiting in lanes", lambda role: role.waiting),
        "gateway_queue_oldest_age_seconds": ("Age of the longest there", lambda role: role.oldest_seconds),
        "gateway_due": ("To enter a lane later", lambda role: role.due),
        "gateway_due_overdue_seconds": (
            "How late the earliest of these is",
            lambda role: role.overdue_seconds,
        ),
        "gateway_slots_in_use": ("Slots held", lambda role: role.slots),
        "gateway_lease_overdue_seconds": (
            "How long ago the earliest lease ran out",
            lambda role: role.lease_overdue_seconds,
        ),
    }
    for name, (meaning, value) in rows.items():
        family = GaugeMetricFamily(name, meaning, labels=["role"])
        for role, of_role in gauges.roles.items():
            family.add_metric([role], value(of_role))
        yield family


def _tallies(gauges: Gauges) -> Iterator[Metric]:
    """What the scripts counted, `name|outcome`."""
    by_name: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for tally, number in gauges.tally.items():
        name, _, outcome = tally.partition("|")
        by_name[name][outcome] = number
    for name, outcomes in sorted(by_name.items()):
        family = CounterMetricFamily(
            f"gateway_{name}", f"Counted since the start: {name}", labels=["outcome"]
        )
        for outcome, number in sorted(outcomes.items()):
            family.add_metric([outcome], number)
        yield family
