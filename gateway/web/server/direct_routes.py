"""Finds the route of an operation by one look-up. Starlette tries one route after another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import GatewayError
from gateway.web.http import problems


class DirectRoutes:
    """Pure ASGI. Serves those of `routes` whose path is fixed, or fixed up to a parameter at its end. `app`
    serves the others, and answers paths and methods that do not exist."""

    def __init__(self, app: ASGIApp, routes: Iterable[Route]) -> None:
        self._app = app
        self._fixed: dict[str, Route] = {}
        self._open: dict[str, tuple[Route, str]] = {}
        for route in routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        start, _, rest = route.path.partition("{")
        if not rest:
            if not self._find(route.path):  # the first match wins
                self._fixed[route.path] = route
        elif start.endswith("/") and rest.endswith("}") and rest[:-1].isidentifier():
            self._open.setdefault(start, (route, rest[:-1]))

    def _find(self, path: str) -> tuple[Route, dict[str, Any]] | None:
        route = self._fixed.get(path)
        if route is not None:
            return route, {}
        start, slash, last = path.rpartition("/")
        found = self._open.get(start + slash)
        return (found[0], {found[1]: last}) if found and last else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._find(scope["path"]) if scope["type"] == "http" else None
        if found is None or scope["method"] not in (found[0].methods or ()):
            await self._app(scope, receive, send)
            return
        route, scope["path_params"] = found
        scope["endpoint"] = route.endpoint
        request = Request(scope, receive, send)
        started = False

        async def sender(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            response = await route.endpoint(request)
            await response(scope, receive, sender)
        except (GatewayError, HTTPException) as error:
            if started:
                raise
            answer = problems.answer_error if isinstance(error, GatewayError) else problems.answer_refusal
            await (await answer(request, error))(scope, receive, send)
