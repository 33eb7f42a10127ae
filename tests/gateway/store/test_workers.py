"""Heartbeats of worker processes, and what becomes of what they held when they end."""

from __future__ import annotations

import time

import pytest
from redis.asyncio import Redis

from gateway.dispatch import Role, Ticket
from gateway.jobs import Job, submit_ticket
from gateway.store import keys
from gateway.store.jobs import RedisJobStore
from gateway.store.lanes import Lanes
from gateway.store.script_runner import Scripts
from gateway.store.workers import RedisWorkers
from tests.gateway.store.conftest import Accept, held

FIELDS: dict[str, str | int] = {"host": "here", "pid": 1}


@pytest.fixture
def workers(redis: Redis, scripts: Scripts) -> RedisWorkers:
    return RedisWorkers(redis, scripts)


async def taken(redis: Redis, scripts: Scripts, accept: Accept, process: str) -> tuple[Job, Ticket]:
    """A job whose submission the process took off arq's queue."""
    job = await accept()
    names = ["{gw}:submit:arq", f"memory:{process}", keys.held_by(process)]
    found = await scripts.run("claim_arq_jobs", names, [job.id, 10, 60_000, ""])
    ticket = await held(redis, Role.SUBMIT, job.id)
    assert found[0] == ticket.arq_name
    return job, ticket


async def heard(redis: Redis, process: str, seconds_ago: float, steady: float | None = None) -> None:
    """The last heartbeat of the process was so long ago. `steady`: since when there was no gap."""
    await redis.zadd(keys.WORKERS, {process: (time.time() - seconds_ago) * 1000})
    if steady is not None:
        await redis.hset(keys.worker(process), "steady_since", f"{(time.time() - steady) * 1000:.0f}")  # type: ignore[misc]


async def lost(lanes: Lanes) -> list[str]:
    return [ticket.name for ticket in await lanes.expired(Role.SUBMIT)]


async def test_what_a_dead_process_held_is_taken_back_at_the_heartbeat_of_another(
    redis: Redis, scripts: Scripts, accept: Accept, workers: RedisWorkers, lanes: Lanes
) -> None:
    job, _ = await taken(redis, scripts, accept, "dead")
    await heard(redis, "dead", 4)
    await heard(redis, "alive", 1, steady=3)
    assert await lost(lanes) == []
    await redis.set(keys.SWEEP, 1)
    assert await workers.beat("alive", FIELDS) == 1
    assert await lost(lanes) == [job.id]
    assert not await redis.exists(keys.SWEEP)  # the next sweep need not wait for the last one
    assert await workers.beat("alive", FIELDS) == 0


async def test_what_a_process_takes_just_after_it_was_frozen_is_not_taken_back(
    redis: Redis, scripts: Scripts, accept: Accept, workers: RedisWorkers, lanes: Lanes
) -> None:
    await heard(redis, "frozen", 4)
    await heard(redis, "alive", 1, steady=3)
    await taken(redis, scripts, accept, "frozen")
    assert await workers.beat("alive", FIELDS) == 0
    assert await lost(lanes) == []


async def test_a_claim_after_a_gap_does_not_let_the_process_judge_others(
    redis: Redis, scripts: Scripts, accept: Accept, workers: RedisWorkers, lanes: Lanes
) -> None:
    await taken(redis, scripts, accept, "other")
    for process in ("first", "other"):  # Redis was away
        await heard(redis, process, 4, steady=60)
    await taken(redis, scripts, accept, "first")
    assert await workers.beat("first", FIELDS) == 0
    assert await lost(lanes) == []


async def test_what_a_process_held_that_nobody_knows_of_is_forgotten(
    redis: Redis, scripts: Scripts, accept: Accept, workers: RedisWorkers
) -> None:
    await taken(redis, scripts, accept, "unknown")
    assert not await redis.exists(keys.WORKERS)
    assert 0 < await redis.pttl(keys.held_by("unknown")) <= 60_000
    await redis.persist(keys.held_by("unknown"))
    await workers.beat("unknown", FIELDS)
    assert 0 < await redis.pttl(keys.held_by("unknown")) <= 60_000


async def test_a_process_that_reports_keeps_what_it_holds(
    redis: Redis, scripts: Scripts, accept: Accept, workers: RedisWorkers, lanes: Lanes
) -> None:
    await taken(redis, scripts, accept, "slow")
    await heard(redis, "slow", 2)
    await heard(redis, "alive", 1, steady=3)
    assert await workers.beat("alive", FIELDS) == 0
    assert await lost(lanes) == []


