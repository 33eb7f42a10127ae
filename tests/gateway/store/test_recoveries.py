"""Recoveries: what an endpoint did not get in a time range is pending again, bit by bit, once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from gateway.dispatch import Role
from gateway.endpoints import Delivery
from gateway.lifecycle import DeliveryState
from gateway.recoveries import Recovery, RecoveryState
from gateway.store import keys
from gateway.store.deliveries import RedisDeliveryStore
from gateway.store.delivery_base import Hindrance
from gateway.store.endpoints import RedisEndpointStore
from gateway.store.jobs import RedisJobStore
from gateway.store.recoveries import KEPT, RedisRecoveries, Step
from gateway.store.script_runner import Scripts
from tests.gateway.store.conftest import ROLES, dispatched, held
from tests.gateway.store.redelivering import ENDPOINT, HOOK, Post

AT = 1_795_334_400_000
RECOVERY = Recovery("rec_1", "acme", "ep_all", AT, AT + 1000, AT + 2000)


@pytest.fixture
async def post(
    redis: Redis, jobs: RedisJobStore, deliveries: RedisDeliveryStore, endpoints: RedisEndpointStore
) -> Post:
    await endpoints.create(ENDPOINT, 50)
    return Post(redis, jobs, deliveries, endpoints)


MakeStore = Callable[..., RedisRecoveries]


@pytest.fixture
def make_store(redis: Redis, scripts: Scripts) -> MakeStore:
    """`make_store(batch=..., most_waiting=...)`."""

    def make(**limits: float) -> RedisRecoveries:
        return RedisRecoveries(redis, scripts, ROLES, 3600, **limits)  # type: ignore[arg-type]

    return make


@pytest.fixture
def store(make_store: MakeStore) -> RedisRecoveries:
    return make_store()


async def begun(store: RedisRecoveries, recovery: Recovery = RECOVERY) -> Recovery:
    found = await store.begin(recovery)
    assert isinstance(found, Recovery)
    return found


async def to_its_end(store: RedisRecoveries, name: str = "rec_1") -> int:
    moved = 0
    while True:
        step = await store.advance(name)
        moved += step.moved
        if step.over:
            return moved
        assert step.more, "it waits for deliveries that nobody makes"


async def dead(post: Post, *times: int) -> list[Delivery]:
    return [await post.attempt(await post.owe(at), "dead") for at in times]


async def test_it_is_read_as_it_was_begun_by_its_tenant_alone(store: RedisRecoveries, post: Post) -> None:
    await dead(post, AT, AT + 500)
    made = await begun(store, replace(RECOVERY, states=(DeliveryState.DEAD,)))
    assert made == replace(RECOVERY, states=(DeliveryState.DEAD,), total=2)
    assert await store.read("acme", "rec_1") == made
    assert await store.read("zeta", "rec_1") is None
    assert await store.of("ep_all") == [made]
    assert await store.running() == ["rec_1"]


async def test_a_recovery_that_runs_is_kept_whatever_others_there_are(
    store: RedisRecoveries, post: Post, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.recoveries._KEPT_OF_TENANT", 0)
    await begun(store)
    assert await redis.zrange("{gw}:tenant:acme:recoveries", 0, -1) == ["rec_1"]


async def test_what_was_not_delivered_is_pending_again_in_a_new_round(
    store: RedisRecoveries, post: Post, redis: Redis
) -> None:
    [owed] = await dead(post, AT)
    await begun(store)
    assert await store.advance("rec_1") == Step(more=False, over=True, moved=1)
    seen = await post.read(owed)
    assert (seen.state, seen.attempts, seen.since, seen.trigger) == (DeliveryState.PENDING, 1, 1, "recovery")
    assert (seen.log, seen.next_attempt_at) == (owed.log, None)
    assert seen.round_at is not None
    assert (await held(redis, Role.DELIVER, owed.id)).name == owed.id
    assert (await post.attempt(seen, "delivered")).state is DeliveryState.DELIVERED


async def test_only_what_was_made_between_its_two_ends_is_recovered(
    store: RedisRecoveries, post: Post
) -> None:
    owed = await dead(post, AT - 1, AT, AT + 1000, AT + 1001)
    assert (await begun(store)).total == 2
    assert await to_its_end(store) == 2
    states = [(await post.read(one)).state for one in owed]
    assert states == ["dead", "pending", "pending", "dead"]


async def test_only_what_is_in_the_states_that_were_asked_for_is_recovered(
    store: RedisRecoveries, post: Post
) -> None:
    [gone] = await dead(post, AT)
    kept = await post.attempt(await post.owe(AT), "held")
    done = await post.attempt(await post.owe(AT), "delivered")
    waits = await post.attempt(await post.owe(AT), "pending")
    await begun(store, replace(RECOVERY, states=(DeliveryState.HELD,)))
    assert await to_its_end(store) == 1
    states = [(await post.read(one)).state for one in (gone, kept, done, waits)]
    assert states == ["dead", "pending", "delivered", "pending"]
    assert (await post.read(waits)).trigger == "auto"


async def test_another_lane_s_are_left_alone(store: RedisRecoveries, post: Post) -> None:
    job_s_own = replace(ENDPOINT, id="ep_other")
    await post.endpoints.delete(ENDPOINT)
    owed = await post.attempt(await post.owe(AT, callback_url=HOOK), "dead")
    await post.endpoints.create(job_s_own, 50)
    await begun(store, replace(RECOVERY, endpoint_id="ep_other"))
    assert await to_its_end(store) == 0
    assert (await post.read(owed)).state is DeliveryState.DEAD


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
async def test_batches_miss_nothing_and_repeat_nothing_however_they_are_cut(
    make_store: MakeStore, post: Post, batch: int
) -> None:
    store = make_store(batch=batch)
    owed = await dead(post, AT, AT, AT, AT + 1, AT + 7, AT + 7, AT + 1000)
    owed += [await post.attempt(await post.owe(at), "held") for at in (AT, AT + 3, AT + 7)]
    await begun(store)
    assert await to_its_end(store) == len(owed)
    seen = [await post.read(one) for one in owed]
    assert {(one.state, one.trigger) for one in seen} == {(DeliveryState.PENDING, "recovery")}
    found = await store.read("acme", "rec_1")
    assert found
    assert (found.state, found.total, found.done) == (RecoveryState.DONE, len(owed), len(owed))
    assert found.finished_at is not None
    assert await store.running() == []


async def test_the_oldest_is_sent_again_first(make_store: MakeStore, post: Post, redis: Redis) -> None:
    store = make_store(batch=1)
    newer, oldest = await dead(post, AT + 2, AT)
    middle = await post.attempt(await post.owe(AT + 1), "held")
    await begun(store)
    before = len(await dispatched(redis, Role.DELIVER))
    await to_its_end(store)
    await post.attempt(await post.read(oldest), "delivered")
    assert (await dispatched(redis, Role.DELIVER))[before:] == [oldest.id, middle.id, newer.id]


async def test_a_batch_is_the_oldest_of_all_states_in_their_order(
    make_store: MakeStore, post: Post, redis: Redis
) -> None:
    store = make_store(batch=3)
    newest, newer = await dead(post, AT + 9, AT + 2)
    older, oldest = [await post.attempt(await post.owe(at), "held") for at in (AT + 1, AT)]
    await begun(store)
    before = len(await dispatched(redis, Role.DELIVER))
    assert (await store.advance("rec_1")).moved == 3
    assert (await post.read(newest)).state is DeliveryState.DEAD
    await post.attempt(await post.read(oldest), "delivered")
    assert (await dispatched(redis, Role.DELIVER))[before:] == [oldest.id, older.id, newer.id]


async def test_what_a_fault_left_of_a_delivery_in_the_lanes_is_cleared_away(
    store: RedisRecoveries, post: Post, redis: Redis
) -> None:
    [owed] = await dead(post, AT)
    await redis.zadd(keys.due(Role.DELIVER), {f"ep_all|{owed.id}": 1e15})
    await redis.hset(keys.delivery(owed.id), "next_attempt_at", "5")  # type: ignore[misc]
    await begun(store)
    assert await to_its_end(store) == 1
    assert await redis.zcard(keys.due(Role.DELIVER)) == 0
    assert (await post.read(owed)).next_attempt_at is None


async def test_what_died_again_meanwhile_is_not_sent_a_third_time(make_store: MakeStore, post: Post) -> None:
    store = make_store(batch=1)
    first, second = await dead(post, AT, AT + 1)
    await begun(store)
    assert (await store.advance("rec_1")).moved == 1
    assert (await post.attempt(await post.read(first), "dead")).attempts == 2
    await to_its_end(store)
    assert (await post.read(first)).state is DeliveryState.DEAD
    assert (await post.read(second)).state is DeliveryState.PENDING


async def test_a_step_that_is_made_twice_at_its_end_changes_nothing(
    store: RedisRecoveries, post: Post
) -> None:
    await dead(post, AT)
    await begun(store)
    await store.advance("rec_1")
    ended = await store.read("acme", "rec_1")
    assert await store.advance("rec_1") == Step(more=False, over=True, moved=0)
    assert await store.read("acme", "rec_1") == ended


async def test_while_many_wait_already_it_waits_too(make_store: MakeStore, post: Post) -> None:
    """Two get the lane's slots, two wait in it."""
    store = make_store(batch=2, most_waiting=2)
    owed = await dead(post, *range(AT, AT + 8))
    await begun(store)
    assert [(await store.advance("rec_1")).moved for _ in range(2)] == [2, 2]
    assert await post.redis.zcard(keys.lane(Role.DELIVER, "ep_all")) == 2
    assert await store.advance("rec_1") == Step(more=False, over=False, moved=0)
    assert (await post.read(owed[4])).state is DeliveryState.DEAD
    await post.attempt(await post.read(owed[0]), "delivered")
    assert (await store.advance("rec_1")).moved == 2


