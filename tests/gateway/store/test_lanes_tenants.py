"""What one tenant's lanes hold together of the deliveries at once, on the real server."""

from __future__ import annotations

from collections import Counter

import pytest
from redis.asyncio import Redis

from gateway.dispatch import Role, RoleLimits
from gateway.settings import Settings
from gateway.store import arguments
from gateway.store.lanes import Lanes
from tests.gateway.store.lane_scripts import DISPATCH, ENTER, GIVE_BACK, LEAVE, Call, caller

NOW = 1_795_000_000_000
OF_TENANTS = ("tenants", "tenant_inflight", "crowd:acme", "crowd:zeta", "relieved")


@pytest.fixture
def call(redis: Redis) -> Call:
    return caller(redis)


def limits(slots: int, lane_slots: int, tenant_slots: int, share: float = 1.0) -> RoleLimits:
    return RoleLimits(slots, lane_slots, lease_ms=60_000, tenant_slots=tenant_slots, retry_share=share)


async def owe(call: Call, redis: Redis, tenant: str, *tickets: str, kind: str = "new") -> None:
    """Deliveries of the tenant that wait in their lanes."""
    for ticket in tickets:
        await redis.hset(f"{{gw}}:delivery:{ticket.partition('|')[2]}", "tenant", tenant)  # type: ignore[misc]
        await call(ENTER, "deliver", ticket, kind, NOW)


async def dispatch(call: Call, by: RoleLimits, at: int = NOW) -> int:
    handed: int = await call(
        DISPATCH, arguments.dump(arguments.limits_of({Role.DELIVER: by}, Role.DELIVER)), at
    )
    return handed


async def in_hand(redis: Redis) -> list[str]:
    return sorted(await redis.hkeys("{gw}:deliver:holders"))  # type: ignore[misc]


async def left(redis: Redis) -> int:
    """Of what is kept of tenants, how many keys there are."""
    found: int = await redis.exists(*(f"{{gw}}:deliver:{name}" for name in OF_TENANTS))
    return found


async def test_all_lanes_of_a_tenant_together_leave_slots_to_other_tenants(call: Call, redis: Redis) -> None:
    for n in range(5):
        await owe(call, redis, "acme", f"url-{n}|a{n}", f"url-{n}|b{n}")
    assert await dispatch(call, limits(10, 2, 4)) == 4
    await owe(call, redis, "zeta", "url-z|z1", "url-z|z2")
    assert await dispatch(call, limits(10, 2, 4)) == 2
    assert await redis.hgetall("{gw}:deliver:tenant_inflight") == {"acme": "4", "zeta": "2"}  # type: ignore[misc]


async def test_the_lane_of_a_tenants_events_is_one_of_its_lanes(call: Call, redis: Redis) -> None:
    for n in range(3):
        await call(ENTER, "deliver", f"events-acme|job_{n}:job.queued", "new", NOW)
    await owe(call, redis, "acme", "ep_a|a1", "ep_a|a2")
    assert await dispatch(call, limits(10, 8, 4)) == 4
    await call(ENTER, "deliver", "events-zeta|job_9:job.queued", "new", NOW)
    assert await dispatch(call, limits(10, 8, 4)) == 1


def test_the_setting_is_what_a_tenant_may_hold(settings: Settings) -> None:
    changed = settings.model_copy(update={"delivery_tenant_slots": 7})
    assert [one.roles()[Role.DELIVER].tenant_slots for one in (settings, changed)] == [50, 7]


async def test_without_a_number_of_its_own_a_tenant_may_hold_every_slot(call: Call, redis: Redis) -> None:
    await owe(call, redis, "acme", *(f"url-{n}|a{n}" for n in range(5)))
    assert await dispatch(call, RoleLimits(4, 2, lease_ms=60_000)) == 4


async def test_a_slot_that_a_tenant_frees_goes_to_its_lane_that_waited_longest(
    call: Call, redis: Redis
) -> None:
    await owe(call, redis, "acme", "url-a|a1", "url-b|b1", "url-c|c1", "url-d|d1")
    by = limits(10, 2, 2)
    await dispatch(call, by)
    assert await in_hand(redis) == ["url-a|a1", "url-b|b1"]
    await owe(call, redis, "acme", "url-a|a2")
    await dispatch(call, by)
    await call(LEAVE, "deliver", "url-b|b1")
    assert await dispatch(call, by) == 1
    assert await in_hand(redis) == ["url-a|a1", "url-c|c1"]


