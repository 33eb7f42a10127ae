"""Everything under way, on the real server."""

from __future__ import annotations

import time

import pytest
from redis.asyncio import Redis

from gateway.dispatch import Role
from gateway.jobs import submit_ticket
from gateway.lifecycle import JobEvent
from gateway.store import keys
from gateway.store.effects import Finish, HoldSlot, PollAfter
from gateway.store.jobs import RedisJobStore
from gateway.store.snapshot import RedisGauges
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import ROLES, Accept, held


@pytest.fixture
def gauges(redis: Redis) -> RedisGauges:
    return RedisGauges(redis, time.monotonic, ROLES[Role.SUBMIT])


async def test_the_state_of_an_empty_store_is_all_zeros(gauges: RedisGauges) -> None:
    found = await gauges.work_in_progress()
    assert (found.counts, found.unknown, found.deadlines) == ({}, 0, 0)
    assert found.roles.keys() == set(Role)
    assert {n for numbers in found.roles.values() for n in numbers.values()} == {0}


async def test_the_state_shows_what_is_held_and_what_waits_and_goes_back_to_zero(
    jobs: RedisJobStore, redis: Redis, gauges: RedisGauges, accept: Accept
) -> None:
    accepted = [await accept() for _ in range(3)]
    found = (await gauges.work_in_progress()).roles[Role.SUBMIT]
    assert found == {"waiting": 1, "due": 0, "again": 0, "slots": 2, "holders": 2, "inflight": 2}
    for job in accepted:
        canceled = Transition(JobEvent.CANCEL_REQUESTED, effects=[Finish([submit_ticket(job)])])
        await jobs.apply(job, canceled)
    after = await gauges.work_in_progress()
    assert set(after.roles[Role.SUBMIT].values()) == {0}
    assert after.counts == {"job:queued": 0, "job:canceled": 3}


async def test_an_unknown_job_is_counted_while_it_is_unknown(
    jobs: RedisJobStore, redis: Redis, gauges: RedisGauges, accept: Accept
) -> None:
    job = await accept()
    claimed = await jobs.claim(await held(redis, Role.SUBMIT, job.id), "run-1")
    assert claimed
    await jobs.release(claimed)
    await jobs.apply(claimed, Transition(JobEvent.OUTCOME_LOST, effects=[HoldSlot(), PollAfter(60_000)]))
    found = await gauges.work_in_progress()
    assert found.unknown == 1
    assert found.roles[Role.CONFIRM]["due"] == 1
    assert await redis.zrange(keys.UNKNOWNS, 0, -1) == [job.id]
