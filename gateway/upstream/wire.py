"""One HTTP/1.1 exchange: sends a request and returns the complete answer, or the reason why there is none.

It uses the transports of httpx without a client: no redirects, no cookies, no retries and no proxies from
the environment. All transports share one TLS context, because creating one takes 26 ms. A transport itself
is cheap: a whole submit on loopback costs 1 to 1.5 ms of CPU, including the server.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache

import httpx
from pydantic import SecretStr

from gateway.errors import ConfigurationError

MAX_ANSWER_BYTES = 256 * 1024
#: Shorter than the idle limit of common servers (5 s and more), so that our side closes idle connections.
_IDLE_SECONDS = 4.0
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """A complete HTTP answer. Header names are in lower case; the body is decompressed."""

    status: int
    headers: dict[str, str]
    body: bytes


@cache  # one for all accounts, too
def tls_context() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


def single_use(tls: ssl.SSLContext) -> httpx.AsyncHTTPTransport:
    """A transport that keeps no connection."""
    return _transport(tls, httpx.Limits(max_keepalive_connections=0))


def pooled(tls: ssl.SSLContext) -> httpx.AsyncHTTPTransport:
    """A transport that keeps and reuses connections.

    The number of connections is not limited: dispatch already limits how many polls run at once, and a wait
    for a free connection would look like a slow upstream.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=_IDLE_SECONDS)
    return _transport(tls, limits)


def _transport(tls: ssl.SSLContext, limits: httpx.Limits) -> httpx.AsyncHTTPTransport:
    return httpx.AsyncHTTPTransport(verify=tls, trust_env=False, http2=False, retries=0, limits=limits)


def request(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | httpx.AsyncByteStream = b"",
    *,
    length: int | None = None,
    connect_seconds: float,
) -> httpx.Request:
    """A request with `headers` and our own headers.

    `length`: if given, the body is JSON of this many bytes, and the connection is not reused.
    Raises `httpx.InvalidURL`.
    """
    target = httpx.URL(url)
    sent = httpx.Headers(headers)
    sent.update(
        {
            "host": target.netloc.decode(),
            "accept": "application/json",
            "accept-encoding": "identity",
            "user-agent": "vidu-gateway",
        }
    )
    if length is not None:
        sent.update(
            {"content-type": "application/json", "content-length": str(length), "connection": "close"}
        )
    # A single read or write has no limit of its own; the deadline around the whole exchange limits them.
    limits = {"connect": connect_seconds, "pool": None, "read": None, "write": None}
    stream = httpx.ByteStream(body) if isinstance(body, bytes) else body
    return httpx.Request(method, target, headers=sent, stream=stream, extensions={"timeout": limits})


async def exchange(
    transport: httpx.AsyncBaseTransport,
    request: httpx.Request,
    limit: asyncio.Timeout,
    *,
    max_bytes: int = MAX_ANSWER_BYTES,
    on_answer: Callable[[], Awaitable[None]] | None = None,
) -> RawAnswer | str:
    """The complete answer, or the reason why there is none.

    `on_answer`: awaited after the answer has arrived, outside the time limit; if it raises `OSError`, the
    answer counts as lost.

    The reason is the type of the error, never its text: h11 quotes header values, and one of them is the key.
    """
    try:
        async with limit:
            response = await transport.handle_async_request(request)
            try:
                body = await _read(response, max_bytes)
            finally:
                await response.aclose()
        if on_answer and isinstance(body, bytes):
            await on_answer()
    except (httpx.HTTPError, OSError, AttributeError, RuntimeError) as error:
        # anyio and uvloop raise the last two if a connection breaks right after it was made.
        return type(error).__name__
    if isinstance(body, str):
        return body
    headers = {name.lower(): value for name, value in response.headers.items()}
    return RawAnswer(response.status_code, headers, body)


async def _read(response: httpx.Response, max_bytes: int) -> bytes | str:
    """The complete body, decompressed, or the reason why there is none."""
    body = bytearray()
    async for piece in response.aiter_raw():
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
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        raise ConfigurationError("the upstream's base URL cannot be read") from None
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or set("?#") & set(base_url):
        message = (
            "the upstream's base URL must be http(s)://host[:port][/path], without user, query or fragment"
        )
        raise ConfigurationError(message)
    return base_url.rstrip("/")


def checked_key(key: SecretStr) -> SecretStr:
    """The key itself. Raises `ConfigurationError` for a key that a header cannot carry."""
    text = key.get_secret_value()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigurationError("the upstream's key must be visible ASCII characters without spaces")
    return key
