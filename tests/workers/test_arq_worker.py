"""Dispatched work in the hands of the real arq: begun when woken, run once, nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from arq.connections import ArqRedis
from arq.jobs import deserialize_job_raw
from arq.worker import func
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError
from structlog.testing import capture_logs

from gateway.dispatch import Role, Ticket, deserialize
from gateway.errors import StoreUnavailable
from gateway.jobs import Job
from gateway.lifecycle import JobState
from gateway.local.valkey import valkey
from gateway.settings import Settings
from gateway.store import keys
from gateway.store.base import AdmissionLimits
from gateway.store.client import connection_pool
from gateway.store.exchange import Word
from gateway.store.jobs import RedisJobStore
from gateway.upstream.base import Accepted, Busy
from tests.gateway.store.conftest import fill, new_job
from tests.workers.conftest import Rig, end, eventually
from workers import runner
from workers.arq_worker import WakeWorker
from workers.heartbeat import Heartbeat

Work = Callable[[Ticket], Awaitable[None]]


class Submits:
    """Plays the submitter: notes the tickets, and does with each what a test says."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self.begun: asyncio.Queue[Ticket] = asyncio.Queue()

    async def submit(self, ticket: Ticket) -> None:
        self.begun.put_nowait(ticket)
        await self._work(ticket)


@contextlib.asynccontextmanager
async def worker(
    rig: Rig, submitter: Any, settings: Settings | None = None, left: list[Ticket] | None = None
) -> AsyncIterator[WakeWorker]:
    """The submit role's worker, not running yet, made as the runner makes it. `left`: what it left undone."""
    settings = settings or rig.submitter.settings
    pool = connection_pool(settings.redis_url, timeout_seconds=10, retries=1, connections=16)
    try:
        ctx = {"submitter": submitter, "leave": [] if left is None else left}
        ctx["leave"] = ctx["leave"].append
        heartbeat = Heartbeat(rig.resources.workers, [Role.SUBMIT], rig.resources.environment, lambda: 0)
        yield runner._worker(settings, Role.SUBMIT, pool, ctx, heartbeat)
    finally:
        await pool.disconnect()


@contextlib.asynccontextmanager
async def running(made: WakeWorker) -> AsyncIterator[None]:
    task = asyncio.create_task(made.main())
    try:
        yield
    finally:
        await end(task)
        for left in list(made.tasks.values()):
            await end(left)


async def ended(made: WakeWorker, count: int) -> None:
    """Waits until so many of arq's jobs have ended, its own keys of them cleared away."""

    async def over() -> bool:
        return made.jobs_complete + made.jobs_failed >= count and made.job_counter == 0

    await eventually(over)


async def nothing(_: Ticket) -> None:
    """Work that is done at once."""


async def test_a_worker_that_waits_is_woken_by_the_dispatch(rig: Rig) -> None:
    submits = Submits(nothing)
    async with worker(rig, submits) as made:
        made.poll_delay_s = 60  # so that nothing but the wake list can wake it
        made.pool.connection_pool.connection_kwargs["socket_timeout"] = 90
        async with running(made):
            await asyncio.sleep(0.05)
            job = await rig.accept()
            assert (await asyncio.wait_for(submits.begun.get(), 10)).name == job.id


async def test_an_idle_worker_asks_for_a_token_only(rig: Rig) -> None:
    async with worker(rig, Submits(nothing)) as made:
        made.poll_delay_s = 1

        async def asked() -> int:
            return int((await rig.redis.info("commandstats"))["cmdstat_blpop"]["calls"])

        async with running(made):
            await eventually(lambda: is_blocked(rig))
            before = (await rig.redis.info("commandstats"))["cmdstat_fcall"]["calls"]
            first = await asked()

            async def again() -> bool:
                return await asked() >= first + 2

            await eventually(again)
            assert (await rig.redis.info("commandstats"))["cmdstat_fcall"]["calls"] == before


async def is_blocked(rig: Rig) -> bool:
    return any(client["cmd"] == "blpop" for client in await rig.redis.client_list())


