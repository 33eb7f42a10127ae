"""All the workers of a process together: from queued to delivered, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.worker import func
from redis.exceptions import RedisError
from structlog.testing import capture_logs

from gateway.delivery.attempts import DeliveryOutcome
from gateway.dispatch import Role
from gateway.errors import StoreUnavailable
from gateway.lifecycle import DeliveryState, JobState
from gateway.media.base import MediaStore, Unmarked
from gateway.store import keys
from gateway.store.client import connection_pool
from gateway.upstream.base import Accepted, Found
from tests.gateway.delivery.subscriber import reply, subscriber
from tests.workers.conftest import Rig, end, eventually
from tests.workers.scripted import completed
from workers import runner
from workers.arq_worker import WakeWorker
from workers.sweep import Sweeper

Served = asyncio.Task[None]


@pytest.fixture(autouse=True)
def scripted_upstream(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the door to the network."""
    monkeypatch.setattr(runner, "HttpUpstream", lambda *_, **__: rig.upstream)


@contextlib.asynccontextmanager
async def serving(
    rig: Rig, roles: Sequence[Role] = tuple(Role)
) -> AsyncIterator[tuple[Served, asyncio.Event]]:
    stop = asyncio.Event()
    task = asyncio.create_task(runner.serve(rig.submitter.settings, roles, stop))
    try:
        yield task, stop
    finally:
        stop.set()
        await asyncio.wait([task], timeout=2)
        await end(task)


async def test_a_job_goes_from_queued_to_completed_and_its_subscriber_is_notified(rig: Rig) -> None:
    rig.upstream.outcomes.append(Accepted("task_1", completed()))
    rig.upstream.polls.append(Found(completed()))
    async with subscriber(reply(200)) as served, serving(rig):
        job = await rig.accept(callback_url=served.url)

        async def was_logged() -> bool:
            return [one.state for one in await rig.deliveries(job)] == [DeliveryState.DELIVERED]

        await eventually(was_logged)
    assert len(served.requests) == 1
    assert (await rig.read(job)).state is JobState.COMPLETED
    assert len(rig.upstream.released) == 1
    assert await rig.redis.zcard(keys.slots(Role.SUBMIT)) == 0


