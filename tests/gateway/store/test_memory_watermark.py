"""A full Redis takes in nothing new, and what it holds can be worked off: on a real server that is full."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from gateway import events
from gateway.dispatch import Role
from gateway.errors import StoreUnavailable
from gateway.jobs import Job, confirm_ticket, submit_ticket
from gateway.lifecycle import DeliveryEvent, DeliveryState, JobEvent, JobState
from gateway.local.valkey import valkey
from gateway.store.accounts import RedisAccounts
from gateway.store.base import AdmissionLimits, Outcome
from gateway.store.client import connection_pool
from gateway.store.deliveries import RedisDeliveryStore
from gateway.store.effects import BindTask, Finish, HoldSlot, OweEvent, PollAfter, SetFields
from gateway.store.job_history import RedisJobHistory
from gateway.store.jobs import RedisJobStore
from gateway.store.lanes import Lanes
from gateway.store.operator_audit import RedisAudit
from gateway.store.script_runner import Scripts
from gateway.store.snapshot import RedisGauges
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import ROLES, Accept, fill, held, new_job

ROOT = Path(__file__).parents[3]
HOOK = "https://client.example.com/hook"


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[Redis]:
    """A durable server of this test's own with room for 4 MB."""
    with valkey(tmp_path, "--maxmemory", "4mb") as server:
        pool = connection_pool(server.url, timeout_seconds=5, retries=0, connections=64)
        yield Redis(connection_pool=pool)
        await pool.disconnect()


@pytest.fixture
async def inside(redis: Redis, accept: Accept) -> Job:
    """A job that was accepted before the server was full."""
    job = await accept(callback_url=HOOK, payload_characters=None)
    await fill(redis)
    await redis.config_set("maxmemory", "2mb")  # also full when the server lets go of its buffers
    return job


async def test_a_full_redis_accepts_no_job_and_keeps_nothing_of_it(
    redis: Redis, jobs: RedisJobStore, inside: Job
) -> None:
    before = set(await redis.keys("{gw}:*"))
    with pytest.raises(StoreUnavailable):
        await jobs.accept(new_job(idempotency="a1b2"), "payload", "f", AdmissionLimits(queue_max=10))
    assert set(await redis.keys("{gw}:*")) == before


async def test_a_full_redis_lets_what_it_holds_run_to_its_end(
    redis: Redis, jobs: RedisJobStore, deliveries: RedisDeliveryStore, lanes: Lanes, inside: Job
) -> None:
    claimed = await jobs.claim(await held(redis, Role.SUBMIT, inside.id), "a run")
    assert claimed
    assert await jobs.release(claimed)
    move = Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask("task_1"), HoldSlot(), PollAfter(0)])
    assert (await jobs.apply(claimed, move)).outcome is Outcome.MOVED
    await lanes.dispatch()
    looked = await jobs.begin_confirm(await held(redis, Role.CONFIRM, inside.id))
    assert looked
    done = replace(looked, state=JobState.COMPLETED, finished_at=looked.created_at + 1)
    move = Transition(
        JobEvent.UPSTREAM_SUCCEEDED,
        effects=[
            SetFields({"finished_at": done.finished_at, "output": [{"content": [{"url": "u" * 10_000}]}]}),
            Finish([submit_ticket(looked), confirm_ticket(looked)]),
            OweEvent(events.make(done, None), HOOK),
        ],
    )
    assert (await jobs.apply(looked, move)).outcome is Outcome.MOVED
    [owed] = await deliveries.of_job(inside.id)
    ticket = await held(redis, Role.DELIVER, owed.id)
    assert await deliveries.begin(ticket)
    await deliveries.finish(ticket, owed, DeliveryEvent.ATTEMPT_SUCCEEDED, retry_in_ms=None, tally=[])
    [delivered] = await deliveries.of_job(inside.id)
    assert delivered.state is DeliveryState.DELIVERED
    with pytest.raises(OutOfMemoryError):
        await redis.set("ballast", "one more")


async def test_it_accepts_again_when_there_is_room(redis: Redis, jobs: RedisJobStore, inside: Job) -> None:
    await redis.delete(*await redis.keys("ballast:*"))
    job = new_job()
    await jobs.accept(job, None, "f", AdmissionLimits(queue_max=10))
    assert await jobs.read(job.id)


async def test_a_full_redis_shows_what_it_holds(
    redis: Redis, scripts: Scripts, jobs: RedisJobStore, accounts: RedisAccounts, inside: Job
) -> None:
    canceled = Transition(JobEvent.CANCEL_REQUESTED, effects=[Finish([submit_ticket(inside)])])
    assert (await jobs.apply(inside, canceled)).outcome is Outcome.MOVED
    story = await RedisJobHistory(scripts).read(inside)
    assert [entry["event"] for entry in story] == ["accepted", "cancel_requested"]
    assert [rows async for rows in RedisAudit(redis, scripts).of_jobs(0, 2**60)] == [
        [{"job": inside.id, "tenant": "acme", **entry} for entry in story]
    ]
    gauges = RedisGauges(redis, time.monotonic, ROLES[Role.SUBMIT])
    assert (await gauges.work_in_progress()).counts == {"job:queued": 0, "job:canceled": 1}
    assert [account.in_flight for account, _ in await accounts.all()] == [0]


def test_nothing_is_read_in_a_transaction_which_a_full_redis_before_7_4_refuses() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{text[: found.start()].count(chr(10)) + 1}"
        for folder in ("gateway", "workers")
        for path in (ROOT / folder).rglob("*.py")
        for text in [path.read_text()]
        for found in re.finditer(r"\.pipeline\((?!transaction=False\))", text)
    ]
    assert wrong == []
