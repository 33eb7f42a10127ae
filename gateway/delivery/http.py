"""One POST of a webhook, against a receiver that may be slow, broken or hostile.

A failed attempt is a result and never an exception. Redirects are not followed, cookies not kept, proxies
of the environment not used, replies not decompressed; every address is judged by the guard as it is dialled.
"""

from __future__ import annotations

import asyncio
import codecs
import io
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from types import TracebackType
from typing import Final, Self

import aiohttp
from aiohttp.abc import AbstractResolver

from gateway.delivery.guard import MAX_WEBHOOK_URL_CHARACTERS, Guard
from gateway.environment import go_on
from gateway.errors import AddressRefused
from gateway.urls import url_fault

READ_LIMIT_BYTES: Final = 16_384
EXCERPT_LIMIT_BYTES: Final = 2_048
_RETRY_AFTER_LIMIT: Final = 64
_ONE_PIECE_BYTES: Final = 1_048_576
# Common servers close an idle connection after 5 s: giving it up first avoids POSTing into the closing.
_KEEPALIVE_SECONDS: Final = 4.0
_HEADERS: Final = {
    "User-Agent": f"vidu-gateway/{version('vidu-gateway')}",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
}
_DECODER: Final = codecs.getincrementaldecoder("utf-8")
# Controls, and the invisible characters that reorder or hide text, apart from tab and line ends.
_UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)


class DeliveryOutcome(StrEnum):
    """How an attempt ended. `gone` (410) asks that the endpoint be disabled at once."""

    SUCCEEDED = "succeeded"
    HTTP_3XX = "http_3xx"
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    GONE = "gone"
    THROTTLED = "throttled"
    TIMEOUT = "timeout"
    CONNECTION_REFUSED = "connection_refused"
    CONNECTION_RESET = "connection_reset"
    DNS_ERROR = "dns_error"
    TLS_ERROR = "tls_error"
    TARGET_FORBIDDEN = "target_forbidden"
    INVALID_URL = "invalid_url"
    PROTOCOL_ERROR = "protocol_error"
    SECRET_MISSING = "secret_missing"  #: not sent: there is no key to sign it with  # noqa: S105


_BY_STATUS: Final = {
    410: DeliveryOutcome.GONE,
    429: DeliveryOutcome.THROTTLED,
    503: DeliveryOutcome.THROTTLED,
}
_BY_CLASS: Final = {
    2: DeliveryOutcome.SUCCEEDED,
    3: DeliveryOutcome.HTTP_3XX,
    4: DeliveryOutcome.HTTP_4XX,
    5: DeliveryOutcome.HTTP_5XX,
}


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """One attempt, as logged. `excerpt`: the reply's start, safe to print; `retry_after`: the raw header."""

    outcome: DeliveryOutcome
    status: int | None
    duration_ms: int
    excerpt: str
    retry_after: str | None


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    retry_after: str | None
    body: bytearray


