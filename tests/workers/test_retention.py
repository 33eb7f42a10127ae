"""When finished jobs are forgotten, and what ends neither the loop nor its pass."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from gateway import events
from gateway.errors import StoreUnavailable
from gateway.jobs import Job
from gateway.lifecycle import JobEvent, JobState
from gateway.resources import Resources
from gateway.store import keys
from gateway.store.base import AdmissionLimits
from gateway.store.effects import OweEvent, SetFields
from gateway.store.retention import RedisRetention
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import new_job
from workers import retention
from workers.retention import Retention

_LOCK = "{gw}:retention"


class Store(RedisRetention):
    """Keeps finished jobs for no time at all, and is away for as many first passes as a test wants."""

    def __init__(self, resources: Resources, away: int = 0) -> None:
        super().__init__(resources.redis, resources.scripts, 0)
        self._away = away
        self.passes = 0

    async def expired(self, limit: int) -> list[str]:
        self.passes += 1
        if self.passes <= self._away:
            raise StoreUnavailable("Redis does not answer")
        return await super().expired(limit)


async def finished(resources: Resources) -> Job:
    job = new_job()
    await resources.jobs.accept(job, None, "", AdmissionLimits(queue_max=1000))
    at = resources.environment.now_ms()
    after = replace(job, state=JobState.CANCELED, finished_at=at)
    move = Transition(
        JobEvent.CANCEL_REQUESTED,
        effects=[SetFields({"finished_at": at}), OweEvent(events.make(after, None))],
    )
    await resources.jobs.apply(job, move)
    return after


async def until_gone(resources: Resources, job: Job) -> None:
    async with asyncio.timeout(10):
        while await resources.jobs.read(job.id):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def end(task: asyncio.Task[None]) -> None:
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.2)


async def test_one_pass_forgets_all_that_is_due_however_much_it_is(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 3)
    for _ in range(10):
        await finished(resources)
    waiting = new_job()
    await resources.jobs.accept(waiting, None, "", AdmissionLimits(queue_max=1000))
    with capture_logs() as logged:
        assert await Retention(Store(resources), resources.scripts).sweep() == 10
    assert await resources.redis.keys(keys.event("*")) == []
    assert await resources.jobs.read(waiting.id)
    assert [(line["event"], line["jobs"]) for line in logged] == [("jobs_forgotten", 10)]


async def test_of_many_processes_one_makes_the_pass(resources: Resources) -> None:
    job = await finished(resources)
    await Retention(Store(resources), resources.scripts).sweep()
    other = await finished(resources)
    assert await Retention(Store(resources), resources.scripts).sweep() == 0
    assert await resources.jobs.read(job.id) is None
    assert await resources.jobs.read(other.id)
    assert 0 < await resources.redis.pttl(_LOCK) <= 60_000


@pytest.mark.parametrize("damage", ["a field", "the type"])
async def test_an_unreadable_record_is_kept_and_does_not_stop_the_others(
    resources: Resources, damage: str
) -> None:
    broken, job = [await finished(resources) for _ in range(2)]
    if damage == "a field":
        await resources.redis.hset(keys.job(broken.id), "earlier", "garbage")  # type: ignore[misc]
    else:
        await resources.redis.delete(keys.job(broken.id))
        await resources.redis.set(keys.job(broken.id), "garbage")
    with capture_logs() as logged:
        assert await Retention(Store(resources), resources.scripts).sweep() == 1
    assert await resources.jobs.read(job.id) is None
    assert await resources.redis.exists(keys.job(broken.id))
    [line] = [line for line in logged if line["event"] == "forgetting_failed"]
    assert line["job"] == broken.id


async def test_it_passes_again_and_again(resources: Resources, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PAUSE_SECONDS", 0.01)
    running = asyncio.create_task(Retention(Store(resources), resources.scripts).run())
    for _ in range(2):
        await until_gone(resources, await finished(resources))
    await end(running)


async def test_redis_being_away_ends_a_pass_and_never_the_loop(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PAUSE_SECONDS", 0.01)
    job = await finished(resources)
    with capture_logs() as logged:
        running = asyncio.create_task(Retention(Store(resources, away=3), resources.scripts).run())
        await until_gone(resources, job)
        async with asyncio.timeout(10):
            while logged[-1]["event"] != "retention_back":  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        await end(running)
    assert [line["event"] for line in logged] == ["retention_cut_short", "jobs_forgotten", "retention_back"]


async def test_jobs_are_forgotten_when_redis_is_full(resources: Resources) -> None:
    job = await finished(resources)
    before = (await resources.redis.config_get("maxmemory"))["maxmemory"]
    await resources.redis.config_set("maxmemory", 1)
    try:
        assert await Retention(Store(resources), resources.scripts).sweep() == 1
    finally:
        await resources.redis.config_set("maxmemory", before)
    assert await resources.jobs.read(job.id) is None
