"""A process notices that the media store goes away, and that it is back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from gateway.background import cancel_all
from gateway.errors import MediaStoreUnavailable
from gateway.media import opening
from gateway.media.base import MediaStore
from gateway.media.folder import MARKER
from gateway.media.location import Bucket
from gateway.media.opening import MediaHealth, open_store, tend
from tests.gateway.store.test_memory_watermark_gauge import until
from tests.processes import free_port


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_PAUSE_SECONDS", "_FIRST_PAUSE_SECONDS"):
        assert getattr(opening, name) <= 30
        monkeypatch.setattr(opening, name, 0.01)


@asynccontextmanager
async def tended(
    store: MediaStore, place: Path | Bucket
) -> AsyncIterator[tuple[MediaHealth, list[EventDict]]]:
    health = MediaHealth()
    with capture_logs() as logged:
        tending = asyncio.create_task(tend(store, place, lambda: 0.0, health))
        try:
            yield health, logged
        finally:
            await cancel_all(tending)


def events(logged: list[EventDict]) -> list[tuple[str, str]]:
    return [(line["event"], line["log_level"]) for line in logged if "place" in line]


def away(_: object) -> Coroutine[Any, Any, str]:
    async def probe() -> str:
        raise MediaStoreUnavailable("no connection")

    return probe()


async def test_a_store_that_goes_away_and_comes_back_is_logged_once_each(
    store: MediaStore, place: Path | Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with tended(store, place) as (health, logged):
        assert health.up is None
        await until(lambda: health.up is True)
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(type(store), "probe", away)
            await until(lambda: health.up is False)
            await asyncio.sleep(0.05)
        await until(lambda: health.up is True)
    assert events(logged) == [("media_ready", "info"), ("media_away", "warning"), ("media_back", "info")]
    assert logged[-1]["place"] == (str(place) if isinstance(place, Path) else place.url)


async def test_a_bucket_that_is_away_at_the_start_is_logged(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    async with tended(open_store(bucket), bucket) as (health, logged):
        await until(lambda: health.up is False)
    assert events(logged) == [("media_away", "warning")]
    assert "no connection to the bucket" in logged[0]["reason"]


async def test_a_volume_that_is_unmounted_under_a_gateway_is_away(tmp_path: Path) -> None:
    async with tended(open_store(tmp_path), tmp_path) as (health, _):
        await until(lambda: health.up is True)
        (tmp_path / MARKER).unlink()
        await until(lambda: health.up is False)
        await asyncio.sleep(0.05)
        assert not (tmp_path / MARKER).exists()


async def test_a_worker_that_starts_before_a_gateway_says_nothing(
    store: MediaStore, place: Path | Bucket
) -> None:
    async with tended(open_store(place, makes_marker=False), place) as (health, logged):
        await asyncio.sleep(0.03)
        await store.mark()
        await until(lambda: health.up is True)
    assert events(logged) == [("media_ready", "info")]


async def test_a_worker_without_the_volume_says_so(place: Path | Bucket) -> None:
    async with tended(open_store(place, makes_marker=False), place) as (health, logged):
        await until(lambda: health.up is False)
    assert events(logged) == [("media_away", "warning")]
    assert "is not the gateway's" in logged[0]["reason"]


async def test_a_store_that_hangs_is_away_and_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_ANSWER_SECONDS", 0.02)
    store, mounted, asked = open_store(tmp_path), asyncio.Event(), []

    async def probe() -> str:
        asked.append(1)
        await mounted.wait()
        return "a folder"

    monkeypatch.setattr(store, "probe", probe)
    async with tended(store, tmp_path) as (health, logged):
        await until(lambda: health.up is False)
        await asyncio.sleep(0.05)
        assert len(asked) == 1
        mounted.set()
        await until(lambda: health.up is True)
    assert events(logged) == [("media_away", "warning"), ("media_back", "info")]
