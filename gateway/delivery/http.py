"""One POST of a webhook, against a receiver that may be slow, broken or hostile.

A failed attempt is a result and never an exception. Redirects are not followed, cookies not kept, proxies
of the environment not used, replies not decompressed; every address is judged by the guard as it is dialled.

A try that ended before any of a reply came, because the name or the connection failed, is made once more
within a second, as part of the same attempt. One that timed out is not: its request may be at work.
"""

from __future__ import annotations

import asyncio
import io
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from importlib.metadata import version
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from aiohttp.abc import AbstractResolver

from gateway.delivery.addresses import Network
from gateway.delivery.attempt_outcome import Try
from gateway.delivery.attempts import (
    HINT_CHARACTERS,
    AttemptResult,
    DeliveryOutcome,
    Reply,
)
from gateway.delivery.connections import Line, give_up_after, line_of_try
from gateway.delivery.guard import (
    MAX_ADDRESSES,
    MAX_WEBHOOK_URL_CHARACTERS,
    AddrInfo,
    Guard,
    SystemResolver,
    TooManyAddresses,
    VettingResolver,
    allowing,
)
from gateway.delivery.headers import kept_of_reply, printable
from gateway.delivery.names import NameService
from gateway.delivery.timing import Watch, WatchedHandshake, watching
from gateway.environment import Environment, go_on
from gateway.errors import AddressRefused
from gateway.urls import url_fault

__all__ = ["AttemptResult", "Deliverer", "DeliveryOutcome"]

READ_LIMIT_BYTES: Final = 16_384
_ONE_PIECE_BYTES: Final = 1_048_576
# Common servers close an idle connection after 5 s: giving it up first avoids POSTing into the closing.
_KEEPALIVE_SECONDS: Final = 4.0
_HEADERS: Final = {
    "User-Agent": f"vidu-gateway/{version('vidu-gateway')}",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
}
_RANDOM: Final = Environment().random
# The loop's own clock may count whole milliseconds, and be that of the turn that it is in.
_MONOTONIC: Final = Environment().monotonic


