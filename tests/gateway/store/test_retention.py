"""What is forgotten of a job that was finished long ago: all of it, and nothing of any other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from gateway import events
from gateway.dispatch import Role
from gateway.endpoints import Endpoint
from gateway.events import EventType, event_id
from gateway.lifecycle import DeliveryEvent, JobEvent, JobState
from gateway.store import keys
from gateway.store.deliveries import RedisDeliveryStore
from gateway.store.endpoints import RedisEndpointStore
from gateway.store.jobs import RedisJobStore
from gateway.store.retention import RedisRetention
from gateway.store.script_runner import Scripts
from tests.gateway.store.histories import (
    ENVIRONMENT,
    FINISHED,
    HISTORIES,
    HOUR_MS,
    RICH,
    History,
    Store,
    canceled,
    completed,
)


@pytest.fixture
def store(
    redis: Redis,
    scripts: Scripts,
    jobs: RedisJobStore,
    deliveries: RedisDeliveryStore,
    endpoints: RedisEndpointStore,
) -> Store:
    """Keeps finished jobs for no time at all."""
    return Store(redis, jobs, deliveries, endpoints, RedisRetention(redis, scripts, 0))


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("fields", [{}, RICH], ids=["plain", "rich"])
@pytest.mark.parametrize("ended", [DeliveryEvent.ATTEMPT_SUCCEEDED, DeliveryEvent.ATTEMPTS_EXHAUSTED])
async def test_of_a_forgotten_job_nothing_is_left_and_of_others_everything(
    store: Store, history: History, fields: dict[str, Any], ended: DeliveryEvent
) -> None:
    if fields:
        for name in ("one", "two"):
            await store.endpoints.create(
                Endpoint(f"ep_{name}", "acme", f"https://{name}.example.com", (), "k", 1), 50
            )
    other = await store.accept(**fields | {"idempotency": "other"})
    counts = await store.counts()
    job = await history(store, await store.accept(**fields))
    await store.deliver(job, ended)
    assert await store.retention.forget(job.id)
    left = await store.dump()
    for trace in (job.id.removeprefix("job_"), "a1b2c3", "task_a", "task_b"):
        assert [text for text in left.values() if trace in text] == []
    assert await store.counts() == counts
    kept = await store.jobs.read(other.id)
    assert kept
    assert (kept.idempotency, kept.end_by) == (other.idempotency, other.end_by)
    assert await store.jobs.payload(kept) == ("p" * 20 if fields else None)
    assert {keys.job(other.id), "{gw}:tenant:acme:idempotency:other"} <= set(left)


async def test_every_event_of_a_job_has_the_id_by_which_it_is_forgotten(store: Store) -> None:
    job = await canceled(store, await store.accept())
    for kind, state in [(kind, state) for state, kind in events.EVENT_OF.items()]:
        made = events.make(replace(job, state=state), None)
        assert event_id(job.id, kind) == made.id
    late = event_id(job.id, EventType.LATE_RESULT)
    await store.redis.hset(keys.event(late), "body", "late")  # type: ignore[misc]
    assert await store.retention.forget(job.id)
    assert await store.redis.keys("{gw}:event:*") == []


async def test_a_job_is_kept_for_as_long_as_it_was_promised(
    store: Store, redis: Redis, scripts: Scripts
) -> None:
    job = await canceled(store, await store.accept())
    for seconds, forgotten in [(60.0, False), (0.0, True)]:
        keeper = RedisRetention(redis, scripts, seconds)
        assert (await keeper.expired(10) == [job.id]) is forgotten
        assert await keeper.forget(job.id) is forgotten
    assert await store.jobs.read(job.id) is None


async def test_a_job_that_still_owes_a_delivery_is_kept_and_checked_again_in_an_hour(store: Store) -> None:
    job = await canceled(store, await store.accept(**RICH))
    before = await store.dump()
    assert not await store.retention.forget(job.id)
    after = await store.dump()
    assert {**after, FINISHED: ""} == {**before, FINISHED: ""}
    assert await store.next_poll(job) == pytest.approx(HOUR_MS, abs=60_000)
    await store.deliver(job, DeliveryEvent.ATTEMPT_SUCCEEDED)
    assert await store.retention.forget(job.id)


async def test_what_is_held_for_a_disabled_endpoint_is_forgotten_with_its_job(store: Store) -> None:
    endpoint = Endpoint("ep_1", "acme", "https://one.example.com", (), "k", 1)
    await store.endpoints.create(endpoint, 50)
    await store.endpoints.disable(endpoint, "answered 410 Gone", 5)
    job = await canceled(store, await store.accept())
    [owed] = await store.deliveries.of_job(job.id)
    await store.redis.zadd(keys.due(Role.DELIVER), {f"{owed.lane}|{owed.id}": 1})  # by a fault
    assert await store.retention.forget(job.id)
    assert await store.redis.keys("{gw}:delivery:*") == []
    assert await store.redis.zcard(keys.due(Role.DELIVER)) == 0


async def test_a_job_that_goes_on_is_never_forgotten(store: Store) -> None:
    job = await store.accept(**RICH)
    await store.redis.zadd(FINISHED, {job.id: 1})
    before = await store.dump()
    assert not await store.retention.forget(job.id)
    assert {**await store.dump(), FINISHED: ""} == {**before, FINISHED: ""}
    assert await store.retention.expired(10) == []


async def test_a_job_that_is_watched_for_a_late_result_is_kept(store: Store) -> None:
    watched_till = ENVIRONMENT.now_ms() + HOUR_MS
    job = await store.released(await store.accept())
    job = await store.settle(job, JobEvent.UPSTREAM_REJECTED, JobState.FAILED, watch_until=watched_till)
    assert not await store.retention.forget(job.id)
    await store.redis.hset(keys.job(job.id), "watch_until", "1")  # type: ignore[misc]
    assert await store.retention.forget(job.id)


async def test_names_that_have_become_another_job_s_are_left_to_it(store: Store) -> None:
    job = await completed(store, await store.accept(idempotency="a1b2c3"))
    await store.redis.set("{gw}:task:task_a", "job_other")
    await store.redis.hset("{gw}:tenant:acme:idempotency:a1b2c3", "job", "job_other")  # type: ignore[misc]
    assert await store.retention.forget(job.id)
    assert await store.redis.get("{gw}:task:task_a") == "job_other"
    assert await store.redis.exists("{gw}:tenant:acme:idempotency:a1b2c3")


async def test_forgetting_again_changes_nothing(store: Store) -> None:
    job = await canceled(store, await store.accept())
    assert await store.retention.forget(job.id)
    before = await store.dump(), await store.counts()
    assert not await store.retention.forget(job.id)
    assert (await store.dump(), await store.counts()) == before


async def test_a_name_without_a_record_leaves_the_list(store: Store) -> None:
    await store.redis.zadd(FINISHED, {"job_gone": 1})
    assert await store.retention.expired(10) == ["job_gone"]
    assert not await store.retention.forget("job_gone")
    assert await store.retention.expired(10) == []


@pytest.mark.parametrize("field", ["earlier", "canceled_at"])
async def test_a_record_that_cannot_be_read_stays_whole(store: Store, field: str) -> None:
    job = await canceled(store, await store.accept())
    await store.redis.hset(keys.job(job.id), field, "garbage")  # type: ignore[misc]
    before = await store.dump()
    with pytest.raises(ResponseError):
        await store.retention.forget(job.id)
    assert await store.dump() == before
    await store.retention.put_off(job.id)
    assert await store.retention.expired(10) == []


async def test_the_oldest_are_forgotten_first(store: Store) -> None:
    jobs = [await canceled(store, await store.accept()) for _ in range(3)]
    for age, job in enumerate(jobs):
        await store.redis.zadd(FINISHED, {job.id: 10 - age})
    assert await store.retention.expired(2) == [jobs[2].id, jobs[1].id]


async def test_one_of_many_leads_also_when_redis_is_full(store: Store) -> None:
    before = (await store.redis.config_get("maxmemory"))["maxmemory"]
    await store.redis.config_set("maxmemory", 1)
    try:
        asked = [await Scripts(store.redis).acquire_leadership(keys.RETENTION, 60) for _ in range(3)]
        assert asked == [True, False, False]
    finally:
        await store.redis.config_set("maxmemory", before)


def early_retention(store: Store, scripts: Scripts, **seconds: float) -> RedisRetention:
    return RedisRetention(store.redis, scripts, 3600, **seconds)


async def test_deliveries_and_events_can_go_before_their_job(store: Store, scripts: Scripts) -> None:
    await store.endpoints.create(Endpoint("ep_1", "acme", "https://one.example.com", (), "k", 1), 50)
    empty = await store.counts()
    usage = int(await store.redis.hget(keys.tenant_usage("acme"), "bytes") or 0)  # type: ignore[misc]
    job = await completed(store, await store.accept(**RICH))
    retention = early_retention(store, scripts, deliveries_seconds=0)
    [early] = retention.early
    assert not await retention.forget_early(job.id, early)  # they are pending
    await store.deliver(job, DeliveryEvent.ATTEMPTS_EXHAUSTED)
    await store.redis.delete(keys.due(Role.CONFIRM))
    assert await retention.forget_early(job.id, early)
    assert await retention.forget_early(job.id, early)
    for kind in ("event", "delivery", "lane"):
        assert await store.redis.keys(f"{{gw}}:{kind}:*") == []
    assert await store.redis.exists(keys.job_deliveries(job.id), keys.DEAD) == 0
    assert await store.jobs.payload(job) == "p" * 20
    assert await store.redis.exists("{gw}:tenant:acme:idempotency:a1b2c3")
    assert {name for name in await store.counts() if name not in empty} == {"job:completed"}
    assert await store.retention.forget(job.id)
    assert int(await store.redis.hget(keys.tenant_usage("acme"), "bytes") or 0) == usage  # type: ignore[misc]


async def test_deliveries_of_a_job_that_may_cause_more_stay(store: Store, scripts: Scripts) -> None:
    watched_till = ENVIRONMENT.now_ms() + HOUR_MS
    job = await store.released(await store.accept(callback_url="https://client.example.com/hook"))
    job = await store.settle(job, JobEvent.UPSTREAM_REJECTED, JobState.FAILED, watch_until=watched_till)
    await store.deliver(job, DeliveryEvent.ATTEMPT_SUCCEEDED)
    retention = early_retention(store, scripts, deliveries_seconds=0)
    assert not await retention.forget_early(job.id, retention.early[0])
    assert len(await store.deliveries.of_job(job.id)) == 1


async def test_an_idempotency_key_can_go_before_its_job(store: Store, scripts: Scripts) -> None:
    job = await store.accept(**RICH)
    retention = early_retention(store, scripts, claims_seconds=0)
    [early] = retention.early
    claim = "{gw}:tenant:acme:idempotency:a1b2c3"
    await retention.forget_early(job.id, early)  # it is not finished
    assert await store.redis.exists(claim)
    await canceled(store, job)
    later = early_retention(store, scripts, claims_seconds=60)
    assert not await later.forget_early(job.id, later.early[0])
    await store.redis.hset(claim, "job", "job_other")  # type: ignore[misc]
    before = await store.redis.hgetall(keys.job(job.id))  # type: ignore[misc]
    assert await retention.forget_early(job.id, early)
    assert await store.redis.hget(claim, "job") == "job_other"  # type: ignore[misc]
    await store.redis.hset(keys.job(job.id), mapping=before)  # type: ignore[misc]
    await store.redis.hset(claim, "job", job.id)  # type: ignore[misc]
    assert await retention.forget_early(job.id, early)
    assert not await store.redis.exists(claim)
    again = await store.accept(**RICH)
    assert again.id != job.id
    assert await retention.forget_early(job.id, early)
    assert await store.redis.hget(claim, "job") == again.id  # type: ignore[misc]


async def test_nothing_is_kept_longer_than_its_job(store: Store, scripts: Scripts) -> None:
    assert early_retention(store, scripts, deliveries_seconds=3600, claims_seconds=7200).early == []
