"""Cancels, lists and probes, against servers that fail in every way a network has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from pydantic import SecretStr

from gateway.upstream.base import CancelDone, CancelRefused, Inconclusive, ListedTask, Listing, Missing
from gateway.upstream.http import MAX_PAGE_BYTES, MAX_PAGES, HttpUpstream
from gateway.upstream.vidu import ViduDialect
from gateway.upstream.vtrix import VtrixDialect
from gateway.upstream.wire import MAX_ANSWER_BYTES
from tests.gateway.upstream.scripted import Connection, Script, ScriptedServer, answers, scripted

KEY = "vda-canary-51c2"


@asynccontextmanager
async def meeting(
    script: Script, *, query_seconds: float = 20.0
) -> AsyncIterator[tuple[HttpUpstream, ScriptedServer]]:
    async with scripted(script) as server:
        upstream = HttpUpstream(ViduDialect(), server.url, SecretStr(KEY), query_seconds=query_seconds)
        async with upstream:
            yield upstream, server


async def close_after_the_head(connection: Connection) -> None:
    connection.writer.close()


async def reset_after_the_head(connection: Connection) -> None:
    connection.reset()


async def half_an_answer(connection: Connection) -> None:
    await connection.read()
    await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{}")
    connection.writer.close()


async def silence(connection: Connection) -> None:
    await connection.reader.read()


NO_ANSWER: dict[str, Script] = {
    "closed": close_after_the_head,
    "reset": reset_after_the_head,
    "half an answer": half_an_answer,
    "500": answers(500, b"{}"),
    "redirect": answers(307, b"{}", location="/elsewhere"),
    "not JSON": answers(200, b"<html>"),
}


async def test_a_dialect_has_the_capabilities_of_its_upstream() -> None:
    async with meeting(answers(200)) as (upstream, _):
        assert upstream.capabilities == ViduDialect().capabilities


# ---- cancels ----


async def test_a_task_is_canceled() -> None:
    async with meeting(answers(200, b"{}")) as (upstream, server):
        assert await upstream.cancel("9110") == CancelDone()
    [request] = server.requests
    assert request.head.startswith(b"POST /ent/v2/tasks/9110/cancel HTTP/1.1\r\n")
    assert request.headers["authorization"] == f"Token {KEY}"
    assert request.headers["content-type"] == "application/json"
    assert orjson.loads(request.body) == {"id": "9110"}


async def test_every_cancel_has_its_own_connection() -> None:
    async with meeting(answers(404, b"{}")) as (upstream, server):
        for _ in range(3):
            assert await upstream.cancel("9110") == Missing()
    assert server.connections == 3


@pytest.mark.parametrize("name", NO_ANSWER)
async def test_a_cancel_without_a_clear_answer_is_inconclusive(name: str) -> None:
    async with meeting(NO_ANSWER[name]) as (upstream, server):
        assert isinstance(await upstream.cancel("9110"), Inconclusive)
    assert server.connections == 1


async def test_one_deadline_limits_a_cancel() -> None:
    async with meeting(silence, query_seconds=0.2) as (upstream, _):
        assert await upstream.cancel("9110") == Inconclusive("no answer: TimeoutError")


async def test_without_the_capability_nothing_is_sent() -> None:
    async with (
        scripted(answers(200, b"{}")) as server,
        HttpUpstream(VtrixDialect(), server.url, SecretStr(KEY)) as upstream,
    ):
        assert await upstream.cancel("t1") == CancelRefused("vtrix cannot cancel a task")
        assert await upstream.list_tasks(0, 1) == Inconclusive("vtrix has no list of tasks")
    assert server.connections == 0


# ---- lists ----


def pages(count: int, *, size: int = 0) -> Script:
    """A script that answers `count` pages of one task, each of `size` bytes more than it needs."""

    async def script(connection: Connection) -> None:
        query = parse_qs(urlsplit(connection.head.split(b" ")[1].decode()).query)
        number = int(query.get("pager.page_token", ["1"])[0])
        token = str(number + 1) if number < count else ""
        document = {"next_page_token": token, "tasks": [{"id": str(number)}]}
        await connection.answer(200, orjson.dumps(document) + b" " * size)

    return script


async def test_all_pages_become_one_list() -> None:
    async with meeting(pages(3)) as (upstream, server):
        listing = await upstream.list_tasks(0, 60_000)
    assert listing == Listing([ListedTask("1"), ListedTask("2"), ListedTask("3")])
    assert len(server.requests) == 3
    assert server.requests[0].headers["authorization"] == f"Token {KEY}"


@pytest.mark.parametrize(("count", "whole"), [(MAX_PAGES, True), (MAX_PAGES + 1, False)])
async def test_the_number_of_pages_is_limited(count: int, whole: bool) -> None:
    async with meeting(pages(count)) as (upstream, server):
        assert isinstance(await upstream.list_tasks(0, 60_000), Listing) is whole
    assert len(server.requests) == MAX_PAGES


async def test_a_page_may_be_larger_than_other_answers_but_has_a_limit_too() -> None:
    async with meeting(pages(1, size=2 * MAX_ANSWER_BYTES)) as (upstream, _):
        assert isinstance(await upstream.list_tasks(0, 1), Listing)
    async with meeting(pages(1, size=MAX_PAGE_BYTES)) as (upstream, _):
        assert isinstance(await upstream.list_tasks(0, 1), Inconclusive)


@pytest.mark.parametrize("name", NO_ANSWER)
async def test_one_failed_page_makes_the_list_inconclusive(name: str) -> None:
    scripts = iter([pages(2), NO_ANSWER[name]])

    async def script(connection: Connection) -> None:
        await next(scripts)(connection)

    async with meeting(script) as (upstream, _):
        assert isinstance(await upstream.list_tasks(0, 1), Inconclusive)


async def test_a_deadline_limits_every_page() -> None:
    async with meeting(silence, query_seconds=0.2) as (upstream, _):
        assert await upstream.list_tasks(0, 1) == Inconclusive("no answer: TimeoutError")


# ---- probes ----


@pytest.mark.parametrize("status", [200, 204])
async def test_the_probe_succeeds_if_our_own_url_answers(status: int) -> None:
    async with meeting(answers(status)) as (upstream, server):
        assert await upstream.probe(f"{server.url}/callbacks/probe?x=1")
    [request] = server.requests
    assert request.head.startswith(b"GET /callbacks/probe?x=1 HTTP/1.1\r\n")


async def test_a_probe_carries_no_key() -> None:
    async with meeting(answers(200)) as (upstream, server):
        await upstream.probe(f"{server.url}/callbacks/probe")
    [request] = server.requests
    assert KEY.encode() not in request.head
    assert set(request.headers) == {"host", "accept", "accept-encoding", "user-agent", "connection"}


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 500, 503])
async def test_the_probe_fails_for_any_other_answer(status: int) -> None:
    async with meeting(answers(status, b"{}", location="/open")) as (upstream, server):
        assert not await upstream.probe(server.url)
    assert len(server.requests) == 1


@pytest.mark.parametrize("script", [close_after_the_head, reset_after_the_head, half_an_answer])
async def test_the_probe_fails_without_an_answer(script: Script) -> None:
    async with meeting(script) as (upstream, server):
        assert not await upstream.probe(server.url)


async def test_a_probe_has_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.upstream.http._PROBE_SECONDS", 0.2)

    async def drip(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        while True:
            await connection.send(b" ")
            await asyncio.sleep(0.01)

    async with meeting(drip) as (upstream, server):
        assert not await upstream.probe(server.url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/callbacks/probe",
        "ftp://127.0.0.1/x",
        "http://u:p@127.0.0.1/x",
        "http://127.0.0.1:x/",
        "http://xn--a",
    ],
)
async def test_a_url_that_is_not_ours_is_not_probed(url: str) -> None:
    async with meeting(answers(200)) as (upstream, server):
        assert not await upstream.probe(url)
    assert server.connections == 0
