"""One exchange over HTTP/1.1: a request out, and its whole answer or the reason why there is none.

The transports of httpx are used without a client around them: no redirects, no cookies, no retries and
no proxies from the environment. They share one TLS context, for a context takes 26 ms to make and a
transport next to nothing: a whole submit on loopback costs 1 to 1.5 ms of CPU, server included.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache

import httpx
from pydantic import SecretStr

from gateway.errors import ConfigurationError

MAX_ANSWER_BYTES = 256 * 1024
#: Below the idle limit of common servers (5 s and more), so that it is we who close an idle connection.
_IDLE_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Header names in lower case; the body's bytes as they came."""

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
    """Unbounded: who may look at once is decided by dispatch, and a wait in here would look like a slow
    upstream."""
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
    """A request with our own headers beside `headers`. With a `length` it has a JSON body of so many bytes,
    and its connection is not used again. Raises `httpx.InvalidURL`."""
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
    # One read or write has no limit of its own: the deadline around the whole has.
    limits = {"connect": connect_seconds, "pool": None, "read": None, "write": None}
    stream = httpx.ByteStream(body) if isinstance(body, bytes) else body
    return httpx.Request(method, target, headers=sent, stream=stream, extensions={"timeout": limits})


async def exchange(
    transport: httpx.AsyncBaseTransport,
    request: httpx.Request,
    limit: asyncio.Timeout,
    *,
    max_bytes: int = MAX_ANSWER_BYTES,
    answered: Callable[[], Awaitable[None]] | None = None,
) -> Answer | str:
    """The whole answer; or why there is none. `answered` is awaited once it is here, outside the limit;
    an `OSError` from there is a lost answer.

    The reason names the failure and quotes none of its text: h11 quotes header values, and one of
    them is the key.
    """
    try:
        async with limit:
            response = await transport.handle_async_request(request)
            try:
                body = await _read(response, max_bytes)
            finally:
                await response.aclose()
        if answered and body is not None:
            await answered()
    except (httpx.HTTPError, OSError, AttributeError, RuntimeError) as error:
        # The last two are what anyio and uvloop raise when a connection is cut just as it was made.
        return type(error).__name__
    if body is None:
        return f"more than {max_bytes} bytes"
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, body)


async def _read(response: httpx.Response, max_bytes: int) -> bytes | None:
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > max_bytes:
            return None
    return bytes(body)


def checked_base(base_url: str) -> str:
    """Raises `ConfigurationError` for a base URL that leads nowhere."""
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
    """Raises `ConfigurationError` for a key which no header can carry."""
    text = key.get_secret_value()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigurationError("the upstream's key must be visible ASCII characters, without blanks")
    return key
