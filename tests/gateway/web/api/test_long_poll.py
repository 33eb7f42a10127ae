"""Waiting for a job's end: what wakes who waits, and what does not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import httpx
import pytest
from redis.asyncio import Redis

from gateway.jobs import Job
from gateway.lifecycle import JobEvent
from gateway.resources import Resources
from gateway.settings import Settings
from gateway.store import keys, notifications
from gateway.store.effects import AddToFields
from gateway.store.notifications import WakeSignal
from gateway.store.transitions import Transition
from gateway.web.streams import keepalive
from gateway.web.streams.keepalive import KeepAlive
from tests.gateway.web.api.hearing import SECONDS, Serving, cancel, post, serving
from tests.gateway.web.api.test_events_life import become
from tests.gateway.web.conftest import MakeKey


@pytest.fixture
def server(settings: Settings, empty_redis: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    monkeypatch.setattr(keepalive, "KEEPALIVE_SECONDS", 0.1)
    with serving(settings) as found:
        yield found


@pytest.fixture
async def client(server: Serving, make_key: MakeKey) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {await make_key()}"}
    return httpx.AsyncClient(base_url=server.url, headers=headers, timeout=2 * SECONDS)


async def waiting(server: Serving, client: httpx.AsyncClient, job: Job) -> asyncio.Task[httpx.Response]:
    """A request that waits for the job, once it does."""
    asked = asyncio.create_task(client.get(f"/v1/jobs/{job.id}?wait=60"))
    await become(lambda: job.id in server.state.resources.notifications._watched)
    return asked


async def test_the_end_of_the_job_ends_the_waiting_and_nothing_before_does(
    server: Serving, client: httpx.AsyncClient, resources: Resources
) -> None:
    async with client:
        job, other = await post(resources), await post(resources)
        asked, same = [await waiting(server, client, job) for _ in range(2)]
        await resources.jobs.apply(job, Transition(JobEvent.CLAIMED, effects=[AddToFields({"epoch": 1})]))
        await resources.jobs.apply(job, Transition(JobEvent.CLAIM_LOST))
        await cancel(resources, other)
        await asyncio.sleep(0.3)  # some beats
        assert not asked.done()
        found = await resources.jobs.read(job.id)
        assert found is not None
        await cancel(resources, found)
        assert (await asked).json()["status"] == (await same).json()["status"] == "canceled"
    assert server.state.resources.notifications._watched == {}


async def test_a_client_that_left_is_waited_for_no_longer(
    server: Serving, client: httpx.AsyncClient, resources: Resources
) -> None:
    async with client:
        asked = await waiting(server, client, await post(resources))
        asked.cancel()
        await asyncio.wait([asked])
    await become(lambda: server.state.resources.notifications._watched == {})


async def test_who_waits_outlives_a_word_that_was_lost(
    settings: Settings,
    empty_redis: None,
    resources: Resources,
    make_key: MakeKey,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notifications, "CHECK_SECONDS", 0.05)
    headers = {"Authorization": f"Bearer {await make_key()}"}
    with serving(settings) as server:
        async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=2 * SECONDS) as client:
            job = await post(resources)
            asked = await waiting(server, client, job)
            redis: Redis = resources.redis
            await redis.hset(keys.job(job.id), "state", "canceled")  # type: ignore[misc]
            assert (await asked).json()["status"] == "canceled"


async def test_each_bell_is_beaten_in_every_round_and_all_are_rung_at_the_end() -> None:
    stopping = asyncio.Event()
    signals = [WakeSignal() for _ in range(100)]
    async with KeepAlive(stopping, seconds=0.06) as walking, contextlib.AsyncExitStack() as included:
        for signal in signals:
            included.enter_context(walking.include(signal))
        async with asyncio.timeout(SECONDS):
            for signal in signals:
                await signal.wait()
                assert signal.was_reminded()
        stopping.set()
        await become(lambda: all(signal.notified for signal in signals))


async def test_who_is_not_included_any_more_is_not_beaten() -> None:
    async with KeepAlive(asyncio.Event(), seconds=0.03) as walking:
        gone, stays = WakeSignal(), WakeSignal()
        with walking.include(gone):
            pass
        with walking.include(stays):
            async with asyncio.timeout(SECONDS):
                for _ in range(3):
                    await stays.wait()
                    assert stays.was_reminded()
        assert not gone.was_reminded()
