"""The status line of a reply decides, also if the rest breaks a rule of HTTP."""

from __future__ import annotations

import asyncio

import pytest

from gateway.delivery.http import AttemptResult, Deliverer
from tests.gateway.delivery.subscriber import LOOPBACK, Subscriber, subscriber
from tests.gateway.delivery.test_http import outcome_against

NO_CONTENT = b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok"
ODD = {
    "an early hint": b"HTTP/1.1 103 x\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
    "204 with a body": NO_CONTENT,
    "an early hint, then 204 with a body": b"HTTP/1.1 103 x\r\n\r\n" + NO_CONTENT,
    "gzip that is none": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok",
    "a length twice": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "a length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\nok\r\n0\r\n\r\n",
    "bytes beyond ASCII": b"HTTP/1.1 200 OK\r\nX-Servidor: caf\xe9\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nthanks",
    "line feeds only": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "a body that is too short": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
    "a head of 20 KB": b"HTTP/1.1 200 OK\r\nX-Big: " + b"a" * 20_000 + b"\r\nContent-Length: 0\r\n\r\n",
    "a head of 100 KB": b"HTTP/1.1 200 OK\r\nX-Big: " + b"a" * 100_000 + b"\r\n\r\n",
    "5000 headers": b"HTTP/1.1 200 OK\r\n" + b"".join(b"X%d: a\r\n" % n for n in range(5000)) + b"\r\n",
    "a reason of 100 KB": b"HTTP/1.1 200 " + b"a" * 100_000 + b"\r\n\r\n",
    "a space before the colon": b"HTTP/1.1 200 OK\r\nX-Odd : a\r\nContent-Length: 0\r\n\r\n",
    "lower case": b"http/1.1 200 ok\r\ncontent-length: 0\r\n\r\n",
    "a body beyond its length": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nok and more",
}


@pytest.mark.parametrize("name", ODD)
async def test_a_2xx_is_a_success_in_whatever_form_it_comes(name: str) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ODD[name])
        await writer.drain()
        writer.close()

    async with subscriber(answer) as served:
        result = await _posted(served)
    assert (result.outcome, result.status) == ("succeeded", 204 if "204" in name else 200)
    assert (result.hint, result.disables, result.retried) == (None, None, False)
    assert len(served.requests) == 1


async def _posted(served: Subscriber) -> AttemptResult:
    async with Deliverer(LOOPBACK) as deliverer:
        return await deliverer.post(served.url, {}, b"{}")


async def test_what_can_be_read_of_an_odd_reply_is_in_the_log() -> None:
    result = await outcome_against(ODD["204 with a body"])
    assert (result.headers, result.excerpt) == ({"content-length": "2"}, "ok")
    assert result.timings.first_byte is not None
    big = await outcome_against(ODD["a head of 20 KB"])
    assert big.headers["x-big"] == "a" * 256


@pytest.mark.parametrize(
    ("status", "outcome"), [(301, "http_3xx"), (404, "http_4xx"), (503, "throttled"), (999, "protocol_error")]
)
async def test_other_statuses_are_read_as_well(status: int, outcome: str) -> None:
    odd = b"HTTP/1.1 %d x\r\nX Y: z\r\nRetry-After: 7\r\nLocation: /a\r\n\r\n" % status
    result = await outcome_against(odd)
    assert (result.outcome, result.status, result.retry_after) == (outcome, status, "7")


async def test_an_odd_410_still_disables() -> None:
    result = await outcome_against(b"HTTP/1.1 410 Gone\r\nX Y: z\r\n\r\n")
    assert (result.outcome, result.disables) == ("gone", "answered 410 Gone")
    asked = await outcome_against(b"HTTP/1.1 200 OK\r\nX Y: z\r\nWebhook-Delivery: disable\r\n\r\n")
    assert asked.disables == "answered with the header webhook-delivery: disable"


async def test_a_kept_connection_never_reads_the_start_of_an_earlier_reply() -> None:
    answers = iter([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"nonsense\r\n\r\n"])

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(next(answers))
        await writer.drain()

    async with subscriber(answer) as served, Deliverer(LOOPBACK) as deliverer:
        assert (await deliverer.post(served.url, {}, b"{}")).outcome == "succeeded"
        second = await deliverer.post(served.url, {}, b"{}")
    assert (second.outcome, second.reused) == ("protocol_error", True)
    assert second.hint == "the reply is not HTTP; it began with: nonsense"