@pytest.mark.parametrize(("seconds_ago", "steady"), [(5, 60), (1, 1.5)])
async def test_who_was_not_heard_all_the_time_calls_nobody_dead(
    redis: Redis,
    scripts: Scripts,
    accept: Accept,
    workers: RedisWorkers,
    lanes: Lanes,
    seconds_ago: float,
    steady: float,
) -> None:
    """Redis was away: for all, or for the one that reports now."""
    await taken(redis, scripts, accept, "dead")
    await heard(redis, "dead", 5)
    await heard(redis, "back", seconds_ago, steady=steady)
    assert await workers.beat("back", FIELDS) == 0
    assert await lost(lanes) == []


async def test_a_new_process_calls_nobody_dead(
    redis: Redis, scripts: Scripts, accept: Accept, workers: RedisWorkers, lanes: Lanes
) -> None:
    await taken(redis, scripts, accept, "dead")
    await heard(redis, "dead", 5)
    assert await workers.beat("new", FIELDS) == 0
    assert await lost(lanes) == []


async def test_what_a_process_held_is_taken_back_when_it_ends(
    redis: Redis, scripts: Scripts, accept: Accept, workers: RedisWorkers, lanes: Lanes
) -> None:
    job, _ = await taken(redis, scripts, accept, "one")
    await workers.beat("one", FIELDS)
    assert await workers.leave("one") == 1
    assert await lost(lanes) == [job.id]
    assert not await redis.keys("{gw}:worker*")


async def test_what_a_process_left_undone_is_taken_back_and_nothing_else(
    redis: Redis, scripts: Scripts, accept: Accept, workers: RedisWorkers, lanes: Lanes
) -> None:
    job, ticket = await taken(redis, scripts, accept, "one")
    await taken(redis, scripts, accept, "one")
    assert await workers.beat("one", FIELDS, [ticket.arq_name]) == 1
    assert await lost(lanes) == [job.id]


async def test_what_another_process_has_by_now_is_left_to_it(
    redis: Redis, scripts: Scripts, accept: Accept, workers: RedisWorkers, lanes: Lanes
) -> None:
    _, ticket = await taken(redis, scripts, accept, "one")
    assert await lanes.redispatch(ticket)
    assert await workers.leave("one") == 0
    assert await lost(lanes) == []


async def test_a_slot_that_is_held_for_the_upstream_is_kept(
    redis: Redis, scripts: Scripts, accept: Accept, workers: RedisWorkers, lanes: Lanes
) -> None:
    job, ticket = await taken(redis, scripts, accept, "one")
    await redis.zadd(keys.slots(Role.SUBMIT), {str(submit_ticket(job)): "+inf"})
    await workers.beat("one", FIELDS)
    assert not await redis.exists(keys.held_by("one"))
    assert await workers.beat("one", FIELDS, [ticket.arq_name]) == 0


async def test_what_finished_is_forgotten_at_the_next_heartbeat(
    redis: Redis, scripts: Scripts, accept: Accept, workers: RedisWorkers, jobs: RedisJobStore
) -> None:
    _, first = await taken(redis, scripts, accept, "one")
    _, second = await taken(redis, scripts, accept, "one")
    await jobs.drop(first)
    await workers.beat("one", FIELDS)
    assert await redis.smembers(keys.held_by("one")) == {second.arq_name}  # type: ignore[misc]


async def test_a_process_that_was_silent_for_a_minute_leaves_nothing_behind(
    redis: Redis, scripts: Scripts, accept: Accept, workers: RedisWorkers
) -> None:
    await taken(redis, scripts, accept, "gone")
    await heard(redis, "gone", 61, steady=70)
    await workers.beat("new", FIELDS)
    assert not await redis.exists(keys.held_by("gone"), keys.worker("gone"))
    assert await redis.zrange(keys.WORKERS, 0, -1) == ["new"]


async def test_a_foreign_name_among_what_a_process_took_is_forgotten(
    redis: Redis, workers: RedisWorkers
) -> None:
    await redis.sadd(keys.held_by("alive"), "foreign")  # type: ignore[misc]
    await workers.beat("alive", FIELDS)
    assert not await redis.exists(keys.held_by("alive"))