async def test_the_lanes_of_a_tenant_that_wait_are_served_alike(call: Call, redis: Redis) -> None:
    await owe(call, redis, "acme", *(f"url-{lane}|{lane}{n}" for lane in "abc" for n in range(6)))
    by, served = limits(10, 2, 2), Counter[str]()
    for _ in range(6):
        await dispatch(call, by)
        for ticket in await in_hand(redis):
            served[ticket[:5]] += 1
            await call(LEAVE, "deliver", ticket)
    assert served == {"url-a": 4, "url-b": 4, "url-c": 4}


async def test_what_a_tenant_frees_is_not_kept_for_it(call: Call, redis: Redis) -> None:
    await owe(call, redis, "acme", *(f"url-{lane}|{lane}{n}" for lane in "abcd" for n in range(9)))
    by, served = limits(4, 4, 3), Counter[str]()
    await dispatch(call, by)
    await owe(call, redis, "zeta", *(f"url-z|z{n}" for n in range(9)))
    await dispatch(call, by)
    assert await in_hand(redis) == ["url-a|a0", "url-b|b0", "url-c|c0", "url-z|z0"]
    for _ in range(10):
        await call(LEAVE, "deliver", (await _oldest(redis)))
        assert await dispatch(call, by) == 1
        served[(await _newest(redis))[:5]] += 1
    assert served == {"url-a": 2, "url-b": 2, "url-c": 2, "url-d": 2, "url-z": 2}


async def _by_age(redis: Redis) -> list[str]:
    rings: dict[str, str] = await redis.hgetall("{gw}:deliver:holders")  # type: ignore[misc]
    return sorted(rings, key=lambda ticket: int(rings[ticket]))


async def _oldest(redis: Redis) -> str:
    return (await _by_age(redis))[0]


async def _newest(redis: Redis) -> str:
    return (await _by_age(redis))[-1]


@pytest.mark.parametrize("why", ["empty", "parked", "held by its own cap", "only retries"])
async def test_a_slot_that_one_waiting_lane_can_not_use_goes_to_the_next(
    call: Call, redis: Redis, lanes: Lanes, why: str
) -> None:
    by = limits(20, 3, 3, share=0.5)
    await owe(call, redis, "acme", "url-b|b1", kind="again")
    await dispatch(call, by)
    await owe(call, redis, "acme", "url-a|a1", "url-a|a2")
    await dispatch(call, by)
    await owe(call, redis, "acme", "url-b|b2", kind="again")
    await dispatch(call, by)
    await owe(call, redis, "acme", "url-c|c1", "url-d|d1")
    await dispatch(call, by)
    assert await in_hand(redis) == ["url-a|a1", "url-a|a2", "url-b|b1"]
    if why == "empty":
        await call(LEAVE, "deliver", "url-b|b2")
    elif why == "parked":
        await lanes.pause(Role.DELIVER, "url-b", None)
    elif why == "held by its own cap":
        await redis.hset("{gw}:deliver:caps", "url-b", "1")  # type: ignore[misc]
    await call(LEAVE, "deliver", "url-a|a1")
    assert await dispatch(call, by) == 1
    assert await in_hand(redis) == ["url-a|a2", "url-b|b1", "url-c|c1"]


async def test_a_lane_that_is_paused_after_its_turn_was_given_back_leaves_it_to_the_next(
    call: Call, redis: Redis, lanes: Lanes
) -> None:
    by = limits(3, 2, 2)
    await owe(call, redis, "acme", "url-a|a1", "url-a|a2", "url-b|b1", "url-c|c1")
    await dispatch(call, by)
    await owe(call, redis, "zeta", "aaa|z1", "aaa|z2")
    await dispatch(call, by)
    assert await in_hand(redis) == ["aaa|z1", "url-a|a1", "url-b|b1"]
    await call(LEAVE, "deliver", "url-b|b1")
    await dispatch(call, by)  # the other tenant's turn it is; and one of the first one's waits in line
    for lane in ("url-a", "url-b"):
        await lanes.pause(Role.DELIVER, lane, None)
    await call(LEAVE, "deliver", "aaa|z1")
    await dispatch(call, by)
    assert "url-c|c1" in await in_hand(redis)