class Deliverer:
    """A pool of kept connections to subscribers. Use as `async with Deliverer(guard) as deliverer`.

    `pool_size`: connections in all, at least the number of attempts in flight; `connect_seconds`: TCP and TLS
    for one address; `total_seconds`: the deadline of an attempt as a whole, lookup and reply included.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        pool_size: int = 100,
        connect_seconds: float = 3.0,
        total_seconds: float = 15.0,
        ssl_context: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
        reach: Callable[[str], Awaitable[None]] = go_on,
    ) -> None:
        self._guard = guard
        self._reach = reach
        self._pool_size = pool_size
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds)
        self._total_seconds = total_seconds
        self._ssl = ssl_context or ssl.create_default_context()
        self._resolver = resolver

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                socket_factory=self._guard,
                resolver=self._resolver,
                limit=self._pool_size,
                keepalive_timeout=_KEEPALIVE_SECONDS,
                ssl=self._ssl,
            ),
            timeout=self._timeout,
            headers=_HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=READ_LIMIT_BYTES,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> AttemptResult:
        """POSTs the body once. Raises nothing that a subscriber can cause; cancellation passes through."""
        clock = asyncio.get_running_loop().time
        started = clock()
        await self._reach("deliver.before")
        ended = await self._attempt(url, headers, body)
        await self._reach("deliver.after")
        duration_ms = round((clock() - started) * 1000)
        if isinstance(ended, DeliveryOutcome):
            return AttemptResult(ended, None, duration_ms, "", None)
        return AttemptResult(
            outcome_of_status(ended.status), ended.status, duration_ms, excerpt(ended.body), ended.retry_after
        )

    async def _attempt(self, url: str, headers: Mapping[str, str], body: bytes) -> _Reply | DeliveryOutcome:
        if url_fault(url, max_characters=MAX_WEBHOOK_URL_CHARACTERS):
            return DeliveryOutcome.INVALID_URL
        # Larger ones go out in pieces: aiohttp warns that bytes in one piece hold up the event loop.
        data = body if len(body) <= _ONE_PIECE_BYTES else io.BytesIO(body)
        reply: _Reply | None = None
        try:
            async with (
                asyncio.timeout(self._total_seconds),
                self._session.post(url, data=data, headers=headers, allow_redirects=False) as response,
            ):
                # The status decides, whatever becomes of the body: it is read for the log alone.
                retry_after = response.headers.get("Retry-After", "")[:_RETRY_AFTER_LIMIT]
                reply = _Reply(response.status, retry_after or None, bytearray())
                await _read_start(response.content, reply.body)
                return reply
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return reply or outcome_of_error(error)


def outcome_of_status(status: int) -> DeliveryOutcome:
    """The outcome that a final status code stands for; codes that HTTP does not know are protocol errors."""
    return _BY_STATUS.get(status) or _BY_CLASS.get(status // 100, DeliveryOutcome.PROTOCOL_ERROR)


def outcome_of_error(error: Exception) -> DeliveryOutcome:
    """The outcome that one of aiohttp's many exceptions stands for."""
    match error:
        case TimeoutError():
            return DeliveryOutcome.TIMEOUT
        case aiohttp.ClientSSLError() | aiohttp.ServerFingerprintMismatch():
            return DeliveryOutcome.TLS_ERROR
        case aiohttp.ClientConnectorError(os_error=AddressRefused()):
            return DeliveryOutcome.TARGET_FORBIDDEN
        case aiohttp.ClientConnectorDNSError():
            return DeliveryOutcome.DNS_ERROR
        case aiohttp.ClientConnectorError(os_error=ConnectionResetError()):
            return DeliveryOutcome.CONNECTION_RESET
        case aiohttp.ClientConnectorError():
            return DeliveryOutcome.CONNECTION_REFUSED
        case aiohttp.InvalidURL():
            return DeliveryOutcome.INVALID_URL
        case aiohttp.ServerDisconnectedError() | OSError():
            return DeliveryOutcome.CONNECTION_RESET
        case _:
            return DeliveryOutcome.PROTOCOL_ERROR


async def _read_start(content: aiohttp.StreamReader, body: bytearray) -> None:
    # A body within the limit is read to its end, because only then its connection can be used again.
    while len(body) < READ_LIMIT_BYTES and (piece := await content.read(READ_LIMIT_BYTES - len(body))):
        body += piece


def excerpt(body: bytes | bytearray) -> str:
    """The first 2 KiB of a reply as text that is safe to print and to store."""
    cut = len(body) > EXCERPT_LIMIT_BYTES
    try:
        # A character that the cut goes through is dropped; it does not make the reply a binary one.
        text = _DECODER().decode(bytes(body[:EXCERPT_LIMIT_BYTES]), final=not cut)
    except UnicodeDecodeError:
        text = "\0"
    return f"<{len(body)} bytes of binary>" if "\0" in text else _UNSAFE.sub("?", text)
