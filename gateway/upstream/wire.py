"""One HTTP/1.1 exchange: sends a request and returns the complete answer, or the reason why there is none.

It uses aiohttp's client, but nothing that this does by itself: no redirects, cookies, repeated requests,
decompression, remembered addresses or proxies from the environment. All sessions share one TLS context,
because creating one takes 26 ms. A session itself is cheap.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, cast

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import StreamWriter
from aiohttp.payload import Payload
from pydantic import SecretStr
from yarl import URL

from gateway.errors import ConfigurationError
from gateway.upstream.proxy import Proxy
from gateway.urls import url_fault

MAX_ANSWER_BYTES: Final = 256 * 1024
_MAX_BASE_URL_CHARACTERS: Final = 2048
#: Shorter than the idle limit of common servers (5 s and more), so that our side closes idle connections.
_IDLE_SECONDS: Final = 4.0
#: aiohttp's own limits would refuse a paid answer that carries the long headers of some content network.
_MAX_LINE_BYTES: Final = 32_768
_MAX_HEADERS: Final = 256
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """A complete HTTP answer. Header names are in lower case; the body is decompressed."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """`body`: bytes, or a `GatedBody` in a payload. `options`: what aiohttp is told about the proxy."""

    method: str
    url: URL
    headers: dict[str, str]
    body: bytes | Payload | None
    options: Mapping[str, Any]


@cache  # one for all accounts, too
def tls_context() -> ssl.SSLContext:
    """Trusts the authorities of the system, or those of `SSL_CERT_FILE`."""
    return ssl.create_default_context()


def single_use(connect_seconds: float) -> aiohttp.ClientSession:
    """A session that keeps no connection. `connect_seconds`: DNS, TCP, proxy and TLS together."""
    return _session(connect_seconds, force_close=True)


def pooled(connect_seconds: float) -> aiohttp.ClientSession:
    """A session that keeps and reuses connections.

    The number of connections is not limited: dispatch already limits how many polls run at once, and a wait
    for a free connection would look like a slow upstream.
    """
    return _session(connect_seconds, keepalive_timeout=_IDLE_SECONDS)


def _session(connect_seconds: float, **options: Any) -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls_context(), limit=0, use_dns_cache=False, **options),
        request_class=_WholeRequest,
        # A single read or write has no limit of its own; the deadline around the whole exchange limits them.
        timeout=aiohttp.ClientTimeout(total=None, connect=connect_seconds),
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


class Pieces(Payload):
    """A body that is sent piece by piece, with a content-length. The next piece is asked for after the one
    before has left the buffers of this process."""

    _value: AsyncIterator[bytes]

    def __init__(self, pieces: AsyncIterator[bytes], length: int) -> None:
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


def request(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | Payload | None = None,
    *,
    length: int | None = None,
    proxy: Proxy | None = None,
) -> Request:
    """A request with `headers` and our own headers.

    `length`: if given, the body is JSON of this many bytes, and the connection is not reused.
    """
    sent = {
        **headers,
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": "vidu-gateway",
    }
    if length is not None:
        sent |= {"content-type": "application/json", "content-length": str(length), "connection": "close"}
    target = URL(url, encoded=True)
    if proxy is None:
        return Request(method, target, sent, body, {})
    if target.scheme == "http":  # the proxy reads the request itself; there is no tunnel
        sent |= proxy.headers
    return Request(method, target, sent, body, {"proxy": proxy.url, "proxy_headers": proxy.headers})


async def exchange(
    session: aiohttp.ClientSession,
    request: Request,
    limit: asyncio.Timeout,
    *,
    max_bytes: int = MAX_ANSWER_BYTES,
    on_answer: Callable[[], Awaitable[None]] | None = None,
) -> RawAnswer | str:
    """The complete answer, or the reason why there is none.

    `on_answer`: awaited after the answer has arrived, outside the time limit; if it raises `OSError`, the
    answer counts as lost.

    The reason is the type of the error, never its text: that may quote a header, and one of them is the key.
    """
    try:
        async with (
            limit,
            session.request(
                request.method,
                request.url,
                headers=request.headers,
                data=request.body,
                allow_redirects=False,
                **request.options,
            ) as response,
        ):
            body = await _read(response, max_bytes)
        if on_answer and isinstance(body, bytes):
            await on_answer()
    except (aiohttp.ClientError, OSError, AttributeError, RuntimeError) as error:
        # uvloop raises the last two if a connection breaks right after it was made.
        return type(error).__name__
    return body if isinstance(body, str) else RawAnswer(response.status, _joined(response.headers), body)


def _joined(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers by name in lower case; values of one name are joined, as HTTP allows."""
    joined: dict[str, str] = {}
    for name, value in headers.items():
        known = joined.get(name.lower())
        joined[name.lower()] = value if known is None else f"{known}, {value}"
    return joined


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes | str:
    """The complete body, decompressed, or the reason why there is none."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > max_bytes:
            return _too_long(max_bytes)
    return _decompressed(response.headers.get("content-encoding", ""), bytes(body), max_bytes)


def _decompressed(encoding: str, body: bytes, max_bytes: int) -> bytes | str:
    """The body, decompressed if a server compressed it although we asked it not to; or the reason why it is
    not complete."""
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return body
    stream = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        text = stream.decompress(body, max_bytes + 1)
    except zlib.error:
        return body
    if len(text) > max_bytes:
        return _too_long(max_bytes)
    return text if stream.eof else "a compressed body without its end"


def _too_long(max_bytes: int) -> str:
    return f"more than {max_bytes} bytes"


def checked_base(base_url: str) -> str:
    """The base URL without a trailing slash. Raises `ConfigurationError` for a URL that cannot be used."""
    fault = url_fault(base_url, max_characters=_MAX_BASE_URL_CHARACTERS)
    if fault:
        raise ConfigurationError(f"the upstream's base URL {fault[1]}")
    if set("?#") & set(base_url):
        raise ConfigurationError("the upstream's base URL must not have a query or a fragment")
    return base_url.rstrip("/")


def checked_key(key: SecretStr) -> SecretStr:
    """The key itself. Raises `ConfigurationError` for a key that a header cannot carry."""
    text = key.get_secret_value()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigurationError("the upstream's key must be visible ASCII characters without spaces")
    return key
