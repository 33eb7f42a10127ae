"""One HTTP/1.1 exchange: sends a request and returns the complete answer, or the reason why there is none."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import httpx
from pydantic import SecretStr

from gateway.errors import ConfigurationError
from gateway.urls import url_fault

MAX_ANSWER_BYTES: Final = 256 * 1024
_MAX_BASE_URL_CHARACTERS: Final = 2048
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """A complete HTTP answer. Header names are in lower case; the body is decompressed."""

    status: int
    headers: dict[str, str]
    body: bytes


def request(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | httpx.AsyncByteStream = b"",
    *,
    length: int | None = None,
) -> httpx.Request:
    """A request with `headers` and our own headers.

    `length`: if given, the body is JSON of this many bytes, and the connection is not reused.
    Raises `httpx.InvalidURL`.
    """
    target = httpx.URL(url)
    sent = {
        "Host": target.netloc.decode(),
        **headers,
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": "vidu-gateway",
    }
    if length is not None:
        sent |= {"content-type": "application/json", "content-length": str(length), "connection": "close"}
    stream = httpx.ByteStream(body) if isinstance(body, bytes) else body
    return httpx.Request(method, target, headers=sent, stream=stream)


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

    The reason is the type of the error, never its text: that may quote a header, and one of them is the key.
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
    except httpx.TransportError as error:
        return type(error.__cause__ or error).__name__
    except OSError as error:
        return type(error).__name__
    if isinstance(body, str):
        return body
    return RawAnswer(response.status_code, dict(response.headers.items()), body)


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