async def test_a_dispatched_job_is_submitted_and_arq_keeps_nothing_of_it(rig: Rig) -> None:
    rig.upstream.outcomes.append(Accepted("task_1"))
    async with worker(rig, rig.submitter) as made, running(made):
        job = await rig.accept()
        await ended(made, 1)
    assert (await rig.read(job)).state is JobState.SUBMITTED
    left = set(await rig.redis.keys("arq:*")) | set(await rig.redis.keys("{gw}:submit:arq*"))
    assert left == {name for name in left if ":claim:" in name}


async def test_work_that_fails_is_not_kept_by_arq_either(rig: Rig) -> None:
    async def fail(_: Ticket) -> None:
        raise ValueError("a fault of ours")

    submits = Submits(fail)
    async with worker(rig, submits) as made, running(made):
        job = await rig.accept()
        await submits.begun.get()
        await ended(made, 1)
    assert await rig.redis.keys("arq:*") == []
    assert await rig.lease(job) is not None  # so that the sweep dispatches it again


async def test_redis_being_away_is_no_failure_of_the_work(rig: Rig) -> None:
    async def be_away(_: Ticket) -> None:
        raise StoreUnavailable("Redis does not answer")

    async with worker(rig, Submits(be_away)) as made, running(made):
        await rig.accept()
        await ended(made, 1)
        assert made.jobs_failed == 0


async def test_arq_reads_the_record_that_the_dispatch_script_wrote(rig: Rig) -> None:
    job = await rig.accept()
    [name] = await rig.redis.zrange("{gw}:submit:arq", 0, -1)
    raw = (await rig.redis.get(f"arq:job:{name}")).encode()
    function, args, kwargs, tries, at = deserialize_job_raw(raw, deserializer=deserialize)
    ticket = await rig.ticket(Role.SUBMIT, job.id)
    assert (function, list(args), kwargs) == ("submit", [str(ticket), ticket.dispatch_number], {})
    assert not tries
    assert at == pytest.approx(time.time() * 1000, abs=60_000)
    assert await rig.redis.pttl(f"arq:job:{name}") > 0


async def test_a_worker_takes_up_no_more_than_the_role_has_slots(rig: Rig) -> None:
    release = asyncio.Event()

    async def wait(_: Ticket) -> None:
        await release.wait()

    submits = Submits(wait)
    async with worker(rig, submits) as made, running(made):
        for _ in range(4):
            await rig.accept()
        for _ in range(2):
            await asyncio.wait_for(submits.begun.get(), 10)
        await asyncio.sleep(0.05)
        assert submits.begun.empty()
        release.set()


async def test_a_job_sent_back_to_its_lane_is_run_again_by_the_same_worker(rig: Rig) -> None:
    rig.upstream.outcomes.extend([Busy("429"), Accepted("task_1")])
    async with worker(rig, rig.submitter) as made, running(made):
        job = await rig.accept()
        await ended(made, 1)
        await rig.make_due(Role.SUBMIT, f"acme|{job.id}")
        await ended(made, 2)
    after = await rig.read(job)
    assert (after.state, after.epoch) == (JobState.SUBMITTED, 2)


async def test_a_worker_that_drains_finishes_what_it_took_up_and_takes_up_nothing_more(rig: Rig) -> None:
    begun: list[str] = []
    finished: list[str] = []

    async def take_turns(ticket: Ticket) -> None:
        begun.append(ticket.name)
        await asyncio.sleep(0.002 if len(begun) == 1 else 0.1)
        finished.append(ticket.name)

    wide = rig.submitter.settings.model_copy(update={"upstream_slots": 20, "upstream_tenant_slots": 20})
    store = RedisJobStore(rig.redis, rig.resources.scripts, wide.roles(), wide.callback_limits())
    for _ in range(20):
        await store.accept(new_job(), None, "fingerprint", AdmissionLimits(queue_max=100))
    submits = Submits(take_turns)
    async with worker(rig, submits, wide) as made, running(made):
        await submits.begun.get()
        await made.drain(10)
        at_the_end = sorted(begun), sorted(finished), made.job_counter
        await asyncio.sleep(0.05)
        assert at_the_end == (sorted(begun), sorted(begun), 0)


