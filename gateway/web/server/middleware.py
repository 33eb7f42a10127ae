"""Middleware for every request: request id, common headers, counting, and a 500 for unexpected errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.telemetry.context import REQUEST
from gateway.web.http import problems
from gateway.web.http.headers import gather
from gateway.web.http.request_counts import RequestCounts
from gateway.web.server import pretty
from gateway.web.server.drain import Drain
from gateway.web.server.hosts import SecurityPolicy

_SANE_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,64}\Z")
_NO_STORE: Final = (b"cache-control", b"no-store")
_CLOSE: Final = (b"connection", b"close")
#: Prefixes of the only paths whose responses may be cached.
CACHEABLE: Final = ("/docs", "/ops/static/")


class RequestMiddleware:
    """Pure ASGI. `routes`: handler -> path template. Templates are counted and logged instead of paths,
    because a path can contain a callback token."""

    def __init__(
        self,
        app: ASGIApp,
        request_counts: RequestCounts,
        routes: Mapping[Callable[..., Any], str],
        entropy: Callable[[int], bytes],
        drain: Drain,
        security_policy: SecurityPolicy,
    ) -> None:
        self._app = app
        self._request_counts = request_counts
        self._routes = routes
        self._drain = drain
        self._security_policy = security_policy
        self._stem = entropy(6).hex()
        self._numbers = count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._request_id(scope)
        REQUEST.set(request_id.decode())
        started = False
        if pretty.asked(scope) and scope["method"] != "HEAD":
            send = pretty.PrettyJson(send)

        async def sender(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = message["headers"]
                headers.append((b"x-request-id", request_id))
                headers += self._security_policy.headers(scope, headers)
                if self._drain.begun:
                    headers.append(_CLOSE)
                if not scope["path"].startswith(CACHEABLE):
                    headers.append(_NO_STORE)
                self._request_counts.add_request(self._route(scope), message["status"])
            await send(message)

        try:
            if fault := self._security_policy.fault_of(scope):
                await problems.refused(scope, fault)(scope, receive, sender)
                return
            await self._app(scope, receive, sender)
        except Exception:
            structlog.get_logger().exception(
                "request_failed", request=request_id.decode(), route=self._route(scope)
            )
            if started:
                raise
            await problems.internal(scope)(scope, receive, sender)

    def _request_id(self, scope: Scope) -> bytes:
        given = gather(scope).get(b"x-request-id")
        if given is not None and _SANE_ID.match(given):
            return given
        return f"req_{self._stem}{next(self._numbers):x}".encode()

    def _route(self, scope: Scope) -> str:
        endpoint = scope.get("endpoint")
        return self._routes.get(endpoint, "none") if endpoint else "none"
