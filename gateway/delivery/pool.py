"""A pool of connections to subscribers, and one HTTP exchange over one of them.

aiohttp dials, keeps the connections and reads the replies. The request is written here: what aiohttp's
session does besides takes more CPU than the exchange, and none of it is wanted. So nothing follows redirects,
keeps cookies, asks proxies or decompresses. The target of a URL is sent unchanged, the start of each reply is
kept as it came, and each step is reported to the request's `Stopwatch`.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from yarl import URL

from gateway.delivery.connections import ConnectionHolder
from gateway.delivery.guard import AddrInfo
from gateway.delivery.timing import Stopwatch, current_stopwatch
from gateway.urls import split_url

READ_LIMIT_BYTES: Final = 16_384
# Common servers close an idle connection after 5 s. Closing it earlier avoids a POST on a closing connection.
_KEEPALIVE_SECONDS: Final = 4.0
_HEADERS: Final = (
    f"User-Agent: vidu-gateway/{version('vidu-gateway')}\r\n"
    "Accept-Encoding: identity\r\n"
    "Content-Type: application/json\r\n"
)
_SWITCHED: Final = 101
#: What TLS has encrypted is not counted as unsent. So much surely fits into the buffers of the system.
_SURELY_SENT_BYTES: Final = 16_384
_NO_TRACES: Final[list[Any]] = []


class Target:
    """What is the same in all requests to one URL. `dialled`: tells the connector where to connect; it is not
    sent. `start`: the request line and the first headers."""

    __slots__ = ("dialled", "start")

    def __init__(self, url: str, loop: asyncio.AbstractEventLoop) -> None:
        exact = verbatim_url(url)
        self.dialled = _Dialled("POST", exact, loop=loop)
        self.start = (
            f"POST {exact.raw_path_qs} HTTP/1.1\r\nHost: {exact.host_port_subcomponent}\r\n{_HEADERS}"
        )


class Pool(aiohttp.TCPConnector):
    """At most `size` connections. `keep`: whether they are kept for later requests."""

    def __init__(
        self,
        resolver: AbstractResolver,
        socket_factory: Callable[[AddrInfo], socket.socket],
        *,
        keep: bool,
        size: int,
        connect_seconds: float,
        ssl_context: ssl.SSLContext,
    ) -> None:
        super().__init__(
            socket_factory=socket_factory,
            resolver=_TimedResolver(resolver),
            use_dns_cache=False,  # its lookups are shared by all tenants; our resolver remembers them
            limit=size,
            keepalive_timeout=_KEEPALIVE_SECONDS if keep else None,
            force_close=not keep,
            ssl=ssl_context,
        )
        factory: Any = functools.partial(_Handler, loop=self._loop)
        self._factory = factory
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds)
        self._end = "\r\n" if keep else "Connection: close\r\n\r\n"

    async def open(self, target: Target, stopwatch: Stopwatch) -> Connection:
        """A kept or new connection. Give it back with `done` after a reply, else close it. Raises aiohttp's
        errors. The stopwatch must also be that of the context."""
        connection = await self.connect(target.dialled, _NO_TRACES, self._timeout)
        if not stopwatch.dialled:
            stopwatch.connection_reused()
        return connection

    async def post(
        self,
        connection: Connection,
        target: Target,
        headers: Mapping[str, str],
        body: bytes,
        holder: ConnectionHolder,
    ) -> tuple[RawResponseMessage, aiohttp.StreamReader]:
        """Sends the request. Returns the head of the reply, and its body, which is still to be read.
        `holder`: gets the connection. Raises HttpProcessingError for a head that is not HTTP, and aiohttp's
        errors."""
        request = self._head(target, headers, len(body)) + body
        protocol: Any = connection.protocol
        transport = protocol.transport
        holder.assign(transport)
        if transport is None or transport.is_closing():
            raise aiohttp.ClientConnectionResetError("the connection is lost")
        protocol.received = holder.received
        protocol.set_response_params(
            read_until_eof=True, auto_decompress=False, read_bufsize=READ_LIMIT_BYTES
        )
        try:
            transport.write(request)
        except RuntimeError as error:  # uvloop: the connection was just cut
            raise aiohttp.ClientConnectionResetError(str(error)) from error
        # A reply may be here before the request was sent. The loop sends it, or tries to, within two of its
        # iterations. Do not go on before: until then nothing counts as unsent, and the connection would be
        # kept.
        for _ in range(2 if len(protocol) else 0):
            await asyncio.sleep(0)
        while True:
            message, content = await protocol.read()
            if not 100 <= message.code < 200 or message.code == _SWITCHED:
                return message, content

    def done(self, connection: Connection, target: Target, size: int) -> None:
        """Keeps the connection if the reply was read to its end, and the request, with a body of this size,
        was sent to its end."""
        if target.dialled.is_ssl() and size > _SURELY_SENT_BYTES:
            connection.close()
        else:
            connection.release()

    async def _create_connection(self, req: aiohttp.ClientRequest, *others: Any) -> ResponseHandler:
        stopwatch = current_stopwatch.get()
        if stopwatch is not None:
            stopwatch.dialled = True
        protocol = await super()._create_connection(req, *others)
        if stopwatch is not None:
            stopwatch.connected()
        return protocol

    def _head(self, target: Target, headers: Mapping[str, str], length: int) -> bytes:
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        if not lines.count("\r") == lines.count("\n") == len(headers):
            raise ValueError("a header has a line end in it")
        if not any(name.lower() == "accept" for name in headers):
            lines += "Accept: */*\r\n"
        return f"{target.start}{lines}Content-Length: {length}\r\n{self._end}".encode("ascii")


def verbatim_url(url: str) -> URL:
    """The URL with exactly the target that it has. aiohttp would decode and encode parts of it, and break a
    signature over it; it takes what it is given as a path."""
    scheme, authority, target = split_url(url)
    return URL.build(scheme=scheme, authority=authority, path=target, encoded=True)


class _Dialled(aiohttp.ClientRequest):
    """A request whose place in the pool is computed only once."""

    @functools.cached_property
    def connection_key(self) -> Any:
        return super().connection_key


class _Handler(ResponseHandler):
    """A connection that keeps the start of each reply as it came: the parser refuses some replies."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.received = bytearray()

    def data_received(self, data: bytes) -> None:
        self.received += data[: READ_LIMIT_BYTES - len(self.received)]
        super().data_received(data)


class _TimedResolver(AbstractResolver):
    """Reports lookups to the stopwatch of the context."""

    def __init__(self, resolver: AbstractResolver) -> None:
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        stopwatch = current_stopwatch.get()
        if stopwatch is not None:
            stopwatch.lookup_started()
        found = await self._resolver.resolve(host, port, family)
        if stopwatch is not None:
            stopwatch.lookup_ended()
        return found

    async def close(self) -> None:
        await self._resolver.close()
