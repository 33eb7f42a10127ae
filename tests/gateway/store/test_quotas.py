"""What a tenant has stored counts for it, from its first endpoint to the last log of its last webhook."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis.asyncio import Redis

from gateway.dispatch import Role
from gateway.endpoints import Delivery, Endpoint, PreviousSecret
from gateway.errors import LimitReached, RateLimited
from gateway.lifecycle import DeliveryEvent, JobEvent
from gateway.recoveries import Recovery
from gateway.store import keys
from gateway.store.admission import RateMeter
from gateway.store.base import AdmissionLimits, Callback
from gateway.store.deliveries import RedisDeliveryStore
from gateway.store.delivery_base import Written
from gateway.store.effects import BindTask, HoldSlot, SetFields, UnsetFields
from gateway.store.endpoints import RedisEndpointStore
from gateway.store.jobs import RedisJobStore
from gateway.store.recoveries import RedisRecoveries
from gateway.store.retention import RedisRetention
from gateway.store.script_runner import Scripts
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import ROLES, held, new_job
from tests.gateway.store.histories import Store, canceled, completed
from tests.gateway.store.redelivering import Post

ENDPOINTS = 50
MOST = 10_000_000


@pytest.fixture
def post(
    redis: Redis, jobs: RedisJobStore, deliveries: RedisDeliveryStore, endpoints: RedisEndpointStore
) -> Post:
    return Post(redis, jobs, deliveries, endpoints)


def endpoint(number: int, *events: str, **fields: object) -> Endpoint:
    made = Endpoint(f"ep_{number:026d}", "acme", "https://c.example.com/hook", events, "k1", 1)
    return replace(made, **fields)  # type: ignore[arg-type]


async def usage(redis: Redis, tenant: str = "acme") -> dict[str, int]:
    found = await redis.hgetall(f"{{gw}}:tenant:{tenant}:usage")  # type: ignore[misc]
    return {name: int(number) for name, number in found.items()}


async def memory(redis: Redis) -> int:
    """What all keys take, but for what is of no tenant."""
    names = [name for name in await redis.keys("{gw}:*") if not name.startswith("{gw}:ops:")]
    return sum([await redis.memory_usage(name, samples=0) or 0 for name in names])


async def attempt(post: Post, owed: Delivery, reply: str) -> None:
    """One attempt that failed and is due again at once, with such a reply in the log."""
    ticket = await held(post.redis, Role.DELIVER, owed.id)
    begun = await post.deliveries.begin(ticket)
    assert begun
    entry = {"number": begun[0].attempts + 1, "outcome": "http_5xx", "excerpt": reply, "hint": None}
    made = replace(begun[0], attempts=begun[0].attempts + 1, log=[*begun[0].log, entry])
    await post.deliveries.finish(ticket, made, DeliveryEvent.ATTEMPTS_EXHAUSTED, retry_in_ms=None, tally=[])


async def test_no_more_is_stored_for_a_tenant_than_what_counts_for_it(redis: Redis, post: Post) -> None:
    for number in range(ENDPOINTS):
        await post.endpoints.create(endpoint(number), ENDPOINTS)
    before, counted = await memory(redis), (await usage(redis))["bytes"]
    assert before <= counted
    for _ in range(4):
        for owed in await post.owe_all():
            if await redis.hexists("{gw}:deliver:holders", f"{owed.lane}|{owed.id}"):  # type: ignore[misc]
                await attempt(post, owed, "x" * 2000)
    stored = await memory(redis) - before
    assert stored <= (await usage(redis))["bytes"] - counted <= 2 * stored


async def test_deliveries_are_expected_when_a_job_is_accepted(redis: Redis, post: Post) -> None:
    for number in range(ENDPOINTS):
        await post.endpoints.create(endpoint(number), ENDPOINTS)
    taken = (await usage(redis))["bytes"]
    with pytest.raises(LimitReached, match="delete endpoints"):
        await post.jobs.accept(new_job(), None, "", AdmissionLimits(queue_max=10, bytes_max=taken + 50_000))
    await post.jobs.accept(new_job(), None, "", AdmissionLimits(queue_max=10, bytes_max=taken + 150_000))
    with pytest.raises(LimitReached):
        await post.jobs.accept(new_job(), None, "", AdmissionLimits(queue_max=10, bytes_max=taken + 150_000))
    await post.jobs.accept(
        new_job("zeta"), None, "", AdmissionLimits(queue_max=10, bytes_max=taken + 150_000)
    )


async def test_what_was_expected_of_a_job_is_at_least_what_it_then_takes(redis: Redis, post: Post) -> None:
    for number in range(ENDPOINTS):
        await post.endpoints.create(endpoint(number, "*"), ENDPOINTS)
    url = "https://client.example.com/" + "h" * 1500
    most = (await usage(redis))["bytes"]
    while True:  # the smallest limit with which the job is accepted
        try:
            probe = new_job(callback_url=url)
            await post.jobs.accept(
                probe, None, "", AdmissionLimits(queue_max=9, bytes_max=most), check_only=True
            )
            break
        except LimitReached:
            most += 1000
    await post.owe_all(callback_url=url)
    assert (await usage(redis))["bytes"] <= most


async def test_an_endpoint_is_refused_that_waiting_jobs_would_make_too_expensive(
    redis: Redis, scripts: Scripts, jobs: RedisJobStore
) -> None:
    endpoints = RedisEndpointStore(redis, scripts, 300_000)
    first = endpoint(0, "job.completed")
    await endpoints.create(first, ENDPOINTS)
    for _ in range(40):
        await jobs.accept(new_job(), None, "", AdmissionLimits(queue_max=100))
    with pytest.raises(LimitReached, match="fewer events"):
        await endpoints.create(endpoint(1), ENDPOINTS)
    with pytest.raises(LimitReached):
        await endpoints.change(replace(first, events=("*",)), first)
    assert await endpoints.of("acme") == [first]
    # what does not add to it is never refused
    moved = replace(first, url="https://d.example.com/hook")
    assert await endpoints.change(moved, first) is Written.WRITTEN
    await endpoints.delete(moved)


@pytest.mark.parametrize(
    "repair",
    [
        {"version": 2, "previous": (PreviousSecret("k1", 1, 9_999_999_999_999),)},  # rotates a leaked secret
        {"disabled_at": 1_700_000_000_000, "disabled_reason": "it floods us"},
        {"url": "https://c.example.com/a-longer-path/hook"},
    ],
)
async def test_over_the_quota_an_endpoint_can_still_be_repaired(
    redis: Redis, scripts: Scripts, endpoints: RedisEndpointStore, repair: dict[str, object]
) -> None:
    before = endpoint(0)
    await endpoints.create(before, ENDPOINTS)
    counted = (await usage(redis))["bytes"]
    over = RedisEndpointStore(redis, scripts, bytes_max=1)
    after = replace(before, **repair)  # type: ignore[arg-type]
    assert await over.change(after, before) is Written.WRITTEN
    assert await over.of("acme") == [after]
    assert (await usage(redis))["bytes"] > counted


async def test_a_tenant_over_its_quota_still_finishes_and_delivers_what_it_has(
    redis: Redis, scripts: Scripts, jobs: RedisJobStore, endpoints: RedisEndpointStore
) -> None:
    await endpoints.create(endpoint(0), ENDPOINTS)
    post = Post(redis, jobs, RedisDeliveryStore(redis, scripts, ROLES, bytes_max=1), endpoints)
    [owed] = await post.owe_all()
    assert (await post.attempt(owed, "delivered")).state == "delivered"


async def test_over_the_quota_a_log_keeps_only_its_newest_attempt(
    redis: Redis, scripts: Scripts, jobs: RedisJobStore, endpoints: RedisEndpointStore
) -> None:
    await endpoints.create(endpoint(0), ENDPOINTS)
    room = RedisDeliveryStore(redis, scripts, ROLES, bytes_max=MOST)
    post = Post(redis, jobs, room, endpoints)
    [owed] = await post.owe_all()
    for asked in ("one", "two"):
        await attempt(post, owed, "x" * 2000)
        await room.redeliver(owed, asked)
    assert [len(one["excerpt"]) for one in (await post.read(owed)).log] == [2000, 2000]
    full = RedisDeliveryStore(redis, scripts, ROLES, bytes_max=(await usage(redis))["bytes"] + 100)
    await attempt(replace(post, deliveries=full), owed, "x" * 2000)
    [kept] = (await post.read(owed)).log
    assert (kept["number"], kept["excerpt"]) == (3, "")


async def test_redelivering_adds_its_log_to_what_counts(redis: Redis, post: Post) -> None:
    await post.endpoints.create(endpoint(0), ENDPOINTS)
    [owed] = await post.owe_all()
    sizes = []
    for number in range(3):
        await attempt(post, owed, "x" * 2000)
        sizes.append((await usage(redis))["bytes"])
        await post.deliveries.redeliver(owed, str(number))
    assert sizes[1] - sizes[0] > 2000
    assert sizes[2] - sizes[1] > 2000


async def test_what_is_removed_from_a_record_counts_no_more(redis: Redis, post: Post) -> None:
    job = new_job()
    await post.jobs.accept(job, None, "", AdmissionLimits(queue_max=10))
    counted = (await usage(redis))["bytes"]
    claimed = await post.jobs.claim(await held(redis, Role.SUBMIT, job.id), "a run")
    assert claimed
    await post.jobs.release(claimed)
    result = {"claimed": {"output": "x" * 5000}, "metadata": {"y": "z" * 3000}}
    seen = Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask("task_1"), HoldSlot(), SetFields(result)])
    await post.jobs.apply(claimed, seen)
    assert (await usage(redis))["bytes"] > counted + 8000
    forgotten = Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[UnsetFields(["claimed", "metadata"])])
    await post.jobs.apply(claimed, forgotten)
    assert (await usage(redis))["bytes"] == counted  # with the usual entries of its history
    for _ in range(20):
        await post.jobs.apply(claimed, forgotten)
    history = await redis.lrange(f"{keys.job(job.id)}:audit", 0, -1)  # type: ignore[misc]
    assert (await usage(redis))["bytes"] == counted + sum(map(len, history[12:]))


async def test_a_result_that_is_not_believed_any_more_counts_no_more(redis: Redis, post: Post) -> None:
    store = Store(redis, post.jobs, post.deliveries, post.endpoints, RedisRetention(redis, Scripts(redis), 0))
    one, two = [await store.released(await store.accept()) for _ in range(2)]
    said = {"output": [{"url": "x" * 5000}]}
    await post.jobs.callback(Callback(one.id, "acme", 1, "done", "task_1", terminal=True, claimed=said))
    counted = (await usage(redis))["bytes"]
    await post.jobs.apply(
        two, Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask("task_1"), HoldSlot()])
    )
    assert not await redis.hexists(keys.job(one.id), "claimed")  # type: ignore[misc]
    assert (await usage(redis))["bytes"] < counted - 4000


@pytest.mark.parametrize("history", [canceled, completed])
async def test_when_all_is_forgotten_and_deleted_nothing_counts(
    redis: Redis, scripts: Scripts, post: Post, history: object
) -> None:
    store = Store(redis, post.jobs, post.deliveries, post.endpoints, RedisRetention(redis, scripts, 0))
    hooks = [endpoint(0, "*", headers={"a": "ü"}), endpoint(1)]
    for one in hooks:
        await post.endpoints.create(one, ENDPOINTS)
    job = await history(store, await store.accept(callback_url="https://c.example.com/"))  # type: ignore[operator]
    await store.deliver(job, DeliveryEvent.ATTEMPTS_EXHAUSTED)
    assert await store.retention.forget(job.id)
    await post.endpoints.change(replace(hooks[0], headers={}, url="https://a.example.com"), hooks[0])
    for one in hooks:
        await post.endpoints.delete(one)
    assert await usage(redis) == {}


async def test_media_count_until_their_job_is_finished(redis: Redis, post: Post) -> None:
    job = new_job()
    await post.jobs.accept(job, None, "", AdmissionLimits(queue_max=10, media_max=1000), media=700)
    assert (await usage(redis))["media"] == 700
    with pytest.raises(LimitReached, match="media as URLs") as refused:
        await post.jobs.accept(new_job(), None, "", AdmissionLimits(queue_max=10, media_max=1000), media=301)
    assert refused.value.retry_after_seconds == 60
    await post.jobs.accept(new_job(), None, "", AdmissionLimits(queue_max=10, media_max=1000), media=0)
    store = Store(redis, post.jobs, post.deliveries, post.endpoints, RedisRetention(redis, Scripts(redis), 0))
    await canceled(store, job)
    assert "media" not in await usage(redis)


async def test_a_check_says_what_would_be_answered_and_stores_nothing(
    redis: Redis, jobs: RedisJobStore
) -> None:
    first = new_job(idempotency="key")
    await jobs.accept(first, None, "f", AdmissionLimits(queue_max=10, rate=0.001, burst=2))
    before = sorted(await redis.keys("*"))
    for _ in range(3):
        fits = new_job()
        answer = await jobs.accept(
            fits, None, "", AdmissionLimits(queue_max=10, rate=0.001, burst=2), check_only=True
        )
        assert (answer.job_id, answer.replayed) == (fits.id, False)
    again = await jobs.accept(
        new_job(idempotency="key"), None, "f", AdmissionLimits(queue_max=10), check_only=True
    )
    assert (again.job_id, again.replayed) == (first.id, True)
    assert sorted(await redis.keys("*")) == before
    with pytest.raises(LimitReached):
        await jobs.accept(new_job(), None, "", AdmissionLimits(queue_max=0), check_only=True)


async def test_finished_recoveries_of_a_tenant_are_bounded_also_those_of_deleted_endpoints(
    redis: Redis, scripts: Scripts, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.recoveries._KEPT_OF_TENANT", 3)
    store = RedisRecoveries(redis, scripts, ROLES, 3600)
    for number in range(5):
        hook = endpoint(number)
        await post.endpoints.create(hook, ENDPOINTS)
        await store.begin(Recovery(f"rec_{number}", "acme", hook.id, 0, 1, number, (), "running"))  # type: ignore[arg-type]
        await post.endpoints.delete(hook)
        await store.advance(f"rec_{number}")
    assert sorted(await redis.keys("{gw}:recovery:*")) == [f"{{gw}}:recovery:rec_{n}" for n in (2, 3, 4)]


async def test_each_kind_of_request_is_metered_apart(redis: Redis, scripts: Scripts) -> None:
    meter = RateMeter(scripts, 0.1, 2)
    left = [await meter.count("acme", "checks") for _ in range(2)]
    assert [one and one.left for one in left] == [1, 0]
    with pytest.raises(RateLimited, match="2 checks in 20 s") as refused:
        await meter.count("acme", "checks")
    assert 9 <= refused.value.retry_after_seconds <= 10
    assert await meter.count("acme", "changes")
    assert await meter.count("zeta", "checks")


async def test_a_tenant_s_own_rate_is_the_one_that_meters_it(redis: Redis, scripts: Scripts) -> None:
    await redis.hset(keys.tenant_settings("acme"), mapping={"rate": "0.001", "burst": "1"})  # type: ignore[misc]
    meter = RateMeter(scripts, 0, 1)
    await meter.count("acme", "checks")
    with pytest.raises(RateLimited):
        await meter.count("acme", "checks")
    assert [await meter.count("zeta", "checks") for _ in range(3)] == [None, None, None]
