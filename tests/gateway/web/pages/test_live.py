"""The stream by which pages know whether their figures still hold."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

import httpx
import pytest

from gateway.errors import StoreUnavailable
from gateway.store.snapshot import Gauges, RedisGauges
from gateway.web.pages import overview
from gateway.web.state import State
from tests.gateway.web.conftest import BODY
from tests.gateway.web.pages.conftest import live_request


async def named(ticks: AsyncIterator[bytes]) -> str:
    return (await anext(ticks)).decode().split()[1]


@pytest.fixture
async def ticks(
    browser: httpx.AsyncClient, state: State, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[AsyncIterator[bytes]]:
    monkeypatch.setattr(overview, "_READ_SECONDS", 0.01)
    stream = overview._ticks(live_request(browser, state))
    assert isinstance(stream, AsyncGenerator)
    assert b"retry" in await anext(stream)
    yield stream
    await stream.aclose()


async def test_each_reading_says_that_something_changed_or_that_all_is_as_it_was(
    ticks: AsyncIterator[bytes], client: httpx.AsyncClient
) -> None:
    assert [await named(ticks) for _ in range(3)] == ["tick", "same", "same"]
    await client.post("/v1/jobs", json=BODY)
    assert await named(ticks) == "tick"
    assert await named(ticks) == "same"


async def test_without_redis_nothing_is_said_to_hold_and_afterwards_pages_are_fetched_again(
    ticks: AsyncIterator[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await named(ticks) == "tick"
    read = RedisGauges.read

    async def gone(_: RedisGauges) -> Gauges:
        raise StoreUnavailable("timeout")

    monkeypatch.setattr(RedisGauges, "read", gone)
    assert [await named(ticks) for _ in range(3)] == ["away"] * 3
    monkeypatch.setattr(RedisGauges, "read", read)
    assert await named(ticks) == "tick"


async def test_a_page_that_is_watched_does_not_count_as_requests(
    ticks: AsyncIterator[bytes], state: State
) -> None:
    before = bytes(state.requests.times._table.numbers)
    assert [await named(ticks) for _ in range(3)] == ["tick", "same", "same"]
    assert bytes(state.requests.times._table.numbers) == before
