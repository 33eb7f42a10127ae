"""After a failover nothing is submitted for a while, and no number of a lost submission is used again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from gateway.dispatch import PREFIX, CallbackLimits, FailoverLimits, Role, Ticket
from gateway.jobs import Job
from gateway.lifecycle import JobState
from gateway.store import keys
from gateway.store.base import AdmissionLimits, Callback, CallbackOutcome
from gateway.store.client import connection_pool
from gateway.store.jobs import RedisJobStore
from gateway.store.lanes import Lanes
from gateway.store.ops_log import RedisOpsLog
from gateway.store.script_runner import Scripts
from tests.gateway.store.conftest import ROLES, held, new_job
from tests.replicated import Servers, ask, replicate, servers, wait_until

HOLD_MS = 3_600_000


@dataclass
class Store:
    redis: Redis
    jobs: RedisJobStore
    lanes: Lanes
    scripts: Scripts

    async def accept(self) -> Job:
        job = new_job()
        await self.jobs.accept(job, None, "fingerprint", AdmissionLimits(queue_max=10))
        return job

    async def claim(self, job: Job) -> Job | None:
        return await self.jobs.claim(await held(self.redis, Role.SUBMIT, job.id), "a run")

    async def claim_from_arq(self) -> list[str]:
        """The states after the claims of a worker."""
        names = [f"{PREFIX}submit:arq", "{gw}:memory", "{gw}:worker:w:held"]
        terms = self.jobs.terms()[Role.SUBMIT]
        found = await self.scripts.run("claim_arq_jobs", names, [str(id(object())), 10, 60_000, terms])
        return [begun[0] for begun in found[2::3]]

    async def end_hold(self) -> None:
        await self.redis.hset(keys.PRIMARY, "held_until", "0")  # type: ignore[misc]


@dataclass
class Pair:
    """A primary with a replica; `fail_over` leaves the store of the replica, which lacks what came after
    `cut`."""

    made: Servers
    first: int
    second: int
    store: Store
    limits: FailoverLimits

    async def cut(self) -> None:
        """From now on, the replica gets nothing more."""
        marker = f"{PREFIX}synced"
        await self.store.redis.set(marker, "1")
        with self.made.at(self.second) as replica:
            await asyncio.to_thread(wait_until, lambda: replica.get(marker) == "1")
            ask(replica, "REPLICAOF", "NO", "ONE")

    async def fail_over(self) -> Store:
        await self.store.redis.connection_pool.disconnect()
        self.made.kill(self.first)
        self.store = store_at(self.second, self.limits)
        return self.store


def store_at(port: int, limits: FailoverLimits) -> Store:
    roles = ROLES | {Role.SUBMIT: replace(ROLES[Role.SUBMIT], failover=limits)}
    pool = connection_pool(f"redis://127.0.0.1:{port}", timeout_seconds=30, retries=0, connections=16)
    redis = Redis(connection_pool=pool)
    scripts = Scripts(redis)
    jobs = RedisJobStore(redis, scripts, roles, CallbackLimits(90_000, 30_000, 604_800_000))
    return Store(redis, jobs, Lanes(scripts, roles), scripts)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    limits = FailoverLimits(HOLD_MS)
    with servers(tmp_path) as made:
        first = made.start()
        second = replicate(made, first)
        pair = Pair(made, first, second, store_at(first, limits), limits)
        yield pair
        await pair.store.redis.connection_pool.disconnect()


async def test_a_job_whose_submission_was_lost_is_not_claimed_before_the_hold_is_over(pair: Pair) -> None:
    job = await pair.store.accept()
    await pair.store.lanes.note_sweep()
    await pair.cut()
    paid = await pair.store.claim(job)
    assert paid
    assert await pair.store.jobs.release(paid)
    store = await pair.fail_over()
    read = await store.jobs.read(job.id)
    assert read
    assert read.state is JobState.QUEUED  # the trap: it looks unpaid
    assert await store.claim(job) is None
    assert await store.claim_from_arq() == []
    again = await store.jobs.read(job.id)
    assert again
    assert again.state is JobState.QUEUED
    await store.end_hold()
    claimed = await store.claim(job)
    assert claimed
    assert claimed.epoch > paid.epoch


async def test_the_task_of_a_lost_submission_may_call_back_during_the_hold(pair: Pair) -> None:
    job = await pair.store.accept()
    await pair.store.lanes.note_sweep()
    await pair.cut()
    paid = await pair.store.claim(job)
    assert paid
    assert await pair.store.jobs.release(paid)
    store = await pair.fail_over()
    assert await store.claim(job) is None
    told = Callback(job.id, job.tenant, paid.epoch, "completed", task_id="task-1", terminal=True)
    assert await store.jobs.callback(told) is CallbackOutcome.AHEAD
    await store.end_hold()
    assert await store.claim(job) is None
    read = await store.jobs.read(job.id)
    assert read
    assert read.task_id == "task-1"


async def test_the_task_of_a_lost_submission_that_calls_back_too_late_belongs_to_an_earlier_one(
    pair: Pair,
) -> None:
    job = await pair.store.accept()
    await pair.store.lanes.note_sweep()
    await pair.cut()
    paid = await pair.store.claim(job)
    assert paid
    store = await pair.fail_over()
    assert await store.claim(job) is None
    await store.end_hold()
    second = await store.claim(job)
    assert second
    assert await store.jobs.release(second)
    told = Callback(job.id, job.tenant, paid.epoch, "completed", task_id="task-1", terminal=True)
    assert await store.jobs.callback(told) is CallbackOutcome.EARLIER


async def test_work_waits_in_its_queue_and_goes_on_after_the_hold(pair: Pair) -> None:
    await pair.store.accept()
    await pair.store.lanes.note_sweep()
    await pair.cut()
    store = await pair.fail_over()
    assert await store.claim_from_arq() == []
    await store.end_hold()
    assert await store.claim_from_arq() == ["moved"]


async def test_jobs_accepted_after_the_failover_count_their_submissions_from_one(pair: Pair) -> None:
    await pair.store.lanes.note_sweep()
    await pair.cut()
    store = await pair.fail_over()
    await store.lanes.note_sweep()
    await store.end_hold()
    await asyncio.sleep(0.01)
    claimed = await store.claim(await store.accept())
    assert claimed
    assert claimed.epoch == 1


async def test_a_failover_is_logged_and_counted_once(pair: Pair) -> None:
    await pair.store.lanes.note_sweep()
    await pair.cut()
    before = pair.store.lanes._failovers
    store = await pair.fail_over()
    store.lanes._failovers = before
    with capture_logs() as logged:
        await store.lanes.note_sweep()
        await store.lanes.note_sweep()
    [line] = logged
    assert (line["event"], line["log_level"]) == ("store_failed_over", "error")
    assert line["lost"] == "acknowledged writes may be gone"
    found = await RedisOpsLog(store.redis).events(None, 10)
    assert [row["kind"] for row in found.rows] == ["store_failed_over"]
    assert await store.redis.hget(keys.TALLY, "store_failovers|unacknowledged") == "1"  # type: ignore[misc]


async def test_a_primary_that_restarts_or_gets_a_replica_has_not_failed_over(tmp_path: Path) -> None:
    with servers(tmp_path) as made:
        port = made.start()
        store = store_at(port, FailoverLimits(HOLD_MS))
        job = await store.accept()
        await store.lanes.note_sweep()
        await asyncio.to_thread(replicate, made, port)
        await store.lanes.note_sweep()
        await store.redis.connection_pool.disconnect()
        made.kill(port)
        made.start(port=port)
        store = store_at(port, FailoverLimits(HOLD_MS))
        await store.lanes.note_sweep()
        assert await store.claim(job)
        assert await store.redis.hget(keys.PRIMARY, "failovers") is None  # type: ignore[misc]
        await store.redis.connection_pool.disconnect()


async def test_the_hold_lasts_until_every_journal_is_replayed(pair: Pair) -> None:
    job = await pair.store.accept()
    await pair.store.lanes.note_sweep()
    for process in ("gateway-1", "gateway-2", "gateway-3"):
        await pair.store.jobs.report_journal(process, 0)
    await pair.store.jobs.report_journal("gateway-3", 0, leaves=True)
    await pair.cut()
    store = await pair.fail_over()
    assert await store.claim(job) is None
    await store.end_hold()
    assert await store.claim(job) is None
    assert await store.jobs.report_journal("gateway-1", 1) == 1
    assert await store.claim(job) is None
    assert await store.jobs.report_journal("gateway-2", 0) == 1  # sent before the failover, it came after
    assert await store.claim(job) is None
    assert await store.jobs.report_journal("gateway-2", 1) == 1
    assert await store.claim(job)


async def test_a_gateway_that_does_not_come_back_is_not_waited_for_for_ever(pair: Pair) -> None:
    job = await pair.store.accept()
    await pair.store.lanes.note_sweep()
    await pair.store.jobs.report_journal("gateway-1", 0)
    await pair.cut()
    store = await pair.fail_over()
    assert await store.claim(job) is None
    await store.end_hold()
    failed_over_at = int(await store.redis.hget(keys.PRIMARY, "failed_over_at") or 0)  # type: ignore[misc]
    await store.redis.hset(keys.PRIMARY, "failed_over_at", str(failed_over_at - 300_001))  # type: ignore[misc]
    assert await store.claim(job)


async def test_a_claim_that_is_repeated_during_the_hold_is_still_the_same(pair: Pair) -> None:
    job = await pair.store.accept()
    await pair.store.lanes.note_sweep()
    ticket = await held(pair.store.redis, Role.SUBMIT, job.id)
    assert await pair.store.jobs.claim(ticket, "a run")
    await pair.cut()
    store = await pair.fail_over()
    repeated = await store.jobs.claim(Ticket.parse(Role.SUBMIT, str(ticket), ticket.dispatch_number), "a run")
    assert repeated
    assert repeated.epoch == 1
    assert await store.jobs.release(repeated)
