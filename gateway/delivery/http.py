"""Sends one attempt of a webhook to a receiver that may be slow, broken or hostile.

A failed attempt is a result, never an exception. Redirects are not followed, cookies are not kept, proxies of
the environment are not used, and replies are not decompressed. The guard checks every address when it is
dialled.

If a request fails before any part of a reply arrived, because the lookup or the connection failed, it is
repeated once within a second, as part of the same attempt. A request that timed out is not repeated: the
subscriber may still be working on it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.http import HttpProcessingError

from gateway.delivery import raw_reply
from gateway.delivery.addresses import Network
from gateway.delivery.attempts import (
    AttemptResult,
    DeliveryOutcome,
    Reply,
)
from gateway.delivery.connections import ConnectionHolder, limit_unacknowledged
from gateway.delivery.failures import hint_of_error, hint_of_start, outcome_of_error
from gateway.delivery.guard import (
    MAX_WEBHOOK_URL_CHARACTERS,
    AddrInfo,
    Guard,
    SystemResolver,
    VettingResolver,
    allowing,
)
from gateway.delivery.headers import loggable_headers
from gateway.delivery.names import NameService, on_behalf_of
from gateway.delivery.pool import READ_LIMIT_BYTES, Pool, Target
from gateway.delivery.request_result import RequestResult
from gateway.delivery.timing import Stopwatch, TimedHandshake, current_stopwatch
from gateway.environment import Environment, no_crash_point
from gateway.urls import url_fault

__all__ = ["AttemptResult", "Deliverer", "DeliveryOutcome"]

_MOST_TARGETS: Final = 1000
_RANDOM: Final = Environment().random
# Not the event loop's clock: that may count whole milliseconds, and stand still during one loop iteration.
_MONOTONIC: Final = Environment().monotonic


class Deliverer:
    """A pool of kept connections to subscribers. Use as `async with Deliverer(guard) as deliverer`.

    `pool_size`: all connections, at least the number of attempts in flight; `connect_seconds`: TCP and TLS
    for one address; `total_seconds`: the deadline of a whole attempt, with lookup and reply;
    `retry_seconds`: the shortest and longest wait before the second request of an attempt; `resolver`: how
    names are looked up, closed in the end; by default, the deliverer has a `NameService` of its own.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        pool_size: int = 100,
        connect_seconds: float = 3.0,
        total_seconds: float = 15.0,
        retry_seconds: tuple[float, float] = (0.2, 0.8),
        ssl_context: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
        reach: Callable[[str], Awaitable[None]] = no_crash_point,
        random: Callable[[], float] = _RANDOM,
    ) -> None:
        self._guard = guard
        self._reach = reach
        self._random = random
        self._pool_size = pool_size
        self._connect_seconds = connect_seconds
        self._total_seconds = total_seconds
        self._retry_seconds = retry_seconds
        self._ssl = ssl_context or ssl.create_default_context()
        self._ssl.sslobject_class = TimedHandshake
        self._resolver = resolver
        self._targets: dict[str, Target] = {}

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            resolver = self._resolver or SystemResolver(NameService.for_attempts(self._total_seconds))
            self._names = VettingResolver(self._guard, resolver)
            stack.push_async_callback(self._names.close)
            self._keeping = self._pool(keep=True)
            stack.push_async_callback(self._keeping.close)
            # A second request must not get another kept connection that the subscriber has just closed.
            self._dialling = self._pool(keep=False)
            stack.push_async_callback(self._dialling.close)
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    def _pool(self, *, keep: bool) -> Pool:
        return Pool(
            self._names,
            self._socket,
            keep=keep,
            size=self._pool_size,
            connect_seconds=self._connect_seconds,
            ssl_context=self._ssl,
        )

    def _target(self, url: str) -> Target | None:
        """None: the URL is invalid."""
        found = self._targets.get(url)
        if found is None and not url_fault(url, max_characters=MAX_WEBHOOK_URL_CHARACTERS):
            if len(self._targets) >= _MOST_TARGETS:
                self._targets.clear()
            found = self._targets[url] = Target(url, asyncio.get_running_loop())
        return found

    def _socket(self, info: AddrInfo) -> socket.socket:
        stopwatch = current_stopwatch.get()
        if stopwatch is not None:
            stopwatch.dial_started()
        raw = self._guard(info)
        limit_unacknowledged(raw, self._total_seconds)
        return raw

    async def post(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        also: tuple[Network, ...] = (),
        tenant: str = "",
    ) -> AttemptResult:
        """Makes one attempt. Nothing that a subscriber does raises; a cancellation is raised.

        `also`: networks that may be dialled in addition; the connection is then not kept for later attempts.
        `tenant`: the owner, whose threads look up the name.
        """
        clock = asyncio.get_running_loop().time
        started = clock()
        await self._reach("deliver.before")
        with allowing(also), on_behalf_of(tenant):
            last, retried = await self._attempt(url, headers, body, self._dialling if also else self._keeping)
        await self._reach("deliver.after")
        duration_ms = round((clock() - started) * 1000)
        return last.result(duration_ms, retried, url)

    async def _attempt(
        self, url: str, headers: Mapping[str, str], body: bytes, pool: Pool
    ) -> tuple[RequestResult, bool]:
        """The result of the last request, and whether it was the second one."""
        clock = asyncio.get_running_loop().time
        target = self._target(url)
        if target is None:
            return RequestResult(Stopwatch(_MONOTONIC)), False
        deadline = clock() + self._total_seconds
        await self._guard.about_to_dial(url)
        first = await self._request(pool, target, headers, body, deadline)
        if not first.may_be_repeated():
            return first, False
        # If a kept connection was closed just when we used it, the subscriber is up: no need to wait.
        stale = first.stopwatch.reused and first.outcome is DeliveryOutcome.CONNECTION_RESET
        shortest, longest = self._retry_seconds
        pause = 0.0 if stale else shortest + (longest - shortest) * self._random()
        if clock() + pause >= deadline:
            return first, False
        await asyncio.sleep(pause)
        await self._guard.about_to_dial(url)
        return await self._request(self._dialling, target, headers, body, deadline), True

    async def _request(
        self, pool: Pool, target: Target, headers: Mapping[str, str], body: bytes, deadline: float
    ) -> RequestResult:
        stopwatch, holder = Stopwatch(_MONOTONIC), ConnectionHolder()
        reply: Reply | None = None
        token = current_stopwatch.set(stopwatch)
        try:
            async with asyncio.timeout_at(deadline):
                connection = await pool.open(target, stopwatch)
                try:
                    stopwatch.request_sent()
                    message, content = await pool.post(connection, target, headers, body, holder)
                    stopwatch.reply_started()
                    # The status alone decides. The body is only read for the log, so it may break off.
                    kept = loggable_headers(message.headers.items())
                    reply = Reply(message.code, message.headers, kept, bytearray())
                    await _read_start(content, reply.body)
                except BaseException:
                    connection.close()
                    raise
                pool.done(connection, target, len(body))
        except (aiohttp.ClientError, HttpProcessingError, TimeoutError, OSError) as error:
            if reply is None:
                outcome, received = outcome_of_error(error), bytes(holder.received)
                if outcome is DeliveryOutcome.PROTOCOL_ERROR:
                    stopwatch.reply_started()
                    reply = raw_reply.read(received)
                if reply is None:
                    hint = hint_of_error(error) or hint_of_start(outcome, received)
                    return RequestResult(stopwatch, None, outcome, hint, received)
        finally:
            current_stopwatch.reset(token)
            holder.release()
        return RequestResult(stopwatch, reply)


async def _read_start(content: aiohttp.StreamReader, body: bytearray) -> None:
    # Read a body within the limit to its end: only then its connection can be reused.
    while len(body) < READ_LIMIT_BYTES and (piece := await content.read(READ_LIMIT_BYTES - len(body))):
        body += piece
