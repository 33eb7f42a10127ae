"""Raw requests against the server's HTTP protocol: what is served, refused, or cut off."""

from __future__ import annotations

import asyncio

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.web.server.protocol import HardenedProtocol
from tests.gateway.web.server.raw import GET, POST, QuickProtocol, exchange, served, serving, statuses

SLOW_HEAD = b"POST /a HTTP/1.1\r\nHos"


@pytest.mark.parametrize(
    ("parts", "answers"),
    [
        ((GET,), [200]),
        ((GET, GET), [200, 200]),
        ((GET + GET + GET,), [200, 200, 200]),
        ((POST + b"Content-Length: 10000\r\n\r\n" + b"b" * 10_000,), [200]),
        ((POST + b"Content-Length: 200000\r\n\r\n" + b"b" * 200_000 + GET,), [200, 200]),
        ((POST + b"Content-Length: 4\r\n\r\n", b"ab", b"cd", GET), [200, 200]),
        ((POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + GET,), [200, 200]),
        ((GET[:7], GET[7:20], GET[20:]), [200]),
        ((b"\r\n" + GET,), [200]),
        ((b"GET /a HTTP/1.0\r\n\r\n",), [200]),
        ((POST + b"".join(b"X%d: a\r\n" % i for i in range(99)) + b"\r\n",), [200]),
        ((POST + b"X: " + b"a" * 30_000 + b"\r\n\r\n",), [200]),
    ],
)
async def test_an_ordinary_request_is_served(parts: tuple[bytes, ...], answers: list[int]) -> None:
    async with serving() as port:
        answer = await served(port, *parts)
    assert statuses(answer) == answers


async def test_no_header_changes_where_a_connection_comes_from() -> None:
    claimed = b"GET /peer HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"
    async with serving() as port:
        answer = await served(port, claimed)
    assert answer.endswith(b"127.0.0.1 203.0.113.9")


async def test_a_request_may_take_longer_than_its_head() -> None:
    async with serving() as port:
        answer = await served(port, GET.replace(b"/a", b"/slow"))
    assert statuses(answer) == [200]


async def test_a_body_may_take_longer_than_its_head() -> None:
    async with serving() as port:
        drips = [b"b"] * 10
        answer = await served(port, POST + b"Content-Length: 10\r\n\r\n", *drips)
    assert statuses(answer) == [200]


@pytest.mark.parametrize(
    ("parts", "answers"),
    [
        ((), []),
        ((b"\r\n",), []),
        ((SLOW_HEAD,), []),
        ((SLOW_HEAD, *[b"t"] * 15), []),
        ((GET, SLOW_HEAD), [200]),
        ((GET + SLOW_HEAD,), [200]),
        ((GET, b"\r\n"), [200]),
        ((GET, *[b"\r\n"] * 15), [200]),
        ((POST.replace(b"/a", b"/early") + b"Content-Length: 100\r\n\r\n", *[b"b"] * 15), [200]),
        ((POST.replace(b"/a", b"/early") + b"Content-Length: 2\r\n\r\n", b"bb"), [200]),
    ],
    ids=[
        "nothing",
        "a line end",
        "a head that stops",
        "a head that drips",
        "a second head that stops",
        "a pipelined head that stops",
        "a line end after the answer",
        "line ends without end after the answer",
        "a body that drips after its answer",
        "a body that ends after its answer",
    ],
)
async def test_a_connection_that_owes_a_head_is_cut_off(parts: tuple[bytes, ...], answers: list[int]) -> None:
    async with serving() as port:
        answer, hung_up = await exchange(port, *parts)
    assert statuses(answer) == answers
    assert hung_up


