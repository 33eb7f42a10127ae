"""State that all handlers share: created at startup, found through the request."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from starlette.requests import Request

from gateway.callbacks.journal import Journal
from gateway.delivery.guard import Guard
from gateway.delivery.http import Deliverer
from gateway.local.shared_memory import Held, Shared
from gateway.media.opening import MediaHealth
from gateway.resources import Resources
from gateway.store.memory_watermark import MemoryGauge
from gateway.telemetry.logs import Outage
from gateway.upstream.base import Dialect
from gateway.web.disk_watermark import DiskGauge
from gateway.web.http.bodies import ByteBudget
from gateway.web.http.login_limits import LoginLimits
from gateway.web.http.rates import Rate
from gateway.web.http.request_counts import RequestCounts
from gateway.web.key_watch import KeyWatch
from gateway.web.price_watch import PriceWatch
from gateway.web.streams.hub import Streams
from gateway.web.streams.keepalive import KeepAlive


@dataclass(frozen=True, slots=True)
class State:
    """`guard`: which endpoint URLs may be registered. `memory`, `disk`: whether Redis and the disk of inline
    media have room for new jobs. `media`: whether files can be stored. `deliverer`: sends test events.
    `keep_alive`: wakes waiting clients regularly. `streams`: the open event streams. `key_watch`: tells
    waiting clients that their key has ended. `price_watch`: keeps the prices current. `login_limits`: on
    attempts to sign in to the pages. `requests`: of each tenant; `metrics`: requests for them, of each client
    address; `fetches`: of each upload at its signed address; `links`: requests by the links of each job.
    `journal`: stores callbacks while Redis is down, if configured. `budget`: memory for bodies. `shared`:
    with the other processes of this gateway. `held`: what tenants hold in all of them. `content_outage`:
    files of the media store cannot be read. `stopping`: set when the process shuts down, so that waiting
    clients get an answer."""

    resources: Resources
    dialect: Dialect
    guard: Guard
    request_counts: RequestCounts
    memory: MemoryGauge
    disk: DiskGauge
    deliverer: Deliverer
    keep_alive: KeepAlive
    streams: Streams
    media: MediaHealth
    key_watch: KeyWatch
    price_watch: PriceWatch
    login_limits: LoginLimits
    requests: Rate
    metrics: Rate
    fetches: Rate
    links: Rate
    shared: Shared
    budget: ByteBudget
    journal: Journal | None = None
    content_outage: Outage = field(default_factory=lambda: Outage("content_away", "content_back"))
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def held(self) -> Held:
        return self.shared.held


def state_of(request: Request) -> State:
    state: State = request.app.state.gateway
    return state
