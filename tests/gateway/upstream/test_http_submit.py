"""After the gate a paid POST ends in an outcome or as unknown, however the network fails."""

from __future__ import annotations

import asyncio
import gzip

import orjson
import pytest
from pydantic import SecretStr

from gateway.errors import ConfigurationError
from gateway.upstream.base import Accepted, AccountRefused, Busy, Rejected, Unknown
from gateway.upstream.http import HttpUpstream
from gateway.upstream.vtrix import VtrixDialect
from gateway.upstream.wire import MAX_ANSWER_BYTES
from tests.gateway.upstream.scripted import ACCEPTED, Connection, Script, answers, scripted
from tests.gateway.upstream.submitting import KEY, CountingGate, meeting, submit, upstream_at


async def test_an_accepted_task_has_its_id() -> None:
    async with meeting(answers(200, ACCEPTED)) as (upstream, _):
        assert await submit(upstream, CountingGate()) == Accepted("t1")


async def test_the_request_has_a_content_length_and_accepts_no_compression() -> None:
    async with meeting(answers(200, ACCEPTED)) as (upstream, server):
        await submit(upstream, CountingGate())
    [request] = server.requests
    assert request.head.startswith(b"POST /model/v1/generation HTTP/1.1\r\n")
    assert request.headers == {
        "authorization": f"Bearer {KEY}",
        "host": server.url.removeprefix("http://"),
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": "vidu-gateway",
        "content-type": "application/json",
        "content-length": str(len(request.body)),
        "connection": "close",
    }
    assert orjson.loads(request.body)["input"][0]["params"]["duration"] == 0


async def test_a_paid_post_has_exactly_these_headers_in_this_order() -> None:
    async with meeting(answers(200, ACCEPTED)) as (upstream, server):
        await submit(upstream, CountingGate())
    [request] = server.requests
    head = (
        "POST /model/v1/generation HTTP/1.1\r\n"
        f"Host: {server.url.removeprefix('http://')}\r\n"
        f"authorization: Bearer {KEY}\r\n"
        "accept: application/json\r\n"
        "accept-encoding: identity\r\n"
        "user-agent: vidu-gateway\r\n"
        "content-type: application/json\r\n"
        f"content-length: {len(request.body)}\r\n"
        "connection: close\r\n"
        "\r\n"
    )
    assert request.head == head.encode()


async def test_every_submit_has_its_own_connection() -> None:
    async with meeting(answers(200, ACCEPTED)) as (upstream, server):
        for _ in range(5):
            await submit(upstream, CountingGate())
        await asyncio.gather(*(submit(upstream, CountingGate()) for _ in range(5)))
    assert server.connections == 10


async def test_cookies_and_proxies_from_the_environment_are_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with meeting(answers(200, ACCEPTED, set_cookie="a=b; Path=/")) as (upstream, server):
        for _ in range(2):
            assert await submit(upstream, CountingGate()) == Accepted("t1")
    assert all("cookie" not in request.headers for request in server.requests)


# ---- after the gate: an outcome or unknown ----


async def close_without_a_word(connection: Connection) -> None:
    await connection.read()
    connection.writer.close()


async def reset_after_the_body(connection: Connection) -> None:
    await connection.read()
    connection.reset()


def sends(raw: bytes) -> Script:
    """A script that reads the whole request, sends raw bytes and closes."""

    async def script(connection: Connection) -> None:
        await connection.read()
        await connection.send(raw)
        connection.writer.close()

    return script


