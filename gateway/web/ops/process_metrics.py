"""Metrics of the processes of this gateway, and of what they alone see: the same from each of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from platform import python_version
from typing import Final

from prometheus_client import ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from gateway.local.shared_memory import Shared
from gateway.media.base import Space
from gateway.store.snapshot import Gauges
from gateway.web.http.request_counts import RequestCounts

#: How often the figures are read, until no process ended meanwhile.
_TRIES: Final = 3
#: How the figures of several processes become one, if not by their sum.
_NOT_SUMMED: Final = {"process_start_time_seconds": min, "process_max_fds": min}


def families(
    shared: Shared,
    request_counts: RequestCounts,
    gauges: Gauges | None,
    space: Space | None,
    media_up: bool | None,
    now: float,
    *,
    callbacks: bool,
) -> Iterator[Metric]:
    """Metrics of the processes, and their view of Redis, of the disk and of the media store. The arguments
    are those of `metrics.render`."""
    yield from _processes(shared)
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
    if media_up is not None:
        yield GaugeMetricFamily(
            "gateway_media_up", "1 when this gateway can write and read files", value=int(media_up)
        )
    if space is not None:
        yield GaugeMetricFamily(
            "gateway_disk_free_bytes", "Free bytes on the disk of files", value=space.free
        )
        yield GaugeMetricFamily(
            "gateway_disk_needed_bytes",
            "Bytes that must stay free there: with less, no inline media, upload or copy is stored",
            value=space.needed,
        )


def _processes(shared: Shared) -> Iterator[Metric]:
    """What the operating system knows of the processes and their parent. The CPU seconds of processes that
    ended still count: a counter never goes back."""
    before, found = shared.running(), _figures(shared)
    for _ in range(_TRIES - 1):
        after = shared.running()
        if after == before:
            break
        before, found = after, _figures(shared)  # one that ended meanwhile may be missing
    pids, ended = before
    for name, metrics in found.items():
        value = _NOT_SUMMED.get(name, sum)(metric.samples[0].value for metric in metrics)
        first = metrics[0]
        if first.type == "counter":
            yield CounterMetricFamily(name, first.documentation, value=value + ended)
        else:
            yield GaugeMetricFamily(name, first.documentation, value=value)
    yield GaugeMetricFamily("gateway_processes", "Processes of this gateway that run", value=len(pids))
    yield GaugeMetricFamily(
        "gateway_processes_configured",
        "Processes of this gateway that should run",
        value=shared.processes,
    )


def _figures(shared: Shared) -> dict[str, list[Metric]]:
    """By name, of each process and the parent. Takes long, so it is without the lock."""
    found: dict[str, list[Metric]] = {}
    for pid in {shared.parent, *shared.pids()}:
        for metric in ProcessCollector(pid=partial(int, pid), registry=None).collect():
            found.setdefault(metric.name, []).append(metric)
    return found


def _requests(request_counts: RequestCounts) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "gateway_http_requests", "Requests answered by this gateway", labels=["route", "status"]
    )
    for (route, status), number in sorted(request_counts.requests.items()):
        requests.add_metric([route, str(status)], number)
    yield requests
    callbacks = CounterMetricFamily(
        "gateway_callback_requests", "Callbacks to this gateway, by effect", labels=["effect"]
    )
    for effect, number in sorted(request_counts.callbacks.items()):
        callbacks.add_metric([effect], number)
    yield callbacks