class Deliverer:
    """A pool of kept connections to subscribers. Use as `async with Deliverer(guard) as deliverer`.

    `pool_size`: connections in all, at least the number of attempts in flight; `connect_seconds`: TCP and TLS
    for one address; `total_seconds`: the deadline of an attempt as a whole, lookup and reply included;
    `again_seconds`: least and most before the second try.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        pool_size: int = 100,
        connect_seconds: float = 3.0,
        total_seconds: float = 15.0,
        again_seconds: tuple[float, float] = (0.2, 0.8),
        ssl_context: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
        reach: Callable[[str], Awaitable[None]] = go_on,
        random: Callable[[], float] = _RANDOM,
    ) -> None:
        self._guard = guard
        self._reach = reach
        self._random = random
        self._pool_size = pool_size
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds)
        self._total_seconds = total_seconds
        self._again = again_seconds
        self._ssl = ssl_context or ssl.create_default_context()
        self._ssl.sslobject_class = WatchedHandshake
        self._resolver = resolver

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            # Two tries that wait in vain for a lookup's turn both end within the attempt.
            names = self._resolver or SystemResolver(NameService(patience_seconds=self._total_seconds / 3))
            self._names = VettingResolver(self._guard, names)
            stack.push_async_callback(self._names.close)
            self._keeping = await stack.enter_async_context(self._session(keep=True))
            # A second try must not be given another connection of those that the subscriber has just closed.
            self._dialling = await stack.enter_async_context(self._session(keep=False))
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    def _session(self, *, keep: bool) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                socket_factory=self._socket,
                resolver=self._names,
                limit=self._pool_size,
                keepalive_timeout=_KEEPALIVE_SECONDS if keep else None,
                force_close=not keep,
                ssl=self._ssl,
            ),
            request_class=_LinedRequest,
            timeout=self._timeout,
            headers=_HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=READ_LIMIT_BYTES,
            trace_configs=[_traces()],
        )

    def _socket(self, info: AddrInfo) -> socket.socket:
        watch = watching.get()
        if watch is not None:
            watch.dialling()
        raw = self._guard(info)
        give_up_after(raw, self._total_seconds)
        return raw

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, also: tuple[Network, ...] = ()
    ) -> AttemptResult:
        """Makes one attempt. Raises nothing that a subscriber can cause; cancellation passes through.
        `also`: networks that may be dialled besides; then its connection is its own and is not kept."""
        clock = asyncio.get_running_loop().time
        started = clock()
        await self._reach("deliver.before")
        with allowing(also):
            last, retried = await self._attempt(url, headers, body, self._dialling if also else self._keeping)
        await self._reach("deliver.after")
        duration_ms = round((clock() - started) * 1000)
        return last.result(duration_ms, retried, url)

    async def _attempt(
        self, url: str, headers: Mapping[str, str], body: bytes, session: aiohttp.ClientSession
    ) -> tuple[Try, bool]:
        clock = asyncio.get_running_loop().time
        if url_fault(url, max_characters=MAX_WEBHOOK_URL_CHARACTERS):
            return Try(Watch(_MONOTONIC)), False
        deadline = clock() + self._total_seconds
        first = await self._try(session, url, headers, body, deadline)
        if not first.unheard():
            return first, False
        # A kept connection was closed as we took it: the subscriber is there. Else it gets a moment.
        stale = first.watch.reused and first.outcome is DeliveryOutcome.CONNECTION_RESET
        least, most = self._again
        pause = 0.0 if stale else least + (most - least) * self._random()
        if clock() + pause >= deadline:
            return first, False
        await asyncio.sleep(pause)
        return await self._try(self._dialling, url, headers, body, deadline), True

    async def _try(
        self,
        session: aiohttp.ClientSession,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        deadline: float,
    ) -> Try:
        # Larger ones go out in pieces: aiohttp warns that bytes in one piece hold up the event loop.
        data = body if len(body) <= _ONE_PIECE_BYTES else io.BytesIO(body)
        await self._guard.about_to_dial(url)
        watch, line = Watch(_MONOTONIC), Line()
        reply: Reply | None = None
        tokens = watching.set(watch), line_of_try.set(line)
        try:
            async with (
                asyncio.timeout_at(deadline),
                session.post(
                    url, data=data, headers=headers, allow_redirects=False, trace_request_ctx=watch
                ) as response,
            ):
                watch.answered()
                # The status decides, whatever becomes of the body: it is read for the log alone.
                kept = kept_of_reply(response.headers.items())
                reply = Reply(response.status, response.headers, kept, bytearray())
                await _read_start(response.content, reply.body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if reply is None:
                return Try(watch, None, outcome_of_error(error), _hint_of(error), _broke_off(error))
        finally:
            watching.reset(tokens[0])
            line_of_try.reset(tokens[1])
            line.let_go()
        return Try(watch, reply)


class _LinedRequest(aiohttp.ClientRequest):
    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        if line := line_of_try.get():
            line.given(conn.transport)
        response = await super().send(conn)
        try:
            # The body is written in the next turn of the loop, and uvloop sends only at the end of that. No
            # reply is read before, for till then nothing counts as unsent and the connection would be kept.
            for _ in range(2):
                await asyncio.sleep(0)
        except BaseException:
            response.close()
            raise
        return response


def _traces() -> aiohttp.TraceConfig:
    """Tells the watch that a request was given as its context what becomes of its connection."""

    def told(mark: Callable[[Watch], None]) -> Callable[..., Awaitable[None]]:
        async def tell(_: aiohttp.ClientSession, context: Any, __: object) -> None:
            mark(context.trace_request_ctx)

        return tell

    traces = aiohttp.TraceConfig()
    traces.on_dns_resolvehost_start.append(told(Watch.looking_up))
    traces.on_dns_resolvehost_end.append(told(Watch.looked_up))
    traces.on_connection_create_end.append(told(Watch.connected))
    traces.on_connection_reuseconn.append(told(Watch.reuse))
    traces.on_request_headers_sent.append(told(Watch.asked))
    return traces


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


def _hint_of(error: Exception) -> str | None:
    match error:
        case aiohttp.ClientConnectorCertificateError(
            certificate_error=ssl.SSLCertVerificationError() as fault
        ):
            return printable(f"the certificate was refused: {fault.verify_message}")[:HINT_CHARACTERS]
        case aiohttp.ClientConnectorError(os_error=TooManyAddresses()):
            return f"the name has more than {MAX_ADDRESSES} addresses; give it fewer"
        case aiohttp.ClientConnectorError(os_error=AddressRefused()):
            return "webhooks may not go to this address: its network, its port, http, or the gateway itself"
        case _:
            return None


def _broke_off(error: Exception) -> bool:
    # Set to what was read of the reply's head, if anything was, before the connection was closed.
    return isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str)


async def _read_start(content: aiohttp.StreamReader, body: bytearray) -> None:
    # A body within the limit is read to its end, because only then its connection can be used again.
    while len(body) < READ_LIMIT_BYTES and (piece := await content.read(READ_LIMIT_BYTES - len(body))):
        body += piece
