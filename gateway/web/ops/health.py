"""Liveness, readiness and metrics. They need no key and show no secrets; keep them on a private network."""

from __future__ import annotations

import contextlib

from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import RateLimited, StoreUnavailable, Unavailable
from gateway.store import durability
from gateway.store.lane_views import FailingSubscriber
from gateway.store.replication import Replication
from gateway.store.snapshot import Gauges
from gateway.web.http.answers import json_answer
from gateway.web.http.login_limits import network_of
from gateway.web.ops import metrics, overview
from gateway.web.state import state_of


async def live(_: Request) -> Response:
    """200 while the process runs. It must not depend on Redis, whose outage would restart every process."""
    return json_answer({"status": "ok"})


async def ready(request: Request) -> Response:
    """200 if Redis accepts writes and they are durable. Raises StoreUnavailable with the reason otherwise,
    and Unavailable while draining."""
    if request.app.state.drain.begun:
        raise Unavailable("this process is about to stop; use another one")
    state = state_of(request)
    await state.resources.gauges.ping()
    demand = state.resources.settings.durability_demand()
    if found := await durability.refusals(state.resources.redis, demand):
        raise StoreUnavailable(f"Redis writes are not durable: {'; '.join(found)}")
    store = await overview.replication_of(state.resources)
    return json_answer({"status": "ok", "store": {"mode": store.mode, "primary": store.primary}})


async def show_metrics(request: Request) -> Response:
    """Metrics in the text format of Prometheus. Without Redis: `gateway_redis_up 0` and the process' own."""
    state = state_of(request)
    if wait := state.metrics.wait(network_of(request.client.host if request.client else "")):
        raise RateLimited(f"too many requests for the metrics; send the next one in {wait} s", wait, None)
    gauges: Gauges | None = None
    durable: bool | None = None
    replication: Replication | None = None
    failing: list[FailingSubscriber] = []
    with contextlib.suppress(StoreUnavailable):
        gauges = await state.resources.gauges.read()
        failing = await overview.failing_subscribers(state, gauges)
        durable = not await overview.faults_of(state)
        replication = await overview.replication_of(state.resources)
    text = metrics.render(
        gauges,
        failing,
        durable,
        replication,
        state.resources.settings.roles(),
        state.shared,
        state.request_counts,
        state.disk.space,
        state.media.up,
        now=state.resources.environment.now_ms() / 1000,
        callbacks=bool(state.resources.settings.public_url),
    )
    return Response(text, media_type=metrics.MEDIA_TYPE)
