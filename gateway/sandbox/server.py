"""The sandbox on uvicorn, with the one thing an ASGI app can not do by itself: hang up without a word."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class _DroppableProtocol(HttpToolsProtocol):
    """Hands each request the means to abort its connection, as `request.state.abort`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state: dict[str, Any] = {**self.app_state, "abort": transport.abort}


def drop_connection(request: Request) -> Response:
    """The caller sees its connection end with no answer. The response returned goes nowhere."""
    abort: Callable[[], None] = request.state.abort
    abort()
    return Response(status_code=500)


def make_server(app: ASGIApp, host: str, port: int) -> uvicorn.Server:
    """Port 0 takes a free one; see `server.servers` once it is started."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=_DroppableProtocol,
        lifespan="on",
        ws="none",
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=2,
    )
    return uvicorn.Server(config)