async def test_a_worker_keeps_its_places_however_often_redis_broke_while_it_took_up_work(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    submits = Submits(nothing)
    job = await rig.accept()
    async with worker(rig, submits) as made:
        with monkeypatch.context() as broken:

            async def break_down(*_: object, **__: object) -> None:
                raise RedisConnectionError("gone")

            broken.setattr(made.scripts._connections, "call", break_down)
            for _ in range(made.max_jobs):
                with pytest.raises(StoreUnavailable):
                    await made.main()
        async with running(made):
            begun = asyncio.create_task(submits.begun.get())
            await asyncio.wait([begun], timeout=2)
            assert begun.done()
            assert begun.result().name == job.id


# -- the claim


class Counted:
    """How much room each claim of a worker was for, and what happens before its answer is read."""

    def __init__(self, made: WakeWorker, before: Callable[[], Awaitable[None]] | None = None) -> None:
        self.rooms: list[int] = []
        self._run, self._before = made.scripts.run, before
        made.scripts.run = self._counting  # type: ignore[method-assign]

    async def _counting(self, verb: str, keys: Sequence[str], args: Sequence[Word], **_: Any) -> Any:
        found = await self._run(verb, keys, args)
        if verb == "claim_arq_jobs":
            self.rooms.append(int(args[1]))
            if self._before:
                await self._before()
        return found


def wide(rig: Rig, slots: int) -> tuple[Settings, RedisJobStore]:
    settings = rig.submitter.settings.model_copy(
        update={"upstream_slots": slots, "upstream_tenant_slots": slots}
    )
    store = RedisJobStore(rig.redis, rig.resources.scripts, settings.roles(), settings.callback_limits())
    return settings, store


async def test_all_that_waits_is_claimed_in_one_step_and_one_wake_up_is_one_claim(rig: Rig) -> None:
    settings, store = wide(rig, 10)
    release = asyncio.Event()

    async def wait(_: Ticket) -> None:
        await release.wait()

    submits = Submits(wait)
    for _ in range(6):
        await store.accept(new_job(), None, "fingerprint", AdmissionLimits(queue_max=100))
    async with worker(rig, submits, settings) as made:
        counted = Counted(made)
        async with running(made):
            for _ in range(6):
                await asyncio.wait_for(submits.begun.get(), 10)
            assert counted.rooms == [10]
            assert await rig.redis.exists("{gw}:submit:arq:wake") == 0
            await store.accept(new_job(), None, "fingerprint", AdmissionLimits(queue_max=100))
            await asyncio.wait_for(submits.begun.get(), 10)
            release.set()
            await ended(made, 7)
    assert counted.rooms == [10, 4]


async def test_wake_ups_that_no_room_was_left_for_are_passed_on_to_others(rig: Rig) -> None:
    settings, store = wide(rig, 10)
    release = asyncio.Event()

    async def wait(_: Ticket) -> None:
        await release.wait()

    for _ in range(6):
        await store.accept(new_job(), None, "fingerprint", AdmissionLimits(queue_max=100))
    first, second = Submits(wait), Submits(nothing)
    async with worker(rig, first, settings) as full, worker(rig, second, settings) as other:
        full.max_jobs = 2
        async with running(full):
            for _ in range(2):
                await asyncio.wait_for(first.begun.get(), 10)
            async with running(other):
                for _ in range(4):
                    await asyncio.wait_for(second.begun.get(), 10)
            release.set()


async def test_of_two_workers_each_job_is_run_by_one(rig: Rig) -> None:
    settings, store = wide(rig, 40)
    submits = Submits(nothing)
    jobs = [new_job() for _ in range(40)]
    for job in jobs:
        await store.accept(job, None, "fingerprint", AdmissionLimits(queue_max=100))
    async with worker(rig, submits, settings) as one, worker(rig, submits, settings) as other:
        one.max_jobs = other.max_jobs = 30
        await asyncio.gather(one._take_up(), other._take_up())
        await asyncio.gather(*one.tasks.values(), *other.tasks.values())
    assert sorted(submits.begun.get_nowait().name for _ in range(submits.begun.qsize())) == sorted(
        job.id for job in jobs
    )


async def test_a_claim_whose_answer_was_lost_is_made_again_and_another_finds_nothing(rig: Rig) -> None:
    await rig.accept()
    async with worker(rig, Submits(nothing)) as made:
        for claim, length in (("first", 3), ("first", 3), ("second", 0)):
            found = await made.scripts.run(
                "claim_arq_jobs", [made.queue_name, "memory", "held"], [claim, 5, 60_000, ""]
            )
            assert len(found) == length


async def test_a_claim_begins_the_work_and_its_repeat_begins_it_once(rig: Rig) -> None:
    job = await rig.accept()
    terms = rig.resources.jobs.terms()[Role.SUBMIT]
    async with worker(rig, Submits(nothing)) as made:
        for _ in range(2):
            args: list[Word] = ["first", 5, 60_000, terms]
            found = await made.scripts.run("claim_arq_jobs", [made.queue_name, "memory", "held"], args)
            assert (found[2][0], found[2][2]) == ("moved", "submitting")
    begun = await rig.read(job)
    assert (begun.state, begun.epoch, begun.run) == (JobState.SUBMITTING, 1, "first1")
    assert await rig.lease(job) is not None


async def test_work_that_was_dispatched_again_is_not_begun_by_an_old_claim(rig: Rig) -> None:
    job = await rig.accept()
    await rig.redis.hset("{gw}:submit:holders", f"{job.tenant}|{job.id}", "99")  # type: ignore[misc]
    async with worker(rig, Submits(nothing)) as made:
        args: list[Word] = ["first", 5, 60_000, rig.resources.jobs.terms()[Role.SUBMIT]]
        found = await made.scripts.run("claim_arq_jobs", [made.queue_name, "memory", "held"], args)
        assert found[2][0] == "stale"
    assert (await rig.read(job)).state is JobState.QUEUED


async def test_a_job_is_submitted_with_what_its_claim_read(rig: Rig) -> None:
    rig.upstream.outcomes.append(Accepted("task_1"))
    jobs = rig.resources.jobs
    async with worker(rig, rig.submitter) as made:
        made._terms = jobs.terms()[Role.SUBMIT]
        async with running(made):
            job = await rig.accept()
            await ended(made, 1)
    assert (await rig.read(job)).state is JobState.SUBMITTED


async def damage(rig: Rig, job: Job, damaged: str) -> None:
    if damaged == "another type":
        await rig.redis.set(keys.job(job.id), "damaged")  # overwrites it
    elif damaged == "no tenant":
        await rig.redis.hdel(keys.job(job.id), "tenant")  # type: ignore[misc]
    elif damaged == "an epoch that is no number":
        await rig.redis.hset(keys.job(job.id), "epoch", "one")  # type: ignore[misc]
    else:
        ticket = await rig.ticket(Role.SUBMIT, job.id)
        await rig.redis.rename(f"arq:job:{ticket.arq_name}", "arq:job:foreign")
        await rig.redis.zrem("{gw}:submit:arq", ticket.arq_name)
        await rig.redis.zadd("{gw}:submit:arq", {"foreign": ticket.dispatch_number})


@pytest.mark.parametrize(
    "damaged", ["another type", "no tenant", "an epoch that is no number", "a foreign name"]
)
async def test_one_damaged_job_of_a_claim_does_not_stop_the_others(rig: Rig, damaged: str) -> None:
    settings, store = wide(rig, 10)
    rig.upstream.outcomes += [Accepted("task_1"), Accepted("task_2"), Accepted("task_3")]
    first, odd, last = jobs = [new_job() for _ in range(3)]
    for job in jobs:
        await store.accept(job, None, "fingerprint", AdmissionLimits(queue_max=100))
    await damage(rig, odd, damaged)
    async with worker(rig, rig.submitter, settings) as made:
        made._terms = store.terms()[Role.SUBMIT]
        with capture_logs() as logged:
            async with running(made):
                await ended(made, 3)
    failed = [line["ticket"] for line in logged if line["event"] == "work_failed"]
    assert failed == ([] if damaged == "a foreign name" else [odd.id])
    for job in (first, last):
        assert (await rig.read(job)).state is JobState.SUBMITTED


async def test_a_claim_whose_answer_was_lost_in_an_outage_is_repeated_when_it_is_over(rig: Rig) -> None:
    job = await rig.accept()
    submits = Submits(nothing)
    async with worker(rig, submits) as made:
        run = made.scripts.run

        async def lose_reply(*args: Any, **options: Any) -> Any:
            await run(*args, **options)
            made.scripts.run = run  # type: ignore[method-assign]
            raise StoreUnavailable("Redis does not answer")

        made.scripts.run = lose_reply  # type: ignore[method-assign]
        with pytest.raises(StoreUnavailable):
            await made.main()
        async with running(made):
            assert (await asyncio.wait_for(submits.begun.get(), 10)).name == job.id


async def test_what_a_process_took_is_known(rig: Rig) -> None:
    job = await rig.accept()
    ticket = await rig.ticket(Role.SUBMIT, job.id)
    async with worker(rig, Submits(nothing)) as made:
        names = [made.queue_name, "memory", made._held]
        await made.scripts.run("claim_arq_jobs", names, ["first", 5, 60_000, ""])
    assert await rig.redis.smembers(made._held) == {ticket.arq_name}  # type: ignore[misc]


async def test_work_that_was_left_undone_because_redis_was_away_is_logged(rig: Rig) -> None:
    async def fail(_: Ticket) -> None:
        raise StoreUnavailable("Redis does not answer")

    job = await rig.accept()
    left: list[Ticket] = []
    async with worker(rig, Submits(fail), left=left) as made, running(made):

        async def was_notified() -> bool:
            return bool(left)

        await eventually(was_notified)
    assert [ticket.name for ticket in left] == [job.id]


async def test_a_job_whose_record_ran_out_is_no_work(rig: Rig) -> None:
    await rig.accept()
    await rig.redis.delete(*await rig.redis.keys("arq:job:*"))
    async with worker(rig, Submits(nothing)) as made:
        assert await made._take_up()
        assert made.job_counter == 0
        assert await rig.redis.zcard(made.queue_name) == 0


async def test_what_was_claimed_while_the_worker_was_asked_to_stop_is_finished(rig: Rig) -> None:
    """It was begun in the same step, so nobody else would take it before its lease runs out."""
    job = await rig.accept()
    submits = Submits(nothing)
    async with worker(rig, submits) as made:

        async def ask_to_stop() -> None:
            made.allow_pick_jobs = False

        Counted(made, ask_to_stop)
        await made._take_up()
        await made.drain(10)
        assert (await submits.begun.get()).name == job.id


async def test_work_that_goes_on_for_too_long_is_cut_off(rig: Rig) -> None:
    async def hang(_: Ticket) -> None:
        await asyncio.Event().wait()

    async with worker(rig, Submits(hang)) as made, running(made):
        made.functions["submit"] = replace(made.functions["submit"], timeout_s=0.05)
        job = await rig.accept()
        await ended(made, 1)
        assert made.jobs_failed == 1
    assert await rig.lease(job) is not None  # so that the sweep dispatches it again


async def test_what_was_handed_over_before_redis_was_full_is_run(tmp_path: Path) -> None:
    ran: asyncio.Queue[int] = asyncio.Queue()

    async def work(ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> None:
        ran.put_nowait(args[0])

    with valkey(tmp_path, "--maxmemory", "4mb") as server:
        pool = connection_pool(server.url, timeout_seconds=10, retries=1, connections=20)
        redis = ArqRedis(pool, job_serializer=orjson.dumps, default_queue_name="{gw}:test:arq")
        for number in range(3):
            await redis.enqueue_job("work", number)
        await fill(redis)
        made = WakeWorker(
            [func(work, name="work")],
            queue_name="{gw}:test:arq",
            redis_pool=redis,
            handle_signals=False,
            process="tester",
        )
        async with running(made):
            async with asyncio.timeout(10):
                assert {await ran.get() for _ in range(3)} == {0, 1, 2}
            await made.drain(10)
        with pytest.raises(OutOfMemoryError):
            await redis.set("ballast", "one more")
        await pool.disconnect()
