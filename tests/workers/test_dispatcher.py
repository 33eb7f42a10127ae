"""What is due is dispatched when it is due, whoever scheduled it, and only the process that leads asks."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest
from arq.connections import ArqRedis
from structlog.testing import capture_logs

from gateway.dispatch import Role, queue_name
from gateway.errors import StoreUnavailable
from gateway.store import keys
from gateway.store.client import connection_pool
from gateway.store.lanes import Dispatched, Lanes
from tests.gateway.store.conftest import dispatched
from tests.workers.conftest import Rig, end, eventually, leading
from workers import dispatcher
from workers.arq_worker import token
from workers.dispatcher import Dispatcher

_LONG = 60.0  # in place of a second: longer than any test waits


@contextlib.asynccontextmanager
async def running(
    dispatcher: Dispatcher, leads: asyncio.Event | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(dispatcher.run(leads or leading()))
    try:
        yield task
    finally:
        await end(task)


async def schedule(rig: Rig, name: str, in_ms: int) -> None:
    """As if the leader had been there when it was scheduled: no token is left for it."""
    seconds, microseconds = await rig.redis.time()
    at = seconds * 1000 + microseconds // 1000 + in_ms
    await rig.redis.zadd(keys.due(Role.DELIVER), {f"ep_1|{name}": at})


async def postpone(rig: Rig, in_ms: int) -> str:
    """A new job whose poll is due then, as a worker writes it down; its id."""
    job = await rig.submitted(tenant=f"tenant{next(rig.tasks)}")
    await rig.callback(job, job.task_id)
    await rig.redis.delete(queue_name(Role.CONFIRM))  # a worker took it
    await rig.resources.jobs.postpone(await rig.ticket(Role.CONFIRM, job.id), in_ms, {})
    return job.id


@contextlib.asynccontextmanager
async def listening(rig: Rig, dispatcher: Dispatcher) -> AsyncIterator[None]:
    pool = connection_pool(rig.submitter.settings.redis_url, timeout_seconds=10, retries=1, connections=2)
    redis = ArqRedis(pool)
    take = dispatcher.listen(lambda: token(redis, keys.DISPATCH_WAKE, 8), leading())
    task = asyncio.create_task(take)
    try:
        yield
    finally:
        await end(task)
        await pool.disconnect()


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

    async def was_dispatched() -> bool:
        return await dispatched(rig.redis, Role.DELIVER) == ["dlv_1"]

    async with running(Dispatcher(rig.resources.lanes)):
        await eventually(was_dispatched)


async def test_whoever_schedules_something_within_the_second_wakes_the_process_that_leads(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "IDLE_SECONDS", _LONG)
    lanes = CountedLanes(rig)
    waiting = Dispatcher(lanes)

    async def asked() -> bool:
        return lanes.asked == 1

    async with running(waiting), listening(rig, waiting):
        await eventually(asked)
        job = await postpone(rig, 100)

        async def was_dispatched() -> bool:
            return await dispatched(rig.redis, Role.CONFIRM) == [job]

        await eventually(was_dispatched)


async def tokens(rig: Rig) -> int:
    found: int = await rig.redis.llen(keys.DISPATCH_WAKE)  # type: ignore[misc]
    return found


async def test_no_token_is_left_for_what_the_leader_sees_in_time_anyway(rig: Rig) -> None:
    await postpone(rig, 60_000)
    assert await tokens(rig) == 0
    await schedule(rig, "dlv_1", 100)  # in another role
    await postpone(rig, 950)
    assert await tokens(rig) == 1


async def test_no_token_is_left_behind_something_that_is_due_earlier(rig: Rig) -> None:
    await postpone(rig, 900)
    await rig.redis.delete(keys.DISPATCH_WAKE)
    await postpone(rig, 990)
    assert await tokens(rig) == 0


async def test_there_is_never_more_than_one_token(rig: Rig) -> None:
    for in_ms in (800, 400):
        await postpone(rig, in_ms)
        assert await tokens(rig) == 1


async def test_a_process_that_does_not_lead_asks_only_when_it_is_woken(rig: Rig) -> None:
    lanes, leads = CountedLanes(rig), asyncio.Event()
    follower = Dispatcher(lanes)

    async def asked(times: int) -> bool:
        return lanes.asked == times

    async with running(follower, leads):
        await eventually(lambda: asked(1))  # as it starts
        await asyncio.sleep(1.2)
        assert lanes.asked == 1
        leads.set()
        follower.soon()
        await eventually(lambda: asked(3))


async def test_who_took_a_token_and_leads_no_more_still_dispatches_what_it_was_for(rig: Rig) -> None:
    follower = Dispatcher(rig.resources.lanes)
    async with running(follower, asyncio.Event()):
        await asyncio.sleep(0.05)
        await schedule(rig, "dlv_1", 300)
        follower.soon()

        async def was_dispatched() -> bool:
            return await dispatched(rig.redis, Role.DELIVER) == ["dlv_1"]

        await eventually(was_dispatched)


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