async def test_a_paused_lane_of_a_full_tenant_waits_for_its_tenant_when_it_is_resumed(
    call: Call, redis: Redis, lanes: Lanes
) -> None:
    by = limits(10, 1, 1)
    await owe(call, redis, "acme", "url-a|a1", "url-b|b1")
    await dispatch(call, by)
    await lanes.pause(Role.DELIVER, "url-b", None)
    await owe(call, redis, "acme", "url-b|b2")
    await call(LEAVE, "deliver", "url-a|a1")
    assert await dispatch(call, by) == 0
    await owe(call, redis, "acme", "url-a|a2")
    await dispatch(call, by)
    await redis.delete("{gw}:deliver:parked")
    await owe(call, redis, "acme", "url-b|b3")
    assert await dispatch(call, by) == 0
    await call(LEAVE, "deliver", "url-a|a2")
    assert await dispatch(call, by) == 1
    assert await in_hand(redis) == ["url-b|b1"]


async def test_a_retry_that_is_due_later_still_counts_for_its_tenant(call: Call, redis: Redis) -> None:
    by = limits(10, 2, 1)
    await owe(call, redis, "acme", "url-a|a1")
    await dispatch(call, by)
    await call(GIVE_BACK, "deliver", "url-a|a1", NOW, NOW + 5)
    assert await left(redis) == 0
    await owe(call, redis, "acme", "url-b|b1")
    assert await dispatch(call, by, at=NOW + 5) == 1
    assert await redis.hgetall("{gw}:deliver:tenant_inflight") == {"acme": "1"}  # type: ignore[misc]


async def test_slots_that_were_taken_before_tenants_were_known_are_counted(call: Call, redis: Redis) -> None:
    await call(ENTER, "deliver", "url-a|a1", "new", NOW)  # of which no record says whose it is
    by = limits(10, 3, 2)
    await dispatch(call, by)
    await owe(call, redis, "acme", "url-a|a2", "url-a|a3")
    assert await dispatch(call, by) == 1
    assert await redis.hgetall("{gw}:deliver:tenant_inflight") == {"acme": "2"}  # type: ignore[misc]
    for ticket in ("url-a|a1", "url-a|a2", "url-a|a3"):
        await call(LEAVE, "deliver", ticket)
    await dispatch(call, by)
    assert await left(redis) == 0


async def test_giving_back_twice_frees_one_slot_of_the_tenant(call: Call, redis: Redis) -> None:
    await owe(call, redis, "acme", "url-a|a1", "url-b|b1")
    await dispatch(call, limits(10, 2, 4))
    for _ in range(3):
        await call(LEAVE, "deliver", "url-a|a1")
    assert await redis.hgetall("{gw}:deliver:tenant_inflight") == {"acme": "1"}  # type: ignore[misc]


@pytest.mark.parametrize("forgotten", [False, True])
async def test_nothing_is_kept_of_a_tenant_of_which_nothing_waits_or_is_under_way(
    call: Call, redis: Redis, forgotten: bool
) -> None:
    by = limits(10, 2, 2)
    tickets = [f"url-{n}|a{n}" for n in range(5)]
    await owe(call, redis, "acme", *tickets)
    await dispatch(call, by)
    for ticket in tickets if forgotten else ():
        await call(LEAVE, "deliver", ticket)
    for _ in range(4):
        for ticket in await in_hand(redis):
            await call(LEAVE, "deliver", ticket)
        await dispatch(call, by)
    assert await left(redis) == 0


@pytest.mark.parametrize("busy", [False, True])
async def test_turns_of_callback_hosts_that_were_seen_once_are_not_kept_for_ever(
    call: Call, redis: Redis, busy: bool
) -> None:
    by = limits(2, 1, 2)
    await owe(call, redis, "zeta", *(f"url-busy|z{n}" for n in range(40 if busy else 0)))
    for n in range(40):
        await owe(call, redis, "acme", f"url-{n}|a{n}")
        await dispatch(call, by)
        for ticket in await in_hand(redis):
            await call(LEAVE, "deliver", ticket)
    kept = await redis.keys("{gw}:deliver:served"), await redis.zcard("{gw}:deliver:idle")
    assert kept[0] == []
    assert kept[1] < 5
