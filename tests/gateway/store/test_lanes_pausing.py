"""Lanes that are paused, half-open and resumed, and when the next dispatch is due, on the real server."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from gateway.dispatch import BATCH, Role, RoleLimits
from gateway.store import arguments
from gateway.store.lanes import LaneHealth, Lanes
from gateway.store.script_runner import Scripts
from tests.gateway.store.conftest import ROLES, dispatched
from tests.gateway.store.lane_scripts import DISPATCH, ENTER, LEAVE, SET_DUE, Call, caller

LIMITS = arguments.dump(arguments.limits_of(ROLES, Role.DELIVER))


@pytest.fixture
def call(redis: Redis) -> Call:
    return caller(redis)


async def enter(call: Call, *tickets: str, kind: str = "new") -> None:
    for ticket in tickets:
        await call(ENTER, "deliver", ticket, kind, 1)


async def clock(redis: Redis) -> int:
    seconds, microseconds = await redis.time()
    return int(seconds * 1000 + microseconds // 1000)


async def test_nothing_is_dispatched_from_a_paused_lane_and_other_lanes_go_on(
    call: Call, redis: Redis, lanes: Lanes
) -> None:
    await enter(call, "ep_a|1", "ep_b|2")
    await lanes.pause(Role.DELIVER, "ep_a", None)
    await enter(call, "ep_a|3", "ep_b|4")
    await enter(call, "ep_a|5", kind="again")
    assert await lanes.dispatch() == 2
    assert await dispatched(redis, Role.DELIVER) == ["2", "4"]
    assert (await lanes.health("ep_a")).waiting == 3


async def test_what_ends_in_a_paused_lane_lets_nothing_more_out_of_it(
    call: Call, redis: Redis, lanes: Lanes
) -> None:
    await enter(call, "ep_a|1", "ep_a|2", "ep_a|3")
    await lanes.dispatch()
    await lanes.pause(Role.DELIVER, "ep_a", None)
    await call(LEAVE, "deliver", "ep_a|1")
    assert await lanes.dispatch() == 0


async def test_a_resumed_lane_goes_on_at_once(call: Call, redis: Redis, lanes: Lanes) -> None:
    await lanes.pause(Role.DELIVER, "ep_a", None)
    await enter(call, "ep_a|1", "ep_a|2", "ep_a|3")
    await lanes.resume(Role.DELIVER, "ep_a")
    assert await dispatched(redis, Role.DELIVER) == ["1", "2"]
    assert await lanes.health("ep_a") == LaneHealth(waiting=1, in_flight=2)


async def test_a_lane_whose_time_has_come_gets_one_at_a_time(call: Call, redis: Redis, lanes: Lanes) -> None:
    await lanes.pause(Role.DELIVER, "ep_a", 60_000)
    await enter(call, "ep_a|1", "ep_a|2", "ep_a|3")
    now = await clock(redis)
    assert await call(DISPATCH, LIMITS, now + 50_000) == 0
    assert await call(DISPATCH, LIMITS, now + 61_000) == 1
    assert await call(DISPATCH, LIMITS, now + 62_000) == 0
    assert await lanes.health("ep_a") == LaneHealth(probing=True, waiting=2, in_flight=1)
    await call(LEAVE, "deliver", "ep_a|1")
    assert await call(DISPATCH, LIMITS, now + 62_000) == 1


async def test_a_lane_that_is_paused_again_is_no_longer_half_open(
    call: Call, redis: Redis, lanes: Lanes
) -> None:
    await lanes.pause(Role.DELIVER, "ep_a", 0)
    await lanes.dispatch()
    assert (await lanes.health("ep_a")).probing
    await lanes.pause(Role.DELIVER, "ep_a", 60_000)
    found = await lanes.health("ep_a")
    assert (found.paused, found.probing) == (True, False)
    assert found.paused_until == pytest.approx(await clock(redis) + 60_000, abs=10_000)


async def test_a_lane_that_was_paused_saved_up_no_turns(call: Call, redis: Redis, lanes: Lanes) -> None:
    await lanes.pause(Role.DELIVER, "ep_a", None)
    await enter(call, *(f"ep_a|a{n}" for n in range(9)), *(f"ep_b|b{n}" for n in range(9)))
    for n in range(5):
        await lanes.dispatch()
        await call(LEAVE, "deliver", f"ep_b|b{n}")
    await lanes.resume(Role.DELIVER, "ep_a")
    turns = await redis.zrange("{gw}:deliver:fair", 0, -1, withscores=True)
    assert max(score for _, score in turns) - min(score for _, score in turns) <= 2


@pytest.mark.parametrize("role", list(Role))
async def test_a_lane_of_any_role_can_be_paused(call: Call, redis: Redis, lanes: Lanes, role: Role) -> None:
    await lanes.pause(role, "acme", None)
    await call(ENTER, role, "acme|job_1", "new", 1)
    assert await lanes.dispatch() == 0
    await lanes.resume(role, "acme")
    assert await dispatched(redis, role) == ["job_1"]


async def test_an_idle_dispatch_says_that_time_alone_changes_nothing(lanes: Lanes) -> None:
    assert (await lanes.tick()).next_ms is None
    await lanes.pause(Role.DELIVER, "ep_a", None)
    assert (await lanes.tick()).next_ms is None


@pytest.mark.parametrize("role", list(Role))
async def test_the_next_dispatch_is_due_with_the_next_ticket_of_any_role(
    call: Call, redis: Redis, lanes: Lanes, role: Role
) -> None:
    now = await clock(redis)
    await call(SET_DUE, role, "lane|1", now + 90_000)
    await call(SET_DUE, role, "lane|2", now + 60_000)
    assert (await lanes.tick()).next_ms == pytest.approx(60_000, abs=10_000)


async def test_the_next_dispatch_is_due_when_a_paused_lane_becomes_half_open(
    call: Call, redis: Redis, lanes: Lanes
) -> None:
    await call(SET_DUE, "confirm", "main|1", await clock(redis) + 90_000)
    await lanes.pause(Role.DELIVER, "ep_a", 60_000)
    assert (await lanes.tick()).next_ms == pytest.approx(60_000, abs=10_000)


async def test_more_than_one_batch_is_dispatched_without_a_pause(call: Call, lanes: Lanes) -> None:
    for n in range(250):
        await call(SET_DUE, "confirm", f"main|{n}", 1)
    first = await lanes.tick()
    assert (first.number, first.next_ms) == (4, 0)  # a hundred of them were examined
    assert (await lanes.tick()).next_ms == 0
    assert (await lanes.tick()).next_ms is None


async def test_what_a_batch_left_over_is_dispatched_without_a_pause(call: Call, scripts: Scripts) -> None:
    many = Lanes(scripts, ROLES | {Role.DELIVER: RoleLimits(100, 100, lease_ms=60_000)})
    await enter(call, *(f"ep_a|{n}" for n in range(BATCH + 1)))
    first, second = await many.tick(), await many.tick()
    assert (first.number, first.next_ms) == (BATCH, 0)
    assert (second.number, second.next_ms) == (1, None)
