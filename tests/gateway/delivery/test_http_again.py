"""The second try of an attempt: when there is one, and when there must not be."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Sequence
from typing import Any

import pytest
from aiohttp.abc import ResolveResult

from gateway.delivery.http import AttemptResult, Deliverer
from tests.gateway.delivery.subscriber import LOOPBACK, Script, reply, subscriber
from tests.gateway.delivery.test_http_dial import AT_ONCE, Names


async def deliver(url: str, **options: Any) -> AttemptResult:
    async with Deliverer(LOOPBACK, **({"retry_seconds": AT_ONCE} | options)) as deliverer:
        return await deliverer.post(url, {}, b"{}")


def hang_up(writer: asyncio.StreamWriter, *, reset: bool = False) -> None:
    if reset:
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def first(*, answered: bytes = b"", reset: bool = False, then: bytes = reply(200)) -> Script:
    """Sends `answered` to the first request and hangs up; answers those after it."""
    seen = 0

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen += 1
        writer.write(then if seen > 1 else answered)
        await writer.drain()
        if seen == 1:
            hang_up(writer, reset=reset) if reset else writer.close()

    return script


@pytest.mark.parametrize("reset", [False, True])
async def test_a_connection_that_breaks_before_the_reply_is_made_again_once(reset: bool) -> None:
    async with subscriber(first(reset=reset)) as served:
        result = await deliver(served.url)
    assert (result.outcome, result.retried) == ("succeeded", True)
    assert len(served.requests) == served.connections == 2


async def test_there_is_no_third_request() -> None:
    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with subscriber(close) as served:
        result = await deliver(served.url)
    assert (result.outcome, result.retried, len(served.requests)) == ("connection_reset", True, 2)


async def test_a_request_is_not_repeated_if_a_reply_had_begun() -> None:
    async with subscriber(first(answered=b"HTTP/1.1 200 OK\r\nContent-")) as served:
        result = await deliver(served.url)
    assert (result.outcome, result.retried, len(served.requests)) == ("connection_reset", False, 1)
    assert result.hint == (
        "the connection broke before the head of the reply was complete; it began with: HTTP/1.1 200 OK"
    )


async def test_a_request_that_timed_out_is_not_repeated() -> None:
    async def hang(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with subscriber(hang) as served:
        result = await deliver(served.url, total_seconds=0.2)
    assert (result.outcome, result.retried, len(served.requests)) == ("timeout", False, 1)


@pytest.mark.parametrize("answer", [reply(500), reply(503), reply(429), b"nonsense\r\n\r\n"])
async def test_a_request_with_any_answer_is_not_repeated(answer: bytes) -> None:
    async with subscriber(answer) as served:
        result = await deliver(served.url)
    assert (result.retried, len(served.requests)) == (False, 1)


async def test_a_subscriber_that_was_not_listening_yet_is_dialled_again() -> None:
    """Its port is taken up between the two tries: the lookup of the second one does that."""
    held = socket.create_server(("127.0.0.1", 0))
    port = held.getsockname()[1]
    held.close()
    servers: list[asyncio.Server] = []
    lookups: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply(200))
        await writer.drain()
        writer.close()

    class Starting(Names):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            lookups.append(host)
            if len(lookups) == 2:
                servers.append(await asyncio.start_server(answer, "127.0.0.1", port))
            return await super().resolve(host, port, family)

    result = await deliver(f"http://hooks.test:{port}/", resolver=Starting(["127.0.0.1"]))
    for server in servers:
        server.close()
    assert (result.outcome, result.retried) == ("succeeded", True)


@pytest.mark.parametrize(
    ("answers", "outcome"), [([[], ["127.0.0.1"]], "succeeded"), ([[], [], ["127.0.0.1"]], "dns_error")]
)
async def test_a_failed_lookup_is_repeated_once(answers: Sequence[Sequence[str]], outcome: str) -> None:
    async with subscriber(reply(200)) as served:
        result = await deliver(f"http://hooks.test:{served.port}/", resolver=Names(*answers))
    assert (result.outcome, result.retried) == (outcome, True)


async def test_a_failed_handshake_is_not_repeated() -> None:
    dials = 0

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal dials
        dials += 1
        await reader.read(100)
        writer.write(reply(400))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server:
        result = await deliver(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert (result.outcome, result.retried, dials) == ("tls_error", False, 1)


async def test_the_second_request_follows_after_a_random_part_of_a_second() -> None:
    rolls: list[float] = []

    def roll() -> float:
        rolls.append(0.25)
        return 0.25

    async with subscriber(first()) as served:
        result = await deliver(served.url, retry_seconds=(0.01, 0.05), random=roll)
    assert (result.outcome, result.retried, rolls) == ("succeeded", True, [0.25])
    assert result.duration_ms >= 20


async def test_there_is_no_second_request_after_the_deadline() -> None:
    async with subscriber(first()) as served:
        result = await deliver(served.url, retry_seconds=(60.0, 60.0), total_seconds=5.0)
    assert (result.outcome, result.retried, len(served.requests)) == ("connection_reset", False, 1)


async def test_both_requests_share_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first try takes eight seconds of the loop's time, the second has begun when three more are over."""
    loop, ahead, seen = asyncio.get_running_loop(), 0.0, 0
    real = loop.time
    monkeypatch.setattr(loop, "time", lambda: real() + ahead)

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal ahead, seen
        seen += 1
        ahead += 8 if seen == 1 else 3
        if seen == 1:
            writer.close()
        else:
            await asyncio.Event().wait()

    async with subscriber(script) as served:
        result = await deliver(served.url, total_seconds=10.0)
    assert (result.outcome, result.retried, seen) == ("timeout", True, 2)
    assert 11_000 <= result.duration_ms < 18_000


async def test_a_closed_kept_connection_is_replaced_at_once() -> None:
    """Three connections are kept, and the subscriber drops each as it is used again."""
    together, dropping = asyncio.Barrier(3), False
    kept: set[asyncio.StreamWriter] = set()

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if dropping and writer in kept:
            writer.close()
            return
        if not dropping:
            kept.add(writer)
            await together.wait()
        writer.write(reply(200))
        await writer.drain()

    def never() -> float:
        raise AssertionError("a connection that was merely stale needs no pause")

    async with subscriber(script) as served, Deliverer(LOOPBACK, random=never) as deliverer:
        await asyncio.gather(*(deliverer.post(served.url, {}, b"{}") for _ in range(3)))
        assert served.connections == 3
        dropping = True
        result = await deliverer.post(served.url, {}, b"{}")
    assert (result.outcome, result.retried, result.reused) == ("succeeded", True, False)
    assert (len(served.requests), served.connections) == (5, 4)