async def test_new_work_goes_before_what_is_recovered(
    store: RedisRecoveries, post: Post, redis: Redis
) -> None:
    await dead(post, *range(AT, AT + 5))
    await begun(store)
    await to_its_end(store)
    waiting = await redis.zcard(keys.lane(Role.DELIVER, "ep_all"))
    assert waiting > 0
    fresh = await post.owe(AT + 5000)
    order = await redis.zrange(keys.lane(Role.DELIVER, "ep_all"), 0, -1)
    assert (order[0], len(order)) == (f"ep_all|{fresh.id}", waiting + 1)


async def test_one_runs_at_a_time_and_another_when_it_is_over(store: RedisRecoveries, post: Post) -> None:
    await begun(store)
    assert await store.begin(replace(RECOVERY, id="rec_2")) is Hindrance.UNDER_WAY
    assert await store.read("acme", "rec_2") is None
    await to_its_end(store)
    assert (await begun(store, replace(RECOVERY, id="rec_2"))).state is RecoveryState.RUNNING


async def test_to_begin_it_again_because_the_answer_was_lost_begins_no_other(
    store: RedisRecoveries, post: Post
) -> None:
    await dead(post, AT)
    first = await begun(store)
    assert await begun(store) == first
    await to_its_end(store)
    ended = await store.read("acme", "rec_1")
    assert await begun(store) == ended
    assert await store.running() == []


