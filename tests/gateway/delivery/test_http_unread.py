"""Subscribers that do not read: no connection to them outlives its attempt."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop

from gateway.delivery.connections import ConnectionHolder
from gateway.delivery.guard import AddrInfo, Guard
from gateway.delivery.http import Deliverer
from tests.gateway.delivery.subscriber import LOOPBACK, reply, subscriber
from tests.gateway.delivery.test_http_dial import Contexts, contexts

__all__ = ["contexts"]

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop, uvloop.new_event_loop]
BODIES = [900_000, 8_000_000]  # in one piece, and in many


class Noting(Guard):
    """Lets all of this machine pass and keeps the sockets."""

    def __init__(self) -> None:
        super().__init__(["127.0.0.0/8"])
        self.made: list[socket.socket] = []

    def __call__(self, info: AddrInfo) -> socket.socket:
        raw = super().__call__(info)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        self.made.append(raw)
        return raw

    async def all_closed(self) -> None:
        assert self.made
        while any(raw.fileno() != -1 for raw in self.made):  # noqa: ASYNC110 - nothing shows it
            await asyncio.sleep(0.001)


@asynccontextmanager
async def deaf(answer: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Takes connections, says `answer` at once and reads no more than the buffers take."""
    loop, dialled = asyncio.get_running_loop(), list[socket.socket]()
    ends: list[asyncio.BaseTransport] = []

    async def take(listening: socket.socket) -> None:
        while True:
            raw, _ = await loop.sock_accept(listening)
            if tls is None:
                dialled.append(raw)
                await loop.sock_sendall(raw, answer)
            else:
                end, _ = await loop.connect_accepted_socket(asyncio.Protocol, raw, ssl=tls)
                ends.append(end)
                end.pause_reading()
                end.write(answer)

    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.setblocking(False)
        taking = asyncio.create_task(take(listening))
        try:
            yield f"http{'s' if tls else ''}://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            taking.cancel()
            await asyncio.wait([taking])
            for raw in dialled:
                raw.close()
            for end in ends:
                end.abort()  # type: ignore[attr-defined]


def run(loop: Callable[[], asyncio.AbstractEventLoop], work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await work()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(bounded())


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@pytest.mark.parametrize("size", BODIES)
@pytest.mark.parametrize(("answer", "outcome"), [(b"", "timeout"), (reply(200), "succeeded")])
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("tls", [False, True])
def test_no_connection_to_a_subscriber_that_does_not_read_is_left_open(
    loop: Callable[[], asyncio.AbstractEventLoop],
    answer: bytes,
    outcome: str,
    size: int,
    tls: bool,
    contexts: Contexts,
) -> None:
    async def work() -> None:
        guard = Noting()
        # The deadline where one is waited for; else one that the system's own limit would not come before.
        seconds = 60.0 if answer else 0.3
        async with (
            deaf(answer, contexts[0] if tls else None) as url,
            Deliverer(guard, total_seconds=seconds, ssl_context=trusting()) as deliverer,
        ):
            result = await deliverer.post(url, {}, b"x" * size)
            assert result.outcome == outcome
            await guard.all_closed()

    run(loop, work)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_cancelled_attempt_leaves_no_connection(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def work() -> None:
        guard = Noting()
        async with deaf(b"") as url, Deliverer(guard, total_seconds=60.0) as deliverer:
            attempt = asyncio.create_task(deliverer.post(url, {}, b"x" * 8_000_000))
            while not guard.made:  # noqa: ASYNC110 - nothing shows it
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.1)
            attempt.cancel()
            await asyncio.wait([attempt])
            await guard.all_closed()

    run(loop, work)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("size", [100, 40_000, 300_000])
def test_closing_does_not_wait_for_a_tls_subscriber_that_does_not_read(
    loop: Callable[[], asyncio.AbstractEventLoop], size: int, contexts: Contexts
) -> None:
    async def work() -> None:
        guard = Noting()
        async with deaf(reply(200), contexts[0]) as url:
            async with Deliverer(guard, total_seconds=60.0, ssl_context=trusting()) as deliverer:
                assert (await deliverer.post(url, {}, b"x" * size)).outcome == "succeeded"
            await guard.all_closed()

    run(loop, work)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system has no such option")
async def test_the_system_closes_a_connection_that_does_not_acknowledge_in_time() -> None:
    guard = Noting()
    async with (
        subscriber(reply(200)) as served,
        Deliverer(guard, total_seconds=2.5) as deliverer,
    ):
        await deliverer.post(served.url, {}, b"{}")
        assert guard.made[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 2500


async def test_a_connection_that_sent_everything_is_kept() -> None:
    async with subscriber(reply(200)) as served, Deliverer(LOOPBACK) as deliverer:
        for _ in range(3):
            await deliverer.post(served.url, {}, b"x" * 900_000)
    assert served.connections == 1


class Full(asyncio.WriteTransport):
    """Holds what it could not send."""

    aborted = 0

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 1

    def abort(self) -> None:
        self.aborted += 1


class Empty(Full):
    def get_write_buffer_size(self) -> int:
        return 0


def test_a_connection_that_another_request_got_is_left_alone() -> None:
    transport, first, second = Full(), ConnectionHolder(), ConnectionHolder()
    first.assign(transport)
    second.assign(transport)
    first.release()
    assert transport.aborted == 0
    second.release()
    second.release()
    assert transport.aborted == 1


@pytest.mark.parametrize("known", [False, True])
def test_a_lost_connection_can_be_released(known: bool) -> None:
    raw = socket.socket()
    raw.close()
    transport, holder = Empty({"socket": raw} if known else {}), ConnectionHolder()
    holder.assign(transport)
    holder.release()
    assert transport.aborted == 1
