"""Runs the sandbox on uvicorn. It can do what an ASGI app cannot: drop, reset or truncate a connection."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class _DroppableProtocol(HttpToolsProtocol):
    """Gives each request its transport, as `request.state.transport`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state: dict[str, Any] = {**self.app_state, "transport": transport}


def drop_connection(request: Request) -> Response:
    """Closes the connection without an answer. The returned response is never sent."""
    _transport(request).abort()
    return Response(status_code=500)


def reset_connection(request: Request) -> Response:
    """Like `drop_connection`, but always with a TCP reset, even if everything that was sent has been read."""
    transport = _transport(request)
    reset_on_close = struct.pack("ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset_on_close)
    transport.abort()
    return Response(status_code=500)


class TruncatedResponse(Response):
    """Declares the length of its whole body, sends half of it, and closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = self.body[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        scope["state"]["transport"].close()
        while (await receive())["type"] != "http.disconnect":
            pass


def _transport(request: Request) -> asyncio.Transport:
    transport: asyncio.Transport = request.state.transport
    return transport


def make_server(app: ASGIApp, host: str, port: int) -> uvicorn.Server:
    """Port 0 chooses a free port; `server.servers` shows it after the start."""
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
