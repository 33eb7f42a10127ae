"""A delivery that is sent again by hand: from every state, now, in a new round, and once for each wish."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis.asyncio import Redis

from gateway.dispatch import Role
from gateway.endpoints import Delivery
from gateway.lifecycle import DeliveryState
from gateway.store import keys
from gateway.store.deliveries import RedisDeliveryStore
from gateway.store.delivery_base import Hindrance
from gateway.store.endpoints import RedisEndpointStore
from gateway.store.jobs import RedisJobStore
from gateway.store.lanes import Lanes
from tests.gateway.store.conftest import dispatched, held
from tests.gateway.store.redelivering import ENDPOINT, ENDS, HOOK, Post


@pytest.fixture
def post(
    redis: Redis, jobs: RedisJobStore, deliveries: RedisDeliveryStore, endpoints: RedisEndpointStore
) -> Post:
    return Post(redis, jobs, deliveries, endpoints)


async def again(post: Post, owed: Delivery, asked: str = "a wish") -> Delivery:
    found = await post.deliveries.redeliver(owed, asked)
    assert isinstance(found, Delivery)
    return found


async def indexed(redis: Redis, owed: Delivery) -> list[str]:
    """The states under which the delivery is listed, for its tenant and its lane alike."""
    names = {
        state: (keys.tenant_deliveries(owed.tenant, state), keys.lane_deliveries(owed.lane, state))
        for state in DeliveryState
    }
    found = {
        state: [await redis.zscore(name, owed.id) is not None for name in both]
        for state, both in names.items()
    }
    assert all(one == other for one, other in found.values())
    return [state for state, (listed, _) in found.items() if listed]


@pytest.mark.parametrize("before", sorted(ENDS))
async def test_from_every_state_it_is_sent_now(post: Post, redis: Redis, before: str) -> None:
    owed = await post.attempt(await post.owe(callback_url=HOOK), before)
    assert owed.state == before
    seen = await again(post, owed)
    assert (seen.state, seen.next_attempt_at) == (DeliveryState.PENDING, None)
    assert await post.read(owed) == seen
    assert (await dispatched(redis, Role.DELIVER))[-1] == owed.id
    assert await redis.zcard(keys.due(Role.DELIVER)) == 0
    assert await indexed(redis, owed) == ["pending"]
    counts = await redis.hgetall(keys.COUNTS)  # type: ignore[misc]
    assert {name: n for name, n in counts.items() if name.startswith("delivery:") and n != "0"} == {
        "delivery:pending": "1"
    }


async def test_it_begins_a_new_round_and_keeps_what_it_went_through(post: Post) -> None:
    owed = await post.attempt(await post.owe(callback_url=HOOK), "dead")
    assert (owed.since, owed.round_at, owed.trigger) == (0, None, "auto")
    seen = await again(post, owed)
    assert (seen.attempts, seen.since, seen.trigger, seen.log) == (1, 1, "manual", owed.log)
    assert (seen.event_id, seen.event_type, seen.created_at) == (
        owed.event_id,
        owed.event_type,
        owed.created_at,
    )
    seconds, _ = await post.redis.time()
    assert seen.round_at is not None
    assert abs(seen.round_at / 1000 - seconds) < 60
    twice = await again(post, await post.attempt(seen, "dead"), "another wish")
    assert (twice.attempts, twice.since) == (2, 2)


async def test_the_same_wish_twice_is_one_round(post: Post, redis: Redis) -> None:
    owed = await post.attempt(await post.owe(callback_url=HOOK), "dead")
    seen = await again(post, owed)
    ticket = await held(redis, Role.DELIVER, owed.id)
    assert await again(post, owed) == seen
    assert await held(redis, Role.DELIVER, owed.id) == ticket
    assert (await dispatched(redis, Role.DELIVER)).count(owed.id) == 2  # its first attempt, and this one


async def test_the_same_wish_after_its_attempt_makes_no_second_one(post: Post, redis: Redis) -> None:
    owed = await post.attempt(await post.owe(callback_url=HOOK), "dead")
    done = await post.attempt(await again(post, owed), "delivered")
    assert await again(post, owed) == done
    assert await redis.zcard(keys.slots(Role.DELIVER)) == 0
    assert await redis.zcard(keys.waiting(Role.DELIVER)) == 0


async def test_while_an_attempt_is_under_way_nothing_is_begun(post: Post, redis: Redis) -> None:
    owed = await post.owe(callback_url=HOOK)
    ticket = await held(redis, Role.DELIVER, owed.id)
    assert await post.deliveries.redeliver(owed, "a wish") is Hindrance.UNDER_WAY
    assert await post.read(owed) == owed
    assert await held(redis, Role.DELIVER, owed.id) == ticket
    over = await post.attempt(owed, "dead")
    assert (over.state, over.since) == (DeliveryState.DEAD, 0)


async def test_what_waits_in_its_lane_goes_first_and_waits_there_once(post: Post, redis: Redis) -> None:
    """Both slots of the lane are taken; the last of four is asked for."""
    owed = [await post.owe(callback_url=HOOK) for _ in range(4)]
    seen = await again(post, owed[3])
    assert seen.trigger == "manual"
    assert await redis.zcard(keys.lane(Role.DELIVER, owed[0].lane)) == 2
    assert await redis.zcard(keys.waiting(Role.DELIVER)) == 2
    await post.attempt(owed[0], "delivered")
    assert (await dispatched(redis, Role.DELIVER))[-1] == owed[3].id


async def test_a_ticket_that_a_fault_lost_is_found_again(post: Post, redis: Redis) -> None:
    owed = await post.attempt(await post.owe(callback_url=HOOK), "pending")
    await redis.delete(keys.due(Role.DELIVER))
    await again(post, owed)
    assert (await held(redis, Role.DELIVER, owed.id)).name == owed.id


async def test_a_paused_lane_gets_an_attempt_at_once_for_who_asks(
    post: Post, redis: Redis, lanes: Lanes
) -> None:
    owed = await post.attempt(await post.owe(callback_url=HOOK), "dead")
    await lanes.pause(Role.DELIVER, owed.lane, 600_000)
    await again(post, owed)
    assert (await held(redis, Role.DELIVER, owed.id)).name == owed.id
    health = await lanes.health(owed.lane)
    assert (health.paused, health.probing) == (False, True)


async def test_a_disabled_endpoint_gets_nothing(post: Post, redis: Redis) -> None:
    await post.endpoints.create(ENDPOINT, 50)
    owed = await post.attempt(await post.owe(), "held")
    await post.endpoints.disable(ENDPOINT, "answered 410 Gone", 5)
    assert await post.deliveries.redeliver(owed, "a wish") is Hindrance.DISABLED
    assert await post.read(owed) == owed
    assert await redis.zcard(keys.slots(Role.DELIVER)) == 0


async def test_once_it_is_enabled_what_was_held_can_be_sent(post: Post) -> None:
    await post.endpoints.create(replace(ENDPOINT, disabled_at=5, disabled_reason="x"), 50)
    owed = await post.owe()
    assert owed.state is DeliveryState.HELD
    disabled = replace(ENDPOINT, disabled_at=5, disabled_reason="x")
    await post.endpoints.change(ENDPOINT, disabled)
    assert (await again(post, owed)).state is DeliveryState.PENDING
    assert (await post.attempt(owed, "delivered")).state is DeliveryState.DELIVERED


async def test_a_deleted_endpoint_gets_nothing(post: Post) -> None:
    await post.endpoints.create(ENDPOINT, 50)
    owed = await post.attempt(await post.owe(), "dead")
    await post.endpoints.delete(ENDPOINT)
    assert await post.deliveries.redeliver(owed, "a wish") is Hindrance.DELETED
    assert await post.read(owed) == owed


async def test_what_was_forgotten_is_missing(post: Post, redis: Redis) -> None:
    owed = await post.attempt(await post.owe(callback_url=HOOK), "dead")
    await redis.delete(keys.delivery(owed.id))
    assert await post.deliveries.redeliver(owed, "a wish") is Hindrance.MISSING
    assert await redis.zcard(keys.slots(Role.DELIVER)) == 0
