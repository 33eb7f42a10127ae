"""The aiohttp session of deliveries and downloads: what it sends in every request, and what it notes about
each.

It sends the target of a URL unchanged, keeps the start of each reply as it came, gives each connection to the
request's `ConnectionHolder`, and reports each step to its `Stopwatch`.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from gateway.delivery.connections import current_holder
from gateway.delivery.guard import AddrInfo
from gateway.delivery.timing import Stopwatch
from gateway.urls import split_url

READ_LIMIT_BYTES: Final = 16_384
# Common servers close an idle connection after 5 s. Closing it earlier avoids a POST on a closing connection.
_KEEPALIVE_SECONDS: Final = 4.0
_HEADERS: Final = {
    "User-Agent": f"vidu-gateway/{version('vidu-gateway')}",
    "Accept-Encoding": "identity",
}


def open_session(
    resolver: AbstractResolver,
    socket_factory: Callable[[AddrInfo], socket.socket],
    *,
    keep: bool,
    pool_size: int,
    timeout: aiohttp.ClientTimeout,
    ssl_context: ssl.SSLContext,
    read_bytes: int = READ_LIMIT_BYTES,
    media_type: str | None = "application/json",
) -> aiohttp.ClientSession:
    """A session of at most `pool_size` connections. `keep`: whether it keeps them for later requests.
    `read_bytes`: how much of a reply it reads ahead. `media_type`: of the bodies that it sends. Pass a
    `Stopwatch` as the trace context of each request."""
    return aiohttp.ClientSession(
        connector=_Connector(
            socket_factory=socket_factory,
            resolver=resolver,
            use_dns_cache=False,  # its lookups are shared by all tenants; our resolver remembers them
            limit=pool_size,
            keepalive_timeout=_KEEPALIVE_SECONDS if keep else None,
            force_close=not keep,
            ssl=ssl_context,
        ),
        request_class=_HeldRequest,
        timeout=timeout,
        headers=_HEADERS | ({"Content-Type": media_type} if media_type else {}),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        read_bufsize=read_bytes,
        trace_configs=[_trace_config()],
    )


def verbatim_url(url: str) -> URL:
    """The URL with exactly the target that it has. aiohttp would decode and encode parts of it, and break a
    signature over it; it takes what it is given as a path."""
    scheme, authority, target = split_url(url)
    return URL.build(scheme=scheme, authority=authority, path=target, encoded=True)


class _Handler(ResponseHandler):
    """A connection that keeps the start of each reply as it came: the parser refuses some replies."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.received = bytearray()

    def data_received(self, data: bytes) -> None:
        self.received += data[: READ_LIMIT_BYTES - len(self.received)]
        super().data_received(data)


class _Connector(aiohttp.TCPConnector):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        factory: Any = functools.partial(_Handler, loop=self._loop)
        self._factory = factory


class _HeldRequest(aiohttp.ClientRequest):
    """Gives its connection to the current `ConnectionHolder`."""

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        if holder := current_holder.get():
            holder.assign(conn.transport)
            conn.protocol.received = holder.received
        response = await super().send(conn)
        try:
            # The body is written in the next loop iteration, and uvloop sends it at the end of that one. Do
            # not read a reply earlier: until then nothing counts as unsent, and the connection would be kept.
            for _ in range(2):
                await asyncio.sleep(0)
        except BaseException:
            response.close()
            raise
        return response


def _trace_config() -> aiohttp.TraceConfig:
    """Reports the steps of a request to the stopwatch that was passed as its trace context."""

    def reported_as(step: Callable[[Stopwatch], None]) -> Callable[..., Awaitable[None]]:
        async def report(_: aiohttp.ClientSession, context: Any, __: object) -> None:
            step(context.trace_request_ctx)

        return report

    traces = aiohttp.TraceConfig()
    traces.on_dns_resolvehost_start.append(reported_as(Stopwatch.lookup_started))
    traces.on_dns_resolvehost_end.append(reported_as(Stopwatch.lookup_ended))
    traces.on_connection_create_end.append(reported_as(Stopwatch.connected))
    traces.on_connection_reuseconn.append(reported_as(Stopwatch.connection_reused))
    traces.on_request_headers_sent.append(reported_as(Stopwatch.request_sent))
    return traces