@pytest.mark.parametrize(("how", "reason"), [("disabled", "was disabled"), ("deleted", "was deleted")])
async def test_it_ends_with_its_endpoint(store: RedisRecoveries, post: Post, how: str, reason: str) -> None:
    [owed] = await dead(post, AT)
    await begun(store)
    if how == "disabled":
        await post.endpoints.disable(ENDPOINT, "answered 410 Gone", 5)
    else:
        await post.endpoints.delete(ENDPOINT)
    assert await store.advance("rec_1") == Step(more=False, over=True, moved=0)
    found = await store.read("acme", "rec_1")
    assert found
    assert (found.state, found.done) == (RecoveryState.CANCELED, 0)
    assert reason in str(found.reason)
    assert (await post.read(owed)).state is DeliveryState.DEAD
    assert await store.running() == []
    expected = Hindrance.DISABLED if how == "disabled" else Hindrance.DELETED
    assert await store.begin(replace(RECOVERY, id="rec_2")) is expected


async def test_the_newest_of_an_endpoint_are_kept_and_all_end_with_time(
    store: RedisRecoveries, post: Post, redis: Redis
) -> None:
    for number in range(KEPT + 2):
        name = f"rec_{number:02}"
        await begun(store, replace(RECOVERY, id=name, created_at=AT + number))
        await to_its_end(store, name)
    kept = [one.id for one in await store.of("ep_all")]
    assert kept == [f"rec_{number:02}" for number in range(KEPT + 1, 1, -1)]
    records = await redis.keys("{gw}:recovery:*")
    assert len(records) == KEPT
    for name in [*records, "{gw}:lane:ep_all:recoveries"]:
        assert 0 < await redis.pttl(name) <= 3_600_000


