"""One POST of a webhook, against subscribers of every kind."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.delivery.attempts import excerpt, outcome_of_status
from gateway.delivery.http import AttemptResult, Deliverer, DeliveryOutcome
from tests.gateway.delivery.subscriber import LOOPBACK, Script, reply, subscriber

BODY = b'{"type":"job.completed"}'
HEADERS = {"webhook-id": "evt_1"}
PATIENT: dict[str, Any] = {"total_seconds": 5.0, "retry_seconds": (0.0, 0.0)}


async def deliver(url: str, **options: Any) -> AttemptResult:
    async with Deliverer(LOOPBACK, **(PATIENT | options)) as deliverer:
        return await deliverer.post(url, HEADERS, BODY)


async def outcome_against(script: Script | bytes, **options: Any) -> AttemptResult:
    async with subscriber(script) as served:
        return await deliver(served.url, **options)


async def test_the_request_that_is_sent() -> None:
    async with subscriber(reply(204)) as served:
        result = await deliver(served.url)
    head, body = served.requests[0]
    assert body == BODY
    assert result.outcome is DeliveryOutcome.SUCCEEDED
    assert (result.status, result.excerpt, result.retry_after) == (204, "", None)
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /hook HTTP/1.1"
    assert {"webhook-id: evt_1", "Content-Type: application/json", "Accept-Encoding: identity"} <= set(lines)
    assert [line for line in lines if line.startswith("User-Agent: vidu-gateway/")]


@pytest.mark.parametrize("value", ["a\r\nx-more: b", "a\nx-more: b", "a\rb"])
async def test_a_header_with_a_line_end_is_not_sent(value: str) -> None:
    async with subscriber(reply(204)) as served, Deliverer(LOOPBACK, **PATIENT) as deliverer:
        with pytest.raises(ValueError, match="line end"):
            await deliverer.post(served.url, {"webhook-id": value}, BODY)
    assert not served.requests


async def test_an_endpoint_may_have_its_own_accept_header() -> None:
    async with subscriber(reply(204)) as served, Deliverer(LOOPBACK, **PATIENT) as deliverer:
        await deliverer.post(served.url, {"ACCEPT": "text/plain"}, BODY)
        await deliverer.post(served.url, HEADERS, BODY)
    found = [
        [line for line in head.decode().split("\r\n") if line.lower().startswith("accept:")]
        for head, _ in served.requests
    ]
    assert found == [["ACCEPT: text/plain"], ["Accept: */*"]]


async def test_a_large_body_arrives_complete() -> None:
    body = b"0123456789" * 300_000
    async with subscriber(reply(200)) as served, Deliverer(LOOPBACK) as deliverer:
        assert (await deliverer.post(served.url, HEADERS, body)).outcome == "succeeded"
    assert served.requests[0][1] == body


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "succeeded"),
        (202, "succeeded"),
        (299, "succeeded"),
        (304, "http_3xx"),
        (400, "http_4xx"),
        (404, "http_4xx"),
        (410, "gone"),
        (429, "throttled"),
        (500, "http_5xx"),
        (502, "http_5xx"),
        (503, "throttled"),
        (101, "protocol_error"),
        (600, "protocol_error"),
        (999, "protocol_error"),
    ],
)
async def test_the_status_decides(status: int, outcome: str) -> None:
    result = await outcome_against(reply(status))
    assert (result.outcome, result.status) == (outcome, status)


async def test_a_redirect_is_not_followed() -> None:
    async with subscriber(reply(200)) as elsewhere:
        location = f"Location: {elsewhere.url}"
        result = await outcome_against(reply(302, b"", location, "Set-Cookie: a=b"))
    assert (result.outcome, result.status) == ("http_3xx", 302)
    assert elsewhere.connections == 0


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with subscriber(reply(200)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert (await outcome_against(reply(500))).status == 500
    assert proxy.connections == 0


async def test_the_connection_is_kept_for_the_next_attempt() -> None:
    async with subscriber(reply(200, b"ok" * 4000)) as served, Deliverer(LOOPBACK) as deliverer:
        for _ in range(5):
            await deliverer.post(served.url, HEADERS, BODY)
    assert (len(served.requests), served.connections) == (5, 1)


async def test_no_more_connections_are_opened_than_the_pool_has() -> None:
    async with subscriber(reply(200)) as served, Deliverer(LOOPBACK, pool_size=3) as deliverer:
        results = await asyncio.gather(*(deliverer.post(served.url, HEADERS, BODY) for _ in range(30)))
    assert {result.outcome for result in results} == {"succeeded"}
    assert served.connections <= 3


async def test_a_body_over_the_limit_is_not_read_and_its_connection_is_closed() -> None:
    sent = 0

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()
            sent += 65_536

    result = await outcome_against(endless)
    assert (result.outcome, result.excerpt) == ("succeeded", "x" * 2048)
    assert sent < 50_000_000


async def test_a_gzip_bomb_is_not_decompressed() -> None:
    bomb = gzip.compress(b"\0" * 10_000_000)
    result = await outcome_against(reply(200, bomb, "Content-Encoding: gzip"))
    assert (result.outcome, result.excerpt) == ("succeeded", f"<{len(bomb)} bytes of binary>")


async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 500 Oops\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.02)


async def test_a_slow_reply_ends_at_the_deadline_and_keeps_its_status() -> None:
    result = await outcome_against(drip, total_seconds=0.3)
    assert (result.outcome, result.status) == ("http_5xx", 500)
    assert set(result.excerpt) == {"x"}
    assert 300 <= result.duration_ms < 3000


async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def drip_head(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.02)


async def flood_of_continues(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
        await writer.drain()


@pytest.mark.parametrize("script", [hang, drip_head, flood_of_continues])
async def test_a_subscriber_that_never_answers_times_out(script: Script) -> None:
    result = await outcome_against(script, total_seconds=0.3)
    assert (result.outcome, result.status) == ("timeout", None)
    assert result.duration_ms >= 300


async def test_a_reset_is_reported() -> None:
    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    assert (await outcome_against(reset)).outcome == "connection_reset"


async def test_a_close_without_an_answer_is_a_reset() -> None:
    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    assert (await outcome_against(close)).outcome == "connection_reset"


async def test_a_truncated_body_does_not_change_the_outcome() -> None:
    async def break_off(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart")
        await writer.drain()
        writer.close()

    result = await outcome_against(break_off)
    assert (result.outcome, result.excerpt) == ("succeeded", "part")


@pytest.mark.parametrize(
    ("answer", "start"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0-OpenSSH_9.2"),
        (b"\x16\x03\x01\x02\x00", "<5 bytes of binary>"),
        (b"\0" * 100, "<100 bytes of binary>"),
        (b"HTTP/1.1 OK\r\n", "HTTP/1.1 OK"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\nnonsense", "HTTP/1.1 103 Early Hints"),
        (b"\xe2\x80\xaeabc" + b"x" * 500, "?abc" + "x" * 96),
    ],
)
async def test_an_answer_that_is_not_http_is_a_protocol_error_that_says_what_was_read(
    answer: bytes, start: str
) -> None:
    result = await outcome_against(answer + b"\r\n" * 2)
    assert (result.outcome, result.status) == ("protocol_error", None)
    assert result.hint == f"the reply is not HTTP; it began with: {start}"
    assert result.excerpt == excerpt(answer + b"\r\n" * 2)


HTTP_PIECES = st.sampled_from(
    [
        *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.0 500\r\n", b"\r\n", b"X\r\n"),
        *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 4\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n"),
        *(b"Content-Encoding: br\r\n", b"Connection: upgrade\r\nUpgrade: h2c\r\n", b"Retry-After: \xff\r\n"),
        *(b"Content-Type: text/plain; charset=\xff\r\n", b"Location: http://[\r\n", b"Set-Cookie: =;\r\n"),
        *(b"zz\r\n", b" folded\r\n"),
    ]
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(answer=st.lists(HTTP_PIECES | st.binary(max_size=8), max_size=12).map(b"".join))
def test_no_answer_raises(answer: bytes) -> None:
    async def answer_and_close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.close()

    result = asyncio.run(outcome_against(answer_and_close))
    assert isinstance(result.outcome, DeliveryOutcome)


@pytest.mark.parametrize(
    ("header", "kept"), [("Retry-After: 120", "120"), ("Retry-After: " + "9" * 500, "9" * 64), ("X: y", None)]
)
async def test_retry_after_is_returned_unchanged(header: str, kept: str | None) -> None:
    result = await outcome_against(reply(503, b"", header))
    assert result.retry_after == kept


async def test_a_cancellation_is_raised() -> None:
    async with subscriber(hang) as served, Deliverer(LOOPBACK) as deliverer:
        attempt = asyncio.create_task(deliverer.post(served.url, HEADERS, BODY))
        await served.asked.wait()
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt


async def test_a_hung_subscriber_does_not_hold_up_another() -> None:
    async with subscriber(hang) as hung, subscriber(reply(200)) as healthy, Deliverer(LOOPBACK) as deliverer:
        stuck = [asyncio.create_task(deliverer.post(hung.url, HEADERS, BODY)) for _ in range(20)]
        results = [await deliverer.post(healthy.url, HEADERS, BODY) for _ in range(20)]
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
    assert {result.outcome for result in results} == {"succeeded"}


@given(st.integers(0, 2000))
def test_every_status_has_an_outcome(status: int) -> None:
    assert (outcome_of_status(status) == "succeeded") == (200 <= status < 300)
