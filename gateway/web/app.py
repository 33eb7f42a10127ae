"""The HTTP application: every route on one screen."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gateway.delivery.guard import Guard
from gateway.environment import Environment
from gateway.errors import GatewayError
from gateway.resources import open_resources
from gateway.settings import Settings
from gateway.upstream.vtrix import VtrixDialect
from gateway.web import callbacks, docs, endpoints, jobs, openapi, ops, problems
from gateway.web.envelope import Envelope
from gateway.web.state import State
from gateway.web.traffic import Traffic

Handler = Callable[[Request], Awaitable[Response]]


def create_app(settings: Settings) -> Starlette:
    """Starts and goes on without Redis; what needs it answers 503 until it is there."""
    routes: list[BaseRoute] = [
        _route("/v1/jobs", POST=jobs.create, GET=jobs.page),
        _route("/v1/jobs/{job_id}", GET=jobs.show),
        _route("/v1/jobs/{job_id}/cancel", POST=jobs.cancel),
        _route("/v1/jobs/{job_id}/deliveries", GET=jobs.deliveries),
        _route("/v1/endpoints", POST=endpoints.create, GET=endpoints.page),
        _route("/v1/endpoints/{endpoint_id}", GET=endpoints.show, DELETE=endpoints.delete),
        _route("/callbacks/{token}", POST=callbacks.receive),
        _route("/livez", GET=ops.livez),
        _route("/readyz", GET=ops.readyz),
        _route("/metrics", GET=ops.show_metrics),
        _route("/openapi.json", GET=openapi.show_document),
        *docs.ROUTES,
    ]
    traffic = Traffic()
    templates = {route.endpoint: route.path for route in routes if isinstance(route, Route)}

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        guard = Guard(settings.delivery_networks, settings.delivery_public)
        async with open_resources(settings, retries=1) as resources, resources.finals:
            app.state.gateway = State(resources, VtrixDialect(), guard, traffic)
            yield

    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[Middleware(Envelope, traffic, templates, Environment().entropy)],
        exception_handlers={GatewayError: problems.answer_error, HTTPException: problems.answer_refusal},
    )
    app.router.redirect_slashes = False
    return app


def _route(path: str, **handlers: Handler) -> Route:
    """One route for all methods of a path, so that 405 names them all."""
    if "GET" in handlers:
        handlers["HEAD"] = handlers["GET"]

    async def dispatch(request: Request) -> Response:
        return await handlers[request.method](request)

    return Route(path, dispatch, methods=list(handlers))