async def test_the_list_does_not_end_while_a_recovery_runs(
    store: RedisRecoveries, post: Post, redis: Redis
) -> None:
    await begun(store)
    await to_its_end(store)
    await begun(store, replace(RECOVERY, id="rec_2"))
    assert await redis.pttl("{gw}:lane:ep_all:recoveries") == -1
    assert await redis.pttl("{gw}:recovery:rec_2") == -1


async def test_an_index_that_names_what_is_gone_holds_nothing_up(
    store: RedisRecoveries, post: Post, redis: Redis
) -> None:
    lost, owed = await dead(post, AT, AT + 1)
    await redis.delete(keys.delivery(lost.id))
    await begun(store)
    assert await to_its_end(store) == 1
    assert (await post.read(owed)).state is DeliveryState.PENDING
    assert await redis.zrange(keys.lane_deliveries("ep_all", DeliveryState.DEAD), 0, -1) == []


async def test_what_does_not_exist_is_over(store: RedisRecoveries, post: Post, redis: Redis) -> None:
    assert (await store.advance("rec_none")).over
    assert await redis.exists("{gw}:recovery:rec_none") == 0


async def test_no_more_than_the_rate_are_pending_again_whoever_asks_and_however_often(
    make_store: MakeStore, post: Post, redis: Redis
) -> None:
    await dead(post, *range(AT, AT + 600))
    stores = [make_store(rate=100, most_waiting=10_000) for _ in range(3)]
    await begun(stores[0])
    start, moved = await redis.time(), 0
    for at in range(60):
        moved += (await stores[at % 3].advance("rec_1")).moved
        await asyncio.sleep(0.005)
    end = await redis.time()
    took = end[0] - start[0] + (end[1] - start[1]) / 1e6
    assert 10 <= moved <= 100 * took + 11  # what a tenth of a second gives is had at once


async def test_what_was_not_made_while_nobody_stepped_is_not_made_up_for(
    make_store: MakeStore, post: Post, redis: Redis
) -> None:
    await dead(post, *range(AT, AT + 300))
    store = make_store(rate=50, most_waiting=10_000, batch=1000)
    await begun(store)
    await redis.hset("{gw}:recovery:rec_1", "stepped_at", "1")  # type: ignore[misc]
    assert (await store.advance("rec_1")).moved == 50
    assert (await store.advance("rec_1")).moved < 50  # what the rate allows since then
