"""What ops watch, against the real server."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from gateway.dispatch import ACCOUNT, AccountLimits, Role
from gateway.errors import StoreUnavailable
from gateway.lifecycle import JobEvent
from gateway.store import keys
from gateway.store.account_gauges import AccountGauges
from gateway.store.client import connection_pool
from gateway.store.effects import Tally
from gateway.store.jobs import RedisJobStore
from gateway.store.lanes import Lanes
from gateway.store.memory_watermark import ratio_of
from gateway.store.snapshot import Gauges, RedisGauges, RoleGauges
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import ROLES, Accept, held


async def read(redis: Redis) -> Gauges:
    return await RedisGauges(redis, time.monotonic, ROLES[Role.SUBMIT]).read()


async def only(redis: Redis) -> AccountGauges:
    [account] = (await read(redis)).accounts
    return account


async def test_an_empty_store_shows_zeros(redis: Redis) -> None:
    found = await read(redis)
    assert (found.counts, found.tally) == ({}, {})
    assert found.roles == {role: RoleGauges(0, 0.0, 0, 0.0, 0, 0.0) for role in Role}


async def test_depth_slots_and_counts_are_what_stands_in_the_lanes(redis: Redis, accept: Accept) -> None:
    for _ in range(5):
        await accept()
    found = await read(redis)
    assert (found.roles[Role.SUBMIT].slots, found.roles[Role.SUBMIT].waiting) == (2, 3)
    assert found.counts == {"job:queued": 5}
    assert found.roles[Role.DELIVER].waiting == 0


async def test_the_age_of_the_longest_wait_is_measured_on_the_server_s_clock(
    redis: Redis, accept: Accept
) -> None:
    for _ in range(4):
        await accept()
    [oldest, _] = await redis.zrange(keys.waiting(Role.SUBMIT), 0, -1)
    seconds, _ = await redis.time()
    await redis.zadd(keys.waiting(Role.SUBMIT), {oldest: (seconds - 600) * 1000})
    assert (await read(redis)).roles[Role.SUBMIT].oldest_seconds == pytest.approx(600, abs=5)


@pytest.mark.parametrize(("ahead", "overdue"), [(-90, 90), (90, 0)])
async def test_what_is_due_is_overdue_only_when_its_time_has_passed(
    redis: Redis, ahead: int, overdue: int
) -> None:
    seconds, _ = await redis.time()
    await redis.zadd(keys.due(Role.CONFIRM), {"main|job_1": (seconds + ahead) * 1000})
    found = (await read(redis)).roles[Role.CONFIRM]
    assert found.due == 1
    assert found.overdue_seconds == pytest.approx(overdue, abs=5)


@pytest.mark.parametrize(("ahead", "overdue"), [(-90, 90), (90, 0), (float("inf"), 0)])
async def test_a_lease_is_overdue_only_when_it_ran_out(redis: Redis, ahead: float, overdue: int) -> None:
    seconds, _ = await redis.time()
    await redis.zadd(keys.slots(Role.SUBMIT), {"acme|job_1": (seconds + ahead) * 1000, "acme|job_2": "+inf"})
    assert (await read(redis)).roles[Role.SUBMIT].lease_overdue_seconds == pytest.approx(overdue, abs=5)


async def test_before_the_first_sweep_there_is_no_age(redis: Redis, lanes: Lanes) -> None:
    assert (await read(redis)).sweep_age_seconds is None
    await lanes.note_sweep()
    assert (await read(redis)).sweep_age_seconds == pytest.approx(0, abs=5)


@pytest.mark.parametrize("ago", [0, 600])
async def test_before_the_first_proof_the_callbacks_way_has_no_age(redis: Redis, ago: int) -> None:
    found = await read(redis)
    assert (found.callback_path_age_seconds, found.callback_path_unproven_seconds) == (None, None)
    seconds, _ = await redis.time()
    await redis.hset(keys.CALLBACK_PATH, "last", str((seconds - ago) * 1000))  # type: ignore[misc]
    assert (await read(redis)).callback_path_age_seconds == pytest.approx(ago, abs=5)


async def test_the_account_is_paused_from_the_moment_that_it_is(redis: Redis) -> None:
    assert await only(redis) == AccountGauges("main", paused=False, held=False, slots=4, limit=4, in_flight=0)
    seconds, _ = await redis.time()
    refused = {"parked_at": 1, "slots": 2, "cut_at": seconds * 1000}
    await redis.hset(keys.account(ACCOUNT), mapping=refused)  # type: ignore[misc]
    found = await only(redis)
    assert replace(found, paused_seconds=0) == AccountGauges(
        "main", paused=True, held=False, slots=2, limit=4, in_flight=0
    )
    assert found.paused_seconds == pytest.approx(seconds, abs=5)


async def test_each_account_is_shown_with_what_is_held_of_it(redis: Redis) -> None:
    accounts = (AccountLimits("main", 3), AccountLimits("second", 2))
    submit = replace(ROLES[Role.SUBMIT], accounts=accounts)
    await redis.zadd(keys.slots(Role.SUBMIT), dict.fromkeys(("acme|job_1", "acme|job_2", "acme|job_3"), 1))
    await redis.hset(keys.ACCOUNT_INFLIGHT, "second", "2")  # type: ignore[misc]
    found = await RedisGauges(redis, time.monotonic, submit).read()
    assert [(one.name, one.in_flight, one.limit) for one in found.accounts] == [
        ("main", 1, 3),
        ("second", 2, 2),
    ]


async def test_the_age_of_the_longest_unknown_outcome_is_shown(redis: Redis) -> None:
    assert (await read(redis)).unknown_oldest_seconds == 0
    seconds, _ = await redis.time()
    await redis.zadd(keys.UNKNOWNS, {"job_2": seconds * 1000, "job_1": (seconds - 600) * 1000})
    assert (await read(redis)).unknown_oldest_seconds == pytest.approx(600, abs=5)


async def test_the_share_of_memory_is_zero_without_a_limit(redis: Redis) -> None:
    before = (await redis.config_get("maxmemory"))["maxmemory"]
    try:
        await redis.config_set("maxmemory", "0")
        assert (await read(redis)).memory_ratio == 0
        used = (await redis.info("memory"))["used_memory"]
        await redis.config_set("maxmemory", str(used * 4))
        ratio = ratio_of(await redis.info("memory"))
        assert (await read(redis)).memory_ratio == pytest.approx(ratio, abs=0.05)
    finally:
        await redis.config_set("maxmemory", before)


async def test_counts_follow_the_jobs_and_the_tally_only_grows(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await accept()
    claimed = await jobs.claim(await held(redis, Role.SUBMIT, job.id), "run-1")
    assert claimed
    for _ in range(2):
        await jobs.apply(
            claimed, Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[Tally(["submissions|accepted"])])
        )
    found = await read(redis)
    assert {name: n for name, n in found.counts.items() if n} == {"job:submitted": 1}
    assert found.tally == {"jobs_accepted": 1, "submissions|accepted": 2}


async def test_a_server_that_takes_writes_is_ready_and_keeps_nothing_of_the_question(redis: Redis) -> None:
    await RedisGauges(redis, time.monotonic, ROLES[Role.SUBMIT]).ping()
    assert await redis.keys("*") == []


async def test_a_server_that_is_away_is_named_in_our_own_words() -> None:
    pool = connection_pool("redis://127.0.0.1:1/0", timeout_seconds=1, retries=0, connections=2)
    gauges = RedisGauges(Redis(connection_pool=pool), time.monotonic, ROLES[Role.SUBMIT])
    with pytest.raises(StoreUnavailable):
        await gauges.ping()
    with pytest.raises(StoreUnavailable):
        await gauges.read()
    await pool.disconnect()


@pytest.mark.parametrize(("ahead", "on"), [(60, True), (-60, False)])
async def test_the_account_is_held_until_the_time_that_the_upstream_named(
    redis: Redis, ahead: int, on: bool
) -> None:
    assert not (await only(redis)).held
    seconds, _ = await redis.time()
    await redis.hset(keys.account(ACCOUNT), "hold_until", str((seconds + ahead) * 1000))  # type: ignore[misc]
    assert (await only(redis)).held is on


async def test_lanes_of_subscribers_that_are_paused_are_counted(redis: Redis, lanes: Lanes) -> None:
    assert (await read(redis)).paused_lanes == 0
    await lanes.pause(Role.DELIVER, "ep_1", 60_000)
    await lanes.pause(Role.DELIVER, "ep_2", None)
    await lanes.pause(Role.CONFIRM, "main", None)
    assert (await read(redis)).paused_lanes == 2