UNKNOWN: dict[str, Script] = {
    "closed without a word": close_without_a_word,
    "reset": reset_after_the_body,
    "half a head": sends(b"HTTP/1.1 200 OK\r\nconte"),
    "half a body": sends(b'HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{"id":"t1"}'),
    "half of the chunks": sends(b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nb\r\n{"id":"t1"}\r\n'),
    "not HTTP": sends(b"\x00\x01nonsense\r\n\r\n"),
    "nothing but 100": sends(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "another protocol": sends(b"HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
    "an endless head": sends(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 40_000),
    "200 that is not JSON": answers(200, b"<html>welcome</html>"),
    "200 without an id": answers(200, b'{"status":"in_progress"}'),
    "204": sends(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "compressed, but broken": answers(200, gzip.compress(ACCEPTED)[:20], content_encoding="gzip"),
    "compressed, but cut": answers(200, gzip.compress(ACCEPTED)[:-8], content_encoding="gzip"),
    "compressed, it says": answers(200, b"<html>", content_encoding="gzip"),
    "too long": answers(200, ACCEPTED + b" " * MAX_ANSWER_BYTES),
    "compressed, and too long": answers(
        200, gzip.compress(ACCEPTED + b" " * MAX_ANSWER_BYTES), content_encoding="gzip"
    ),
    "redirect": answers(307, b"", location="/elsewhere"),
    "408": answers(408, b'{"message":"too slow"}'),
    "409": answers(409, b"{}"),
    "425": answers(425, b"{}"),
    "500": answers(500, b'{"error":"boom"}'),
    "503": answers(503, b"", retry_after="5"),
}


@pytest.mark.parametrize("name", UNKNOWN)
async def test_after_the_gate_anything_but_a_complete_answer_is_unknown(name: str) -> None:
    gate = CountingGate()
    async with meeting(UNKNOWN[name]) as (upstream, server):
        outcome = await submit(upstream, gate)
    assert isinstance(outcome, Unknown)
    assert gate.passed == 1
    assert server.connections == 1


async def drip(connection: Connection) -> None:
    await connection.read()
    await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    while True:
        await connection.send(b" ")
        await asyncio.sleep(0.01)


async def drip_of_interim_answers(connection: Connection) -> None:
    await connection.read()
    while True:
        await connection.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("script", [drip, drip_of_interim_answers])
async def test_one_deadline_limits_the_whole_answer(script: Script) -> None:
    async with meeting(script, response_seconds=0.3) as (upstream, _):
        assert await submit(upstream, CountingGate()) == Unknown("no complete answer: TimeoutError")


async def test_no_answer_is_unknown_at_the_deadline() -> None:
    async def script(connection: Connection) -> None:
        await connection.read()
        await connection.reader.read()

    async with meeting(script, response_seconds=0.2) as (upstream, server):
        assert await submit(upstream, CountingGate()) == Unknown("no complete answer: TimeoutError")
        await server.settled()


async def test_interim_answers_are_ignored() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    final = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(ACCEPTED)
    async with meeting(sends(interim + final + ACCEPTED)) as (upstream, _):
        assert await submit(upstream, CountingGate()) == Accepted("t1")


async def test_an_answer_in_chunks_or_ended_by_closing_is_complete() -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (
        len(ACCEPTED),
        ACCEPTED,
    )
    closed = b"HTTP/1.1 200 OK\r\n\r\n" + ACCEPTED
    for raw in (chunked, closed):
        async with meeting(sends(raw)) as (upstream, _):
            assert await submit(upstream, CountingGate()) == Accepted("t1")


async def test_a_paid_answer_may_have_long_and_many_headers() -> None:
    lines = [f"x-policy: {'p' * 30_000}", *(f"x-{number}: y" for number in range(200))]
    head = "\r\n".join(["HTTP/1.1 200 OK", f"content-length: {len(ACCEPTED)}", *lines]).encode()
    async with meeting(sends(head + b"\r\n\r\n" + ACCEPTED)) as (upstream, _):
        assert await submit(upstream, CountingGate()) == Accepted("t1")


async def test_refusals_after_the_gate_count() -> None:
    async with meeting(
        answers(402, b'{"status":{"code":402,"message":"no credits","error_code":40201}}')
    ) as (up, _):
        refused = await submit(up, CountingGate())
    assert isinstance(refused, AccountRefused)
    assert (refused.status, refused.error.code) == (402, "40201")
    async with meeting(answers(429, b"{}", retry_after="7")) as (up, _):
        busy = await submit(up, CountingGate())
    assert isinstance(busy, Busy)
    assert (busy.reached, busy.retry_after_seconds) == (True, 7.0)
    async with meeting(answers(422, b'{"detail":"bad prompt"}')) as (up, _):
        rejected = await submit(up, CountingGate())
    assert isinstance(rejected, Rejected)
    assert rejected.error.message == "bad prompt"


# ---- closing, secrets, configuration ----


async def test_closing_does_not_stop_a_running_submit() -> None:
    arrived, closed = asyncio.Event(), asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.read()
        arrived.set()
        await closed.wait()
        await connection.answer(200, ACCEPTED)

    async with meeting(script) as (upstream, _):
        task = asyncio.create_task(submit(upstream, CountingGate()))
        await arrived.wait()
        await upstream.aclose()
        closed.set()
        assert await task == Accepted("t1")


async def test_the_key_is_in_no_repr() -> None:
    async with upstream_at("http://127.0.0.1:9") as upstream:
        assert KEY not in repr(upstream)
        assert KEY not in repr(vars(upstream))


@pytest.mark.parametrize("key", ["", "sk two", "sk\r\nx: y", "sk-é"])
def test_a_key_that_a_header_cannot_carry_is_refused_and_not_quoted(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        HttpUpstream(VtrixDialect(), "http://127.0.0.1:9", SecretStr(key))
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize(
    "base",
    ["", "cloud.example.com", "ftp://x", "http://", "http://u:p@x", "http://x?", "http://x#f", "http://x:y"],
)
def test_a_base_url_that_cannot_be_used_is_refused(base: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^the upstream's base URL (must|has) "):
        HttpUpstream(VtrixDialect(), base, SecretStr(KEY))


async def test_a_base_url_may_have_a_path() -> None:
    async with scripted(answers(200, ACCEPTED)) as server, upstream_at(server.url + "/proxy/") as upstream:
        assert await submit(upstream, CountingGate()) == Accepted("t1")
        assert server.requests[0].head.startswith(b"POST /proxy/model/v1/generation ")
