"""What a poll of a task brings, against servers that fail in every way a network has."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from gateway.upstream.base import Found, Inconclusive, Missing, QueryOutcome, TaskStatus
from gateway.upstream.http import HttpUpstream
from gateway.upstream.vtrix import VtrixDialect
from gateway.upstream.wire import MAX_ANSWER_BYTES
from tests.gateway.upstream.scripted import ACCEPTED, Connection, Script, ScriptedServer, answers, scripted


@asynccontextmanager
async def meeting(
    script: Script, *, query_seconds: float = 20.0
) -> AsyncIterator[tuple[HttpUpstream, ScriptedServer]]:
    async with scripted(script) as server:
        upstream = HttpUpstream(VtrixDialect(), server.url, SecretStr("sk-1"), query_seconds=query_seconds)
        async with upstream:
            yield upstream, server


async def poll(script: Script, *, query_seconds: float = 20.0) -> QueryOutcome:
    async with meeting(script, query_seconds=query_seconds) as (upstream, _):
        return await upstream.query("t1")


async def test_a_task_is_found() -> None:
    async with meeting(answers(200, ACCEPTED)) as (upstream, server):
        outcome = await upstream.query("t1")
    assert isinstance(outcome, Found)
    assert (outcome.snapshot.task_id, outcome.snapshot.status) == ("t1", TaskStatus.IN_PROGRESS)
    [request] = server.requests
    assert request.head.startswith(b"GET /model/v1/generation/task/t1 HTTP/1.1\r\n")
    assert request.headers["authorization"] == "Bearer sk-1"
    assert request.headers["accept-encoding"] == "identity"


async def test_polls_share_a_connection() -> None:
    async with meeting(answers(200, ACCEPTED)) as (upstream, server):
        for _ in range(5):
            await upstream.query("t1")
    assert len(server.requests) == 5
    assert server.connections == 1


async def test_a_poll_has_exactly_these_headers_in_this_order() -> None:
    async with meeting(answers(200, ACCEPTED)) as (upstream, server):
        await upstream.query("t1")
    head = (
        "GET /model/v1/generation/task/t1 HTTP/1.1\r\n"
        f"Host: {server.url.removeprefix('http://')}\r\n"
        "authorization: Bearer sk-1\r\n"
        "accept: application/json\r\n"
        "accept-encoding: identity\r\n"
        "user-agent: vidu-gateway\r\n"
        "\r\n"
    )
    assert server.requests[0].head == head.encode()


async def test_a_poll_on_a_connection_that_was_just_closed_is_not_repeated() -> None:
    polls = iter([answers(200, ACCEPTED), close_after_the_head])

    async def script(connection: Connection) -> None:
        await next(polls)(connection)

    async with meeting(script) as (upstream, server):
        assert isinstance(await upstream.query("t1"), Found)
        assert isinstance(await upstream.query("t1"), Inconclusive)
    assert (server.connections, len(server.requests)) == (1, 2)


async def test_an_id_cannot_change_the_path() -> None:
    async with meeting(answers(404)) as (upstream, server):
        for task_id in ("../../account", "..", "a?b#c", "é\ud800", "a\r\nx: y"):
            assert await upstream.query(task_id) == Missing()
    targets = [request.head.split(b" ")[1] for request in server.requests]
    assert targets == [
        b"/model/v1/generation/task/..%2F..%2Faccount",
        b"/model/v1/generation/task/%2E%2E",
        b"/model/v1/generation/task/a%3Fb%23c",
        b"/model/v1/generation/task/%C3%A9%3F",
        b"/model/v1/generation/task/a%0D%0Ax%3A%20y",
    ]


async def test_an_answer_without_a_task_id_is_about_the_polled_task() -> None:
    outcome = await poll(answers(200, b'{"status":"completed"}'))
    assert isinstance(outcome, Found)
    assert outcome.snapshot.task_id == "t1"


async def test_an_answer_about_another_task_is_inconclusive() -> None:
    assert await poll(answers(200, b'{"id":"t2","status":"completed"}')) == Inconclusive(
        "answered for another task"
    )


async def test_a_task_that_is_not_there_is_missing() -> None:
    assert await poll(answers(404, b'{"error":"no such task"}')) == Missing()


async def test_the_wait_that_the_upstream_asks_for_is_kept() -> None:
    outcome = await poll(answers(429, b'{"message":"slow down"}', retry_after="9"))
    assert outcome == Inconclusive("429: slow down", 9.0)


@pytest.mark.parametrize("status", [401, 402, 403])
async def test_a_refused_account_is_named_in_the_reason(status: int) -> None:
    outcome = await poll(answers(status, b'{"message":"no"}'))
    assert outcome == Inconclusive(f"the account was refused with {status}: no")


async def close_after_the_head(connection: Connection) -> None:
    connection.writer.close()


async def reset_after_the_head(connection: Connection) -> None:
    connection.reset()


async def half_an_answer(connection: Connection) -> None:
    await connection.send(b'HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{"id":"t1","status":"completed"}')
    connection.writer.close()


async def not_http(connection: Connection) -> None:
    await connection.send(b"\x00\x01nonsense\r\n\r\n")
    connection.writer.close()


LATER: dict[str, Script] = {
    "closed": close_after_the_head,
    "reset": reset_after_the_head,
    "half an answer": half_an_answer,
    "not HTTP": not_http,
    "not JSON": answers(200, b"<html>"),
    "no status": answers(200, b'{"id":"t1"}'),
    "too long": answers(200, ACCEPTED + b" " * MAX_ANSWER_BYTES),
    "redirect": answers(302, b"", location="/elsewhere"),
    "400": answers(400, b"{}"),
    "500": answers(500, b""),
    "503": answers(503, b"[]"),
}


@pytest.mark.parametrize("name", LATER)
async def test_any_other_answer_to_a_poll_is_inconclusive(name: str) -> None:
    async with meeting(LATER[name]) as (upstream, server):
        assert isinstance(await upstream.query("t1"), Inconclusive)
    assert server.connections == 1


async def test_one_deadline_limits_the_whole_poll() -> None:
    async def drip(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        while True:
            await connection.send(b" ")
            await asyncio.sleep(0.01)

    assert await poll(drip, query_seconds=0.2) == Inconclusive("no answer: TimeoutError")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (gzip.compress(ACCEPTED.ljust(MAX_ANSWER_BYTES + 1), mtime=0), "more than 262144 bytes"),
        (gzip.compress(ACCEPTED, mtime=0)[:-8], "a compressed body without its end"),
        (zlib.compress(ACCEPTED)[:-1], "a compressed body without its end"),
    ],
    ids=["too long", "gzip, cut", "deflate, cut"],  # gzip holds the time; workers must agree on the names
)
async def test_a_compressed_answer_that_is_too_long_or_cut_is_no_answer(body: bytes, reason: str) -> None:
    outcome = await poll(answers(200, body, content_encoding="gzip"))
    assert outcome == Inconclusive(f"no answer: {reason}")


async def test_a_compressed_answer_may_be_as_long_as_another() -> None:
    body = gzip.compress(ACCEPTED.ljust(MAX_ANSWER_BYTES))
    assert isinstance(await poll(answers(200, body, content_encoding="gzip")), Found)


async def test_a_failed_poll_does_not_affect_the_next() -> None:
    polls = iter([half_an_answer, not_http, reset_after_the_head, answers(200, ACCEPTED)])

    async def script(connection: Connection) -> None:
        await next(polls)(connection)

    async with meeting(script) as (upstream, _):
        outcomes = [await upstream.query("t1") for _ in range(4)]
    assert [type(outcome) for outcome in outcomes] == [Inconclusive, Inconclusive, Inconclusive, Found]
