"""Builds the HTTP application: routes, middleware and shared state."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from gateway.background import cancel_all
from gateway.callbacks.journal import Journal, replay, replay_once
from gateway.delivery.guard import SystemResolver, open_guard
from gateway.delivery.http import Deliverer
from gateway.delivery.names import NameService
from gateway.doors import JOBS
from gateway.environment import Environment
from gateway.errors import GatewayError, StoreUnavailable
from gateway.local.shared_memory import Shared
from gateway.media.opening import MediaHealth, tend
from gateway.resources import Resources, open_resources
from gateway.settings import Settings
from gateway.store.located import locator_of
from gateway.store.memory_watermark import MemoryGauge
from gateway.upstream import dialects
from gateway.web.api.routes import API, OF_JOBS
from gateway.web.disk_watermark import DiskGauge
from gateway.web.doors.routes import OF_DOORS
from gateway.web.http import problems
from gateway.web.http.assets import Assets
from gateway.web.http.bodies import ByteBudget
from gateway.web.http.login_limits import LoginLimits
from gateway.web.http.rates import Rate
from gateway.web.http.request_counts import RequestCounts
from gateway.web.key_usage import KeyUsageRecorder
from gateway.web.key_watch import KeyWatch
from gateway.web.openapi import document, door_documents, swagger_ui
from gateway.web.operation import Operation, routes
from gateway.web.ops.routes import OPS
from gateway.web.pages.rendering import ASSETS
from gateway.web.pages.routes import PAGES
from gateway.web.price_watch import PriceWatch
from gateway.web.server.direct_routes import DirectRoutes
from gateway.web.server.drain import Drain
from gateway.web.server.hosts import SecurityPolicy
from gateway.web.server.middleware import RequestMiddleware
from gateway.web.state import State
from gateway.web.streams.hub import Streams
from gateway.web.streams.keepalive import KeepAlive

_THREADS: Final = 64
#: Requests by the links of one job. A player asks for a video in a few parts.
_LINKS: Final = (10.0, 100)
Handler = Callable[[Request], Awaitable[Response]]
_TESTS_AT_ONCE: Final = 50
#: Requests for the metrics of one client address: per second, and at once.
_METRICS: Final = (5.0, 50)
#: Requests for one upload at its signed address: per second, and at once.
_FETCHES: Final = (50.0, 500)


def create_app(settings: Settings, shared: Shared | None = None) -> Starlette:
    """The application. It starts and runs without Redis; requests that need Redis get 503 meanwhile.
    `shared`: with the other processes of this gateway."""
    shared = shared or Shared()
    operations = routes(opened(settings.doors))
    served: list[BaseRoute] = [
        *operations,
        _route("/openapi.json", GET=document.show_document),
        *(_route(door_documents.path_of(door), GET=door_documents.show(door)) for door in _others(settings)),
        *swagger_ui.ROUTES,
        *(_route(path, **handlers) for path, handlers in PAGES.items()),
        Mount("/ops/static", Assets(directory=ASSETS)),
    ]
    request_counts, drain = RequestCounts(shared.counts), Drain()
    templates = {route.endpoint: route.path for route in served if isinstance(route, Route)}

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # Files are read and written in threads. Python's default number of threads is small on few cores.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "gateway"))
        async with _open_state(settings, request_counts, shared) as app.state.gateway:
            yield

    app = Starlette(
        routes=served,
        lifespan=lifespan,
        middleware=[
            Middleware(
                RequestMiddleware,
                request_counts,
                templates,
                Environment().entropy,
                drain,
                SecurityPolicy(settings),
            ),
            Middleware(DirectRoutes, operations),
        ],
        exception_handlers={GatewayError: problems.answer_error, HTTPException: problems.answer_refusal},
    )
    app.router.redirect_slashes = False
    app.state.drain = drain
    return app


def opened(doors: Collection[str]) -> list[Operation]:
    """All operations, without those of doors that are closed."""
    ours = [one for one in API if JOBS in doors or one not in OF_JOBS]
    return [*ours, *OPS, *(one for door, rows in OF_DOORS.items() if door in doors for one in rows)]


def _others(settings: Settings) -> list[str]:
    """The open doors but our own."""
    return [door for door in OF_DOORS if door in settings.doors]


@contextlib.asynccontextmanager
async def _open_state(
    settings: Settings, request_counts: RequestCounts, shared: Shared
) -> AsyncIterator[State]:
    """What the handlers share, with everything that runs in the background."""
    names = NameService.for_attempts(settings.delivery_timeout_seconds)
    guard = await open_guard(settings, names, locator_of(settings.redis_url).places)
    dialect = dialects.make(settings.upstream_dialect)
    async with (
        open_resources(settings, retries=1, shared=shared) as resources,
        contextlib.AsyncExitStack() as opened,
    ):
        begin = opened.enter_async_context
        clock, stopping = resources.environment.monotonic, asyncio.Event()
        await begin(resources.notifications)
        keep_alive = await begin(KeepAlive(stopping))
        reading = Streams(resources.notifications, resources.tenant_events, settings.streams_max, shared.held)
        streams = await begin(reading)
        memory = await begin(MemoryGauge(resources.redis, settings.memory_watermark, clock))
        disk = await begin(DiskGauge(resources.media, clock))
        journal = await begin(_journal(settings, resources))
        location, health = settings.media_location(), MediaHealth()
        tending = asyncio.create_task(tend(resources.media, location, resources.environment.clock, health))
        opened.push_async_callback(cancel_all, tending)
        await begin(KeyUsageRecorder(resources.client_keys))
        key_watch = await begin(KeyWatch(resources.client_keys, resources.environment.now_ms))
        price_watch = await begin(_price_watch(resources))
        sending = Deliverer(
            guard,
            pool_size=_TESTS_AT_ONCE,
            total_seconds=settings.delivery_timeout_seconds,
            resolver=SystemResolver(names),
        )
        deliverer = await begin(sending)
        yield State(
            *(resources, dialect, guard, request_counts, memory, disk, deliverer, keep_alive, streams),
            media=health,
            key_watch=key_watch,
            price_watch=price_watch,
            login_limits=LoginLimits(clock, shared),
            requests=Rate(
                settings.tenant_request_rate, settings.tenant_request_burst, clock, "requests", shared.times
            ),
            metrics=Rate(*_METRICS, clock, "metrics", shared.times_of_strangers),
            fetches=Rate(*_FETCHES, clock, "fetches", shared.times),
            links=Rate(*_LINKS, clock, "links", shared.times_of_strangers),
            shared=shared,
            budget=ByteBudget(held=shared.held),
            journal=journal,
            stopping=stopping,
        )


def _price_watch(resources: Resources) -> PriceWatch:
    settings, current = resources.settings, resources.intake.prices
    path, currency = settings.prices_file, settings.currency
    return PriceWatch(resources.prices, current, resources.environment, path, currency)


@contextlib.asynccontextmanager
async def _journal(settings: Settings, resources: Resources) -> AsyncIterator[Journal | None]:
    """The callback journal, if configured. Its entries are replayed while the gateway runs."""
    if settings.callback_journal_dir is None:
        yield None
        return
    journal = Journal(settings.callback_journal_dir, resources.environment)
    replaying = asyncio.create_task(replay(journal, resources.jobs), name="callback journal")
    try:
        yield journal
    finally:
        await cancel_all(replaying)
        await journal.close()
        if await replay_once(journal, resources.jobs):
            with contextlib.suppress(StoreUnavailable):
                await resources.jobs.report_journal(journal.process, journal.failovers, leaves=True)


def _route(path: str, **handlers: Handler) -> Route:
    """One route for all methods of a path, so that a 405 lists them all."""
    if "GET" in handlers:
        handlers["HEAD"] = handlers["GET"]

    async def dispatch(request: Request) -> Response:
        return await handlers[request.method](request)

    return Route(path, dispatch, methods=list(handlers))