async def test_workers_never_say_which_place_is_that_of_the_files(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    tended: asyncio.Future[MediaStore] = asyncio.get_running_loop().create_future()

    async def tend(media: MediaStore, *_: object) -> None:
        tended.set_result(media)
        await asyncio.Event().wait()

    monkeypatch.setattr(runner, "tend", tend)
    async with serving(rig, [Role.MIRROR]):
        media = await asyncio.wait_for(tended, 10)
    with pytest.raises(Unmarked):
        await media.mark()


async def test_a_runner_of_one_role_does_not_take_the_others_work(rig: Rig) -> None:
    rig.upstream.outcomes.append(Accepted("task_1", completed()))
    async with serving(rig, [Role.SUBMIT]):
        job = await rig.accept()

        async def submitted() -> bool:
            return (await rig.read(job)).state is JobState.SUBMITTED

        await eventually(submitted)
        assert (await rig.ticket(Role.CONFIRM, job.id)).name == job.id
    assert rig.upstream.queried == []


async def test_a_runner_that_is_stopped_finishes_what_is_under_way(rig: Rig) -> None:
    sent, answer = asyncio.Event(), asyncio.Event()

    async def answer_late() -> None:
        sent.set()
        await answer.wait()

    rig.upstream.after_gate = answer_late
    rig.upstream.outcomes.append(Accepted("task_1"))
    async with serving(rig) as (task, stop):
        job = await rig.accept()
        await asyncio.wait_for(sent.wait(), 10)
        stop.set()
        await asyncio.sleep(0.05)
        assert not task.done()
        answer.set()
        await asyncio.wait_for(task, 10)
    after = await rig.read(job)
    assert (after.state, after.task_id) == (JobState.SUBMITTED, "task_1")
    assert len(rig.upstream.begun) == 1


class Queue(WakeWorker):
    """One that Redis leaves alone for as many reads as asked."""

    def __init__(self, redis: ArqRedis, away: int) -> None:
        super().__init__([func(_nothing, name="nothing")], queue_name="q", redis_pool=redis, process="one")
        self.left = away
        self.working = asyncio.Event()

    async def main(self) -> None:
        self.left -= 1
        if self.left >= 0:
            raise StoreUnavailable("Redis cannot serve: READONLY")
        self.working.set()
        await asyncio.Event().wait()


async def _nothing(ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> None:
    """Never run."""


def reported() -> asyncio.Event:
    """As after the first heartbeat."""
    known = asyncio.Event()
    known.set()
    return known


async def test_no_work_is_taken_before_redis_knows_of_the_process(rig: Rig) -> None:
    known = asyncio.Event()
    queue = Queue(ArqRedis(connection_pool=rig.redis.connection_pool), away=0)
    running = asyncio.create_task(runner._keep_running(queue, known))
    await asyncio.sleep(0.05)
    assert not queue.working.is_set()
    known.set()
    await asyncio.wait_for(queue.working.wait(), 10)
    await end(running)


async def test_an_outage_of_the_queue_is_logged_when_it_begins_and_when_it_ends(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_PAUSE_SECONDS", 0.01)
    probes = iter([None, RedisError("away"), RedisError("away"), None])

    async def probe(*_: object) -> None:
        if fault := next(probes):
            raise fault

    redis = ArqRedis(connection_pool=rig.redis.connection_pool)
    monkeypatch.setattr(redis, "delete", probe)
    queue = Queue(redis, away=1)
    with capture_logs() as logged:
        running = asyncio.create_task(runner._keep_running(queue, reported()))
        await asyncio.wait_for(queue.working.wait(), 10)
        await end(running)
    assert [(line["event"], line["queue"]) for line in logged] == [("queue_away", "q"), ("queue_back", "q")]


async def test_a_failover_that_wakes_a_blocked_worker_by_an_error_is_an_outage(rig: Rig) -> None:
    pool = connection_pool(rig.submitter.settings.redis_url, timeout_seconds=10, retries=0, connections=4)
    made = WakeWorker(
        [func(_nothing, name="nothing")],
        queue_name="{gw}:submit:arq",
        redis_pool=ArqRedis(connection_pool=pool),
        handle_signals=False,
        process="one",
    )

    async def is_blocked() -> bool:
        return any(client["cmd"] == "blpop" for client in await rig.redis.client_list())

    with capture_logs() as logged:
        running = asyncio.create_task(runner._keep_running(made, reported()))
        await eventually(is_blocked)
        [blocked] = [client["id"] for client in await rig.redis.client_list() if client["cmd"] == "blpop"]
        await rig.redis.client_unblock(blocked, error=True)
        await eventually(lambda: was_logged(logged, "queue_back"))
        assert not running.done()
        await end(running)
    assert [line["event"] for line in logged] == ["queue_away", "queue_back"]
    await pool.disconnect()


async def was_logged(logged: Sequence[Mapping[str, Any]], event: str) -> bool:
    return any(line["event"] == event for line in logged)


async def test_an_idle_runner_stops_at_once(rig: Rig) -> None:
    async with serving(rig) as (task, stop):
        await asyncio.sleep(0.05)
        stop.set()
        await asyncio.wait([task], timeout=5)
        assert task.done()


async def test_a_runner_that_ends_says_so_and_what_it_held_is_taken_back_at_once(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = asyncio.Event()

    async def hang() -> None:
        sent.set()
        await asyncio.Event().wait()

    async def cut_off(self: WakeWorker, seconds: float) -> None:
        self.allow_pick_jobs = False

    monkeypatch.setattr(WakeWorker, "drain", cut_off)
    rig.upstream.after_gate = hang
    async with serving(rig) as (task, stop):
        job = await rig.accept()
        await asyncio.wait_for(sent.wait(), 10)
        assert await rig.redis.zcard(keys.WORKERS) == 1
        stop.set()
        await asyncio.wait_for(task, 10)
    assert await rig.redis.zcard(keys.WORKERS) == 0
    await rig.sweep()
    assert (await rig.read(job)).state is JobState.UNKNOWN


async def test_a_part_that_ends_by_itself_ends_the_runner_with_its_fault(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def break_down(*_: object) -> None:
        raise ValueError("a fault of ours")

    monkeypatch.setattr(Sweeper, "run", break_down)
    with pytest.raises(ValueError, match="a fault of ours"):
        await asyncio.wait_for(runner.serve(rig.submitter.settings, [Role.SUBMIT], asyncio.Event()), 10)


async def test_a_runner_stops_although_a_part_of_it_did_not_hear_the_first_cancel(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def be_deaf_once(*_: object) -> None:  # as asyncio.wait_for of Python 3.11 is now and then
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    monkeypatch.setattr(Sweeper, "run", be_deaf_once)
    async with serving(rig, [Role.SUBMIT]) as (task, stop):
        await asyncio.sleep(0.05)
        stop.set()
        await asyncio.wait([task], timeout=4)
        assert task.done()


async def test_the_guard_and_the_webhooks_of_a_process_share_one_lookup(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, looked_up = socket.getaddrinfo, list[str]()

    def look_up(host: str, *args: Any, **options: Any) -> list[Any]:
        looked_up.append(host)
        return system("127.0.0.1" if host == "gateway.example" else host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    settings = rig.resources.settings.model_copy(update={"public_url": "http://gateway.example:7070"})
    async with (
        subscriber(reply(204)) as served,
        runner._context(replace(rig.resources, settings=settings)) as ctx,
    ):
        deliverer = ctx["delivery_worker"].deliverer
        result = await deliverer.post(f"http://gateway.example:{served.port}/", {}, b"{}")
    assert result.outcome is DeliveryOutcome.SUCCEEDED
    assert looked_up.count("gateway.example") == 1
