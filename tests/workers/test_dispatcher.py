"""What is due is handed out when it is due, by whichever process, and an idle one hardly asks."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from gateway.dispatch import Role
from gateway.errors import StoreUnavailable
from gateway.store import keys
from gateway.store.lanes import Dispatched, Lanes
from tests.gateway.store.conftest import dispatched
from tests.workers.conftest import Rig, end, eventually
from workers import dispatcher, runner
from workers.dispatcher import Dispatcher

_LONG = 60.0  # in place of a second: longer than any test waits


@contextlib.asynccontextmanager
async def running(dispatcher: Dispatcher) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(dispatcher.run())
    try:
        yield task
    finally:
        await end(task)


async def schedule(rig: Rig, name: str, in_ms: int) -> None:
    seconds, microseconds = await rig.redis.time()
    at = seconds * 1000 + microseconds // 1000 + in_ms
    await rig.redis.zadd(keys.due(Role.DELIVER), {f"ep_1|{name}": at})


class CountedLanes(Lanes):
    """Counts how often it was asked, and may be away at first."""

    def __init__(self, rig: Rig, away: int = 0) -> None:
        super().__init__(rig.resources.scripts, rig.resources.settings.roles())
        self.away = away
        self.asked = 0

    async def tick(self) -> Dispatched:
        self.asked += 1
        if self.asked <= self.away:
            raise StoreUnavailable("Redis does not answer")
        return await super().tick()


async def test_an_idle_process_asks_once_a_second(rig: Rig) -> None:
    assert await Dispatcher(rig.resources.lanes).dispatch() == 1.0


async def test_a_process_sleeps_until_the_next_is_due_and_no_longer_than_a_second(rig: Rig) -> None:
    await schedule(rig, "dlv_1", 60_000)
    assert await Dispatcher(rig.resources.lanes).dispatch() == 1.0
    await schedule(rig, "dlv_2", 900)
    assert 0.005 <= await Dispatcher(rig.resources.lanes).dispatch() <= 0.9


async def test_more_than_one_batch_is_dispatched_almost_without_a_pause(rig: Rig) -> None:
    for n in range(150):
        await schedule(rig, f"dlv_{n}", -1)
    assert await Dispatcher(rig.resources.lanes).dispatch() == 0.005


async def test_what_is_due_is_dispatched_then_and_not_at_the_next_tick(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "IDLE_SECONDS", _LONG)
    await schedule(rig, "dlv_1", 100)

    async def handed() -> bool:
        return await dispatched(rig.redis, Role.DELIVER) == ["dlv_1"]

    async with running(Dispatcher(rig.resources.lanes)):
        await eventually(handed)


async def test_who_schedules_something_soon_wakes_the_process(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "IDLE_SECONDS", _LONG)
    lanes = CountedLanes(rig)
    waiting = Dispatcher(lanes)

    async def asked() -> bool:
        return lanes.asked == 1

    async def handed() -> bool:
        return await dispatched(rig.redis, Role.DELIVER) == ["dlv_1"]

    async with running(waiting):
        await eventually(asked)
        await schedule(rig, "dlv_1", 100)
        waiting.soon()
        await eventually(handed)


async def test_however_often_it_is_woken_the_store_is_asked_at_intervals(rig: Rig) -> None:
    lanes = CountedLanes(rig)
    waiting = Dispatcher(lanes)

    async def asked() -> bool:
        waiting.soon()
        return lanes.asked >= 20

    began = time.monotonic()
    async with running(waiting):
        await eventually(asked)
    assert (lanes.asked - 1) * dispatcher.LEAST_SECONDS <= time.monotonic() - began + 0.001


async def test_redis_being_away_ends_a_pass_and_never_the_dispatcher(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "IDLE_SECONDS", 0.002)
    lanes = CountedLanes(rig, away=3)

    async def asked() -> bool:
        return lanes.asked > 5

    with capture_logs() as logged:
        async with running(Dispatcher(lanes)) as task:
            await eventually(asked)
            assert not task.done()
    assert [line["event"] for line in logged] == ["dispatch_cut_short", "dispatch_back"]


async def test_every_worker_process_has_one_which_its_messenger_wakes(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "HttpUpstream", lambda *_, **__: rig.upstream)
    async with runner._context(rig.resources) as ctx:
        assert ctx["delivery_worker"].wake == ctx["dispatcher"].soon
        tasks = runner._background(rig.resources, ctx, rig.sweeper)
        assert "dispatch" in {task.get_name() for task in tasks}
        for task in tasks:
            await end(task)
