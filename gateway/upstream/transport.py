"""An httpx transport that sends with aiohttp, which takes a third of the CPU of httpx's own.

It does nothing that aiohttp would do by itself: no redirects, cookies, repeated requests, decompression,
remembered addresses or proxies from the environment. All transports share one TLS context, because creating
one takes 26 ms. A transport itself is cheap.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from functools import cache
from types import TracebackType
from typing import Any, Final, cast

import aiohttp
import httpx
from aiohttp.abc import AbstractStreamWriter
from aiohttp.connector import Connection
from aiohttp.http import StreamWriter
from aiohttp.payload import Payload
from yarl import URL

from gateway.upstream.proxy import Proxy

#: Shorter than the idle limit of common servers (5 s and more), so that our side closes idle connections.
_IDLE_SECONDS: Final = 4.0
#: A server that acknowledges nothing for so long is gone. It also ends what the system keeps of a closed
#: connection with bytes that the server does not take.
_UNACKNOWLEDGED_SECONDS: Final = 120
#: aiohttp's own limits would refuse a paid answer that carries the long headers of some content network.
_MAX_LINE_BYTES: Final = 32_768
_MAX_HEADERS: Final = 256


@cache  # one for all accounts, too
def tls_context() -> ssl.SSLContext:
    """Trusts the authorities of the system, or those of `SSL_CERT_FILE`."""
    return ssl.create_default_context()


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends a request whose body, if any, is a stream with a content-length.

    `connect_seconds`: DNS, TCP, proxy and TLS together. `keep`: whether connections are kept and reused.
    One that is not kept is gone after `aclose`, also if the server does not read what was sent to it.
    Their number is not limited: dispatch already limits how many polls run at once, and a wait for a free
    connection would look like a slow upstream.

    Raises httpx's errors. The cause of each is aiohttp's own error, which says more.
    """

    def __init__(self, connect_seconds: float, *, keep: bool, proxy: Proxy | None = None) -> None:
        self._connect_seconds = connect_seconds
        self._keep = keep
        self._proxy = proxy
        self._connector: _Connector | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> AiohttpTransport:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.aclose()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._session is None:  # a session belongs to the loop that runs
            self._session = self._open()
        url = URL(str(request.url), encoded=True)
        headers = [(name.decode(), value.decode()) for name, value in request.headers.raw]
        options: dict[str, Any] = {}
        if self._proxy is not None:
            options = {"proxy": self._proxy.url, "proxy_headers": self._proxy.headers}
            if url.scheme == "http":  # the proxy reads the request itself; there is no tunnel
                headers += self._proxy.headers.items()
        length = int(request.headers.get("content-length", "0"))
        pieces = _Pieces(cast(AsyncIterable[bytes], request.stream), length) if length else None
        with _httpx_errors():
            response = await self._session.request(
                request.method, url, headers=headers, data=pieces, allow_redirects=False, **options
            )
        return httpx.Response(response.status, headers=response.raw_headers, stream=_Body(response))

    async def aclose(self) -> None:
        if self._connector is not None and not self._keep:
            self._connector.abort()
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        keeping: dict[str, Any] = {"keepalive_timeout": _IDLE_SECONDS}
        if not self._keep:
            keeping = {"force_close": True}
        self._connector = _Connector(
            ssl=tls_context(), limit=0, use_dns_cache=False, socket_factory=_socket, **keeping
        )
        session = aiohttp.ClientSession(
            connector=self._connector,
            request_class=_WholeRequest,
            # A single read or write has no limit of its own; the deadline around the exchange limits them.
            timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            max_line_size=_MAX_LINE_BYTES,
            max_field_size=_MAX_LINE_BYTES,
            max_headers=_MAX_HEADERS,
        )
        # It has no public switch. aiohttp would repeat a GET by itself; it never repeats a POST.
        session._retry_connection = False
        return session


class _Connector(aiohttp.TCPConnector):
    """Can abort its last connection. A connection that is closed normally first sends what it still holds,
    and TLS waits for the server's goodbye; a server that does not read would keep it open."""

    _last: asyncio.Transport | None = None

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        self._last = connection.transport
        return connection

    def abort(self) -> None:
        if self._last is not None:
            self._last.abort()


def _socket(address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol, *_ = address
    raw = socket.socket(family, kind, protocol)
    if option := getattr(socket, "TCP_USER_TIMEOUT", None):  # only Linux has it
        raw.setsockopt(socket.IPPROTO_TCP, option, _UNACKNOWLEDGED_SECONDS * 1000)
    return raw


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _httpx_errors():
            async for piece in self._response.content.iter_any():
                yield piece

    async def aclose(self) -> None:
        self._response.release()
        await self._response.wait_for_close()


class _WholeRequest(aiohttp.ClientRequest):
    """Reads no answer before the body has been sent.

    aiohttp sends a body in a task of its own, and cancels that task if an answer comes early. The gate would
    be cancelled with it. Waiting for the task makes it part of ours: a cancellation of ours reaches the gate,
    and we go on only after the gate has ended.
    """

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        response = await super().send(conn)
        if self._writer is not None:
            await self._writer
        return response


class _Pieces(Payload):
    """A body that is sent piece by piece, with a content-length. The next piece is asked for after the one
    before has left the buffers of this process."""

    _value: AsyncIterable[bytes]

    def __init__(self, pieces: AsyncIterable[bytes], length: int) -> None:
        super().__init__(pieces, content_type="application/json")
        self._size = length

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        transport = cast(StreamWriter, writer).transport
        if transport is not None:  # None: the connection is lost, and `write` says so
            # TLS pauses from this size on, plain TCP above it: with 0, TLS would wait for ever.
            transport.set_write_buffer_limits(high=1 if transport.get_extra_info("sslcontext") else 0)
        async for piece in self._value:
            await writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)  # as long as the kernel takes all, nothing else would let others run

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("the pieces of a body can be read only once")


@contextlib.contextmanager
def _httpx_errors() -> Iterator[None]:
    """Turns aiohttp's errors into httpx's. Their texts are left out: they may quote a header, and one of them
    is the key."""
    try:
        yield
    except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
        raise httpx.ConnectError(type(error).__name__) from error
    except (aiohttp.ClientError, OSError, AttributeError, RuntimeError) as error:
        # uvloop raises the last two if a connection breaks right after it was made.
        raise httpx.NetworkError(type(error).__name__) from error
