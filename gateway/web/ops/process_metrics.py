"""Metrics of this process, and of what it alone sees."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from platform import python_version

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from gateway.blobs import Space
from gateway.store.snapshot import Gauges
from gateway.web.http.request_counts import RequestCounts


def families(
    request_counts: RequestCounts,
    gauges: Gauges | None,
    space: Space | None,
    now: float,
    *,
    callbacks: bool,
) -> Iterator[Metric]:
    """Metrics of this process and its view of Redis and of the disk. The arguments are those of
    `metrics.render`."""
    yield from _requests(request_counts)
    server = "" if gauges is None else gauges.redis_version
    yield InfoMetricFamily(
        "gateway_build",
        "Versions of the gateway, of Python and of Redis or Valkey",
        {"version": version("vidu-gateway"), "python": python_version(), "redis": server},
    )
    yield GaugeMetricFamily(
        "gateway_callbacks_expected", "1 when the upstream is asked to call back", value=int(callbacks)
    )
    if gauges is not None:
        yield GaugeMetricFamily(
            "gateway_clock_skew_seconds", "This process' clock minus Redis' clock", value=now - gauges.now
        )
        yield GaugeMetricFamily(
            "gateway_redis_read_seconds",
            "Time to read the figures of these metrics from Redis",
            value=gauges.read_seconds,
        )
    if space is not None:
        yield GaugeMetricFamily(
            "gateway_disk_free_bytes", "Free bytes on the disk of inline media", value=space.free
        )
        yield GaugeMetricFamily(
            "gateway_disk_needed_bytes",
            "Bytes that must stay free there: with less, jobs with inline media are refused",
            value=space.needed,
        )


def _requests(request_counts: RequestCounts) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "gateway_http_requests", "Requests answered by this process", labels=["route", "status"]
    )
    for (route, status), number in sorted(request_counts.requests.items()):
        requests.add_metric([route, str(status)], number)
    yield requests
    callbacks = CounterMetricFamily(
        "gateway_callback_requests", "Callbacks to this process, by effect", labels=["effect"]
    )
    for effect, number in sorted(request_counts.callbacks.items()):
        callbacks.add_metric([effect], number)
    yield callbacks