@pytest.mark.parametrize(
    "request_head",
    [
        POST + b"X: " + b"a" * 1_000_000 + b"\r\n\r\n",
        POST + b"X: " + b"a" * 1_000_000,
        POST + b"X" * 1_000_000,
        b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + b"a" * 1_000_000,
        POST + b"".join(b"X%d: a\r\n" % i for i in range(100)) + b"\r\n",
        POST + b"".join(b"X%d: a\r\n" % i for i in range(5000)),
        b"GET /a HTTP/1.1\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
        b"GET /a HTTP/1.1\r\nhost: x\r\nHOST: y\r\n\r\n",
    ],
)
@pytest.mark.parametrize("earlier", [b"", GET])
async def test_a_head_that_is_refused_reaches_no_application(earlier: bytes, request_head: bytes) -> None:
    parts = [earlier, request_head] if earlier else [request_head]
    async with serving(HardenedProtocol) as port:  # its deadline is longer than the exchange
        answer, hung_up = await exchange(port, *parts)
    assert hung_up
    # A client that is still sending when the connection closes may see a reset before the answer.
    assert [status for status in statuses(answer) if status not in (400, 431)] == ([200] if earlier else [])


async def test_a_refused_head_is_answered_with_400() -> None:
    async with serving() as port:
        answer, _ = await exchange(port, b"GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n")
    assert statuses(answer) == [400]


@pytest.mark.parametrize("protocol", [HttpToolsProtocol, QuickProtocol])
@pytest.mark.parametrize(
    "request_head",
    [
        POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET,
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n" + GET,
        POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
        POST + b"Content-Length: 1, 1\r\n\r\na",
        POST + b"Content-Length: +1\r\n\r\na",
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        POST + b"X-A: b\r\n c\r\n\r\n",
        POST + b"X-A: b\x00c\r\n\r\n",
        b"GET /a HTTP/1.1\nHost: x\n\n",
        b"GET /a HTTP/9.9\r\nHost: x\r\n\r\n",
    ],
)
async def test_the_parser_itself_refuses_smuggling(
    protocol: type[HttpToolsProtocol], request_head: bytes
) -> None:
    async with serving(protocol) as port:
        answer, hung_up = await exchange(port, request_head)
    assert statuses(answer) == [400]
    assert hung_up


CHUNKED = POST.replace(b"/a", b"/who") + b"Transfer-Encoding: chunked\r\n"


async def test_what_follows_a_body_is_no_header_of_the_request() -> None:
    trailer = b"0\r\nAuthorization: Bearer x\r\n\r\n"
    async with serving() as port:
        answer = await served(port, CHUNKED + b"\r\n1\r\na\r\n" + trailer, GET)
        headed = await served(port, CHUNKED + b"Authorization: y\r\n\r\n" + trailer)
    assert statuses(answer) == [200, 200]
    assert b"nobody" in answer
    assert headed.endswith(b"\r\n\r\ny")


@pytest.mark.parametrize(
    "trailer",
    [b"X: " + b"a" * 1_000_000, b"X" * 1_000_000, b"X: a\r\n" * 10_000],
    ids=["a value without end", "a name without end", "fields without end"],
)
async def test_what_follows_a_body_has_an_end(trailer: bytes) -> None:
    async with serving(HardenedProtocol) as port:
        answer, hung_up = await exchange(port, CHUNKED + b"\r\n1\r\na\r\n0\r\n", trailer)
    assert hung_up
    assert 200 not in statuses(answer)


async def test_a_client_that_does_not_read_its_answer_is_cut_off() -> None:
    lost = asyncio.Event()

    class Watched(QuickProtocol):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            lost.set()

    async with serving(Watched) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET.replace(b"/a", b"/much"))
        async with asyncio.timeout(60):
            await lost.wait()
        writer.transport.abort()
        assert len(await reader.read(50_000_000)) < 50_000_000


async def test_a_client_that_reads_slowly_is_served() -> None:
    """It takes longer over the whole answer than it may pause."""

    class Patient(HardenedProtocol):
        UNREAD_SECONDS = 2.0

    async with serving(Patient) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2_500_000)
        writer.write(GET.replace(b"/a", b"/much"))
        length = 0
        while length < 50_000_000:
            await asyncio.sleep(0.125)
            length += len(await reader.readexactly(2_500_000))  # raises when it was cut off
        writer.transport.abort()
