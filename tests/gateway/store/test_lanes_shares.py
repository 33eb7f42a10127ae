"""First attempts, retries and what is recovered, in one lane and over all, on the real server."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from gateway.dispatch import Role, RoleLimits
from gateway.store import arguments
from gateway.store.lanes import Lanes
from tests.gateway.store.conftest import dispatched
from tests.gateway.store.lane_scripts import (
    DISPATCH,
    ENTER,
    GIVE_BACK,
    LEAVE,
    REACTIVATE,
    SET_DUE,
    Call,
    caller,
)

NOW = 1_795_000_000_000


@pytest.fixture
def call(redis: Redis) -> Call:
    return caller(redis)


async def enter(call: Call, kind: str, *tickets: str, role: Role = Role.DELIVER) -> None:
    for ticket in tickets:
        await call(ENTER, role, ticket, kind, NOW)


async def dispatch(call: Call, limits: RoleLimits, role: Role = Role.DELIVER, at: int = NOW) -> int:
    handed: int = await call(DISPATCH, arguments.dump(arguments.limits_of({role: limits}, role)), at)
    return handed


def limits(slots: int, lane_slots: int, share: float = 0.5) -> RoleLimits:
    return RoleLimits(slots, lane_slots, lease_ms=60_000, retry_share=share)


async def served(call: Call, redis: Redis, by: RoleLimits, times: int) -> list[str]:
    """The names in the order in which they are handed out, each done before the next is taken."""
    for _ in range(times):
        await dispatch(call, by)
        for ticket in await redis.hkeys("{gw}:deliver:holders"):  # type: ignore[misc]
            await call(LEAVE, "deliver", ticket)
    return await dispatched(redis, Role.DELIVER)


async def test_retries_of_a_lane_leave_the_rest_of_its_slots_to_first_attempts(
    call: Call, redis: Redis
) -> None:
    await enter(call, "again", "ep|r1", "ep|r2", "ep|r3", "ep|r4")
    assert await dispatch(call, limits(10, 4)) == 2
    await enter(call, "new", "ep|n1", "ep|n2", "ep|n3")
    assert await dispatch(call, limits(10, 4)) == 2
    assert await dispatched(redis, Role.DELIVER) == ["r1", "r2", "n1", "n2"]


async def test_first_attempts_may_hold_every_slot_of_their_lane(call: Call, redis: Redis) -> None:
    await enter(call, "new", "ep|n1", "ep|n2", "ep|n3", "ep|n4")
    assert await dispatch(call, limits(4, 4)) == 4


async def test_retries_of_all_lanes_together_leave_slots_to_first_attempts(call: Call, redis: Redis) -> None:
    await enter(call, "again", *(f"ep{n}|r{n}" for n in range(6)))
    assert await dispatch(call, limits(4, 4)) == 2
    await enter(call, "new", "other|n1", "ep5|n2", "other|n3")
    assert await dispatch(call, limits(4, 4)) == 2
    handed = await dispatched(redis, Role.DELIVER)
    assert (handed[:2], set(handed[2:])) == (["r0", "r1"], {"n1", "n2"})


async def test_a_retry_that_ends_makes_room_for_one_of_another_lane(call: Call, redis: Redis) -> None:
    await enter(call, "again", *(f"ep{n}|r{n}" for n in range(4)))
    await dispatch(call, limits(4, 4))
    await call(LEAVE, "deliver", "ep0|r0")
    assert await dispatch(call, limits(4, 4)) == 1
    assert await dispatched(redis, Role.DELIVER) == ["r0", "r1", "r2"]


async def test_a_share_is_never_less_than_one(call: Call, redis: Redis) -> None:
    await enter(call, "again", "ep|r1")
    assert await dispatch(call, limits(1, 1, share=0.1)) == 1


async def test_first_attempts_and_retries_of_a_lane_with_one_slot_take_turns(
    call: Call, redis: Redis
) -> None:
    await enter(call, "again", "ep|r1", "ep|r2", "ep|r3")
    await enter(call, "new", "ep|n1", "ep|n2", "ep|n3")
    assert await served(call, redis, limits(4, 1), 6) == ["r1", "n1", "r2", "n2", "r3", "n3"]


async def test_retries_go_in_the_order_in_which_they_became_due(call: Call, redis: Redis) -> None:
    for ticket, at in (
        ("ep|late", NOW - 1),
        ("ep|early", NOW - 9),
        ("ep|middle", NOW - 5),
        ("ep|not yet", NOW + 1),
    ):
        await call(SET_DUE, "deliver", ticket, at)
    assert await served(call, redis, limits(4, 4), 3) == ["early", "middle", "late"]


async def test_what_is_recovered_goes_after_all_else_of_its_lane(call: Call, redis: Redis) -> None:
    await enter(call, "recovered", "ep|c1", "ep|c2")
    await enter(call, "new", "ep|n1")
    await enter(call, "again", "ep|r1")
    order = await served(call, redis, limits(4, 1), 4)
    assert order[2:] == ["c1", "c2"]


async def test_what_is_recovered_counts_in_the_share_of_retries(call: Call, redis: Redis) -> None:
    await enter(call, "recovered", "ep|c1", "ep|c2", "ep|c3")
    assert await dispatch(call, limits(10, 4)) == 2
    await enter(call, "new", "ep|n1")
    assert await dispatch(call, limits(10, 4)) == 1
    assert (await dispatched(redis, Role.DELIVER))[-1] == "n1"


async def test_a_recovered_delivery_that_fails_is_a_retry_like_any_other(call: Call, redis: Redis) -> None:
    await enter(call, "recovered", "ep|c1", "ep|c2")
    await dispatch(call, limits(10, 1))
    await call(GIVE_BACK, "deliver", "ep|c1", NOW, NOW + 1)
    await dispatch(call, limits(10, 1), at=NOW)  # the second has the lane's only slot now
    await call(LEAVE, "deliver", "ep|c2")
    await enter(call, "recovered", "ep|c3")
    await dispatch(call, limits(10, 1), at=NOW + 2)
    assert await dispatched(redis, Role.DELIVER) == ["c1", "c2", "c1"]


@pytest.mark.parametrize("role", [Role.SUBMIT, Role.CONFIRM])
async def test_without_a_share_what_comes_again_goes_first_into_every_slot(
    call: Call, redis: Redis, role: Role
) -> None:
    await enter(call, "new", "acme|n1", role=role)
    await enter(call, "again", "acme|r1", "acme|r2", "acme|r3", role=role)
    assert await dispatch(call, limits(3, 3, share=1.0), role) == 3
    assert await dispatched(redis, role) == ["r1", "r2", "r3"]


async def test_what_retries_hold_is_not_counted_twice_when_they_are_given_back_twice(
    call: Call, redis: Redis
) -> None:
    await enter(call, "again", "ep|r1", "ep|r2")
    await dispatch(call, limits(10, 4))
    for _ in range(3):
        await call(LEAVE, "deliver", "ep|r1")
    assert await redis.hgetall("{gw}:deliver:retries") == {"ep": "1"}  # type: ignore[misc]
    assert await redis.smembers("{gw}:deliver:retrying") == {"ep|r2"}  # type: ignore[misc]
    await call(LEAVE, "deliver", "ep|r2")
    assert not await redis.exists("{gw}:deliver:retries", "{gw}:deliver:retrying")


async def test_a_lane_may_have_a_cap_of_its_own_that_is_lower(call: Call, redis: Redis) -> None:
    await redis.hset("{gw}:deliver:caps", mapping={"small": 1, "large": 5})  # type: ignore[misc]
    for lane in ("small", "large", "plain"):
        await enter(call, "new", *(f"{lane}|{lane}{n}" for n in range(6)))
    await dispatch(call, limits(100, 3))
    assert await redis.hgetall("{gw}:deliver:inflight") == {"small": "1", "large": "3", "plain": "3"}  # type: ignore[misc]


async def test_the_share_of_a_lane_follows_its_own_cap(call: Call, redis: Redis) -> None:
    await redis.hset("{gw}:deliver:caps", "ep", "4")  # type: ignore[misc]
    await enter(call, "again", *(f"ep|r{n}" for n in range(6)))
    assert await dispatch(call, limits(100, 8)) == 2


async def test_a_lane_that_waited_for_the_share_of_retries_is_served_once_and_then_in_turn(
    call: Call, redis: Redis
) -> None:
    await enter(call, "again", *(f"a|a{n}" for n in range(4)), *(f"b|b{n}" for n in range(4)))
    order = await served(call, redis, limits(2, 1), 8)
    assert [name[0] for name in order] == ["a", "b"] * 4


async def test_a_lane_that_waited_for_the_share_of_retries_and_is_paused_is_not_served(
    call: Call, redis: Redis, lanes: Lanes
) -> None:
    await enter(call, "again", "a|a1", "b|b1", "c|c1")
    await dispatch(call, limits(2, 1))  # one of them, and the others wait for its end
    for lane in ("b", "c"):
        await lanes.pause(Role.DELIVER, lane, None)
    await call(LEAVE, "deliver", "a|a1")
    assert await dispatch(call, limits(2, 1)) == 0


async def test_a_cap_that_was_raised_holds_from_the_next_dispatch(call: Call, redis: Redis) -> None:
    await redis.hset("{gw}:deliver:caps", "ep", "1")  # type: ignore[misc]
    await enter(call, "new", *(f"ep|n{n}" for n in range(4)))
    assert await dispatch(call, limits(10, 4)) == 1
    await redis.hset("{gw}:deliver:caps", "ep", "3")  # type: ignore[misc]
    await call(REACTIVATE, "deliver", "ep")
    assert await dispatch(call, limits(10, 4)) == 2


@pytest.mark.parametrize("kind", ["new", "again", "recovered"])
async def test_what_enters_while_it_is_under_way_takes_one_slot_and_comes_again(
    call: Call, redis: Redis, kind: str
) -> None:
    await enter(call, "new", "ep|n1")
    await dispatch(call, limits(10, 4))
    await enter(call, kind, "ep|n1")
    assert await dispatch(call, limits(10, 4)) == 0
    assert await redis.hgetall("{gw}:deliver:inflight") == {"ep": "1"}  # type: ignore[misc]
    await call(GIVE_BACK, "deliver", "ep|n1", NOW, NOW)
    assert await dispatch(call, limits(10, 4)) == 1
