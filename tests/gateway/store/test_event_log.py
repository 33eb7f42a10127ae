"""A tenant's events: what the scripts write of each step, in one durable step with it, and how it is read."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis.asyncio import Redis

from gateway import events
from gateway.events import EVENT_OF, TYPE_OF_STATE, EventType
from gateway.jobs import EVENT_PAYLOAD_CHARACTERS, Job
from gateway.lifecycle import JobEvent, JobState, job_transitions
from gateway.store import keys
from gateway.store.base import AdmissionLimits, Callback
from gateway.store.effects import AddLateResult, AddToFields, BindTask, OweEvent, SetFields
from gateway.store.event_log import START, Entry, RedisTenantEvents, event_position
from gateway.store.jobs import RedisJobStore
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import Accept, new_job


@pytest.fixture
def tenant_events(redis: Redis) -> RedisTenantEvents:
    return RedisTenantEvents(redis)


async def heard(tenant_events: RedisTenantEvents, tenant: str = "acme") -> list[tuple[str, str]]:
    [page] = await tenant_events.after([(tenant, START)], 1000)
    return [(entry.type, entry.job_id) for entry in page]


async def submitted(jobs: RedisJobStore, job: Job) -> None:
    await jobs.apply(job, Transition(JobEvent.CLAIMED, effects=[AddToFields({"epoch": 1})]))
    await jobs.apply(job, Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask(f"task-of-{job.id}")]))


def ended(job: Job) -> Transition:
    job = replace(job, state=JobState.CANCELED, finished_at=7)
    return Transition(JobEvent.CANCEL_REQUESTED, effects=[OweEvent(events.make(job, None))])


async def test_an_accepted_job_is_published_once_however_often_it_is_posted(
    tenant_events: RedisTenantEvents, jobs: RedisJobStore
) -> None:
    job = new_job(idempotency="a" * 64)
    for _ in range(2):
        await jobs.accept(job, None, "fingerprint", AdmissionLimits(queue_max=10))
    again = new_job(idempotency="a" * 64)
    await jobs.accept(again, None, "fingerprint", AdmissionLimits(queue_max=10))
    assert await heard(tenant_events) == [("job.queued", job.id)]


@pytest.mark.parametrize("event", list(JobEvent))
@pytest.mark.parametrize("before", list(JobState))
async def test_every_transition_into_a_state_of_which_clients_hear_is_published_and_no_other(
    tenant_events: RedisTenantEvents,
    redis: Redis,
    jobs: RedisJobStore,
    accept: Accept,
    before: JobState,
    event: JobEvent,
) -> None:
    job = await accept()
    await redis.hset(keys.job(job.id), "state", before)  # type: ignore[misc]
    await jobs.apply(job, Transition(event))
    after = job_transitions(event).get(before, before)
    heard_of = after in TYPE_OF_STATE and after is not before and after is not JobState.QUEUED
    expected = [(TYPE_OF_STATE[after].value, job.id)] if heard_of else []
    assert (await heard(tenant_events))[1:] == expected


async def test_a_job_that_is_queued_again_is_not_published_again(
    tenant_events: RedisTenantEvents, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await accept()
    await jobs.apply(job, Transition(JobEvent.CLAIMED))
    await jobs.apply(job, Transition(JobEvent.CLAIM_LOST))
    assert await heard(tenant_events) == [("job.queued", job.id)]


async def test_a_callback_that_changes_a_job_s_state_is_published(
    tenant_events: RedisTenantEvents, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await accept()
    await jobs.apply(
        job, Transition(JobEvent.CLAIMED, effects=[AddToFields({"epoch": 1}), SetFields({"released_at": 1})])
    )
    for _ in range(2):
        await jobs.callback(Callback(job.id, "acme", 1, "test", task_id="t-1", working=True))
    assert await heard(tenant_events) == [("job.queued", job.id), ("job.submitted", job.id)]


async def test_a_job_that_redis_lost_and_a_callback_brought_back_is_published(
    tenant_events: RedisTenantEvents, jobs: RedisJobStore
) -> None:
    job = new_job()
    await jobs.callback(Callback(job.id, "acme", 1, "test", task_id="t-1", working=True))
    assert await heard(tenant_events) == [("job.submitted", job.id)]


async def test_a_late_result_is_published_once(
    tenant_events: RedisTenantEvents, jobs: RedisJobStore, redis: Redis, accept: Accept
) -> None:
    job = await accept()
    await redis.hset(keys.job(job.id), "state", "failed")  # type: ignore[misc]
    late = replace(job, state=JobState.FAILED, late={"output": None})
    noting = AddLateResult({}, events.make_late(late, None, 9))
    move = Transition(JobEvent.LATE_SUCCESS, effects=[noting])
    for _ in range(2):
        await jobs.apply(late, move)
    assert (await heard(tenant_events))[1:] == [("job.late_result", job.id)]
    [_, entry] = (await tenant_events.after([("acme", START)], 10))[0]
    assert await tenant_events.bodies([entry]) == [events.make_late(late, None, 9).body]


async def test_an_end_is_published_once_although_it_is_owed_too(
    tenant_events: RedisTenantEvents, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await accept()
    for _ in range(2):
        await jobs.apply(job, ended(job))
    assert (await heard(tenant_events))[1:] == [("job.canceled", job.id)]


async def test_a_job_s_events_are_those_published_of_it_in_order_and_only_its_tenant_s(
    tenant_events: RedisTenantEvents, jobs: RedisJobStore, accept: Accept
) -> None:
    job, other = await accept(), await accept()
    await submitted(jobs, job)
    await submitted(jobs, other)
    job_events = await tenant_events.job_events("acme", job.id)
    assert job_events is not None
    assert job_events.job.state is JobState.SUBMITTED
    [page] = await tenant_events.after([("acme", START)], 10)
    assert job_events.entries == [entry for entry in page if entry.job_id == job.id]
    assert await tenant_events.job_events("other", job.id) is None
    assert await tenant_events.job_events("acme", new_job().id) is None


async def test_pages_follow_each_other_for_many_tenants_at_once(
    tenant_events: RedisTenantEvents, accept: Accept
) -> None:
    ours = [(await accept()).id for _ in range(5)]
    theirs = [(await accept("other")).id for _ in range(2)]
    first, other, nobody = await tenant_events.after(
        [("acme", START), ("other", START), ("nobody", START)], 3
    )
    assert [entry.job_id for entry in first] == ours[:3]
    assert [entry.job_id for entry in other] == theirs
    assert nobody == []
    [rest] = await tenant_events.after([("acme", first[-1].id)], 3)
    assert [entry.job_id for entry in rest] == ours[3:]
    assert await tenant_events.tail("acme") == rest[-1].id
    assert await tenant_events.tail("nobody") == START


async def test_what_is_missing_is_known(
    tenant_events: RedisTenantEvents, redis: Redis, accept: Accept
) -> None:
    assert await tenant_events.missing_after("acme", START) is None
    assert await tenant_events.missing_after("acme", "5-0") == START
    for _ in range(4):
        await accept()
    [page] = await tenant_events.after([("acme", START)], 10)
    ids = [entry.id for entry in page]
    for last in (START, "5-0", *ids):
        assert await tenant_events.missing_after("acme", last) is None
    await redis.xtrim(keys.tenant_events("acme"), maxlen=2, approximate=False)
    assert await tenant_events.missing_after("acme", ids[0]) == ids[2]
    assert await tenant_events.missing_after("acme", ids[2]) is None
    assert await tenant_events.missing_after("acme", "99999999999999-0") == ids[3]
    await redis.xtrim(keys.tenant_events("acme"), maxlen=0, approximate=False)
    assert await tenant_events.missing_after("acme", ids[0]) == ids[3]
    assert await tenant_events.missing_after("acme", ids[3]) is None


async def test_a_forgotten_job_is_no_gap_for_who_heard_of_it(
    tenant_events: RedisTenantEvents, redis: Redis, accept: Accept
) -> None:
    for _ in range(4):
        await accept()
    [page] = await tenant_events.after([("acme", START)], 10)
    ids = [entry.id for entry in page]
    await redis.xdel(keys.tenant_events("acme"), ids[0], ids[1])
    assert await tenant_events.missing_after("acme", ids[1]) is None
    assert await tenant_events.missing_after("acme", ids[0]) == ids[2]
    await redis.xdel(keys.tenant_events("acme"), ids[3])
    assert (
        await tenant_events.missing_after("acme", ids[2]) == ids[3]
    )  # who was away for so long has missed it
    assert await tenant_events.missing_after("acme", ids[3]) is None
    await redis.xdel(keys.tenant_events("acme"), ids[2])
    assert await tenant_events.missing_after("acme", ids[3]) is None


async def test_what_was_forgotten_meanwhile_is_a_gap_though_something_older_is_kept(
    tenant_events: RedisTenantEvents, redis: Redis, accept: Accept
) -> None:
    for _ in range(4):
        await accept()
    [page] = await tenant_events.after([("acme", START)], 10)
    ids = [entry.id for entry in page]
    await redis.xdel(keys.tenant_events("acme"), ids[2])
    assert await tenant_events.missing_after("acme", ids[1]) == ids[3]
    assert await tenant_events.missing_after("acme", ids[2]) is None


async def test_a_full_stream_that_was_cut_is_a_gap_though_jobs_were_forgotten_before(
    tenant_events: RedisTenantEvents, redis: Redis, accept: Accept
) -> None:
    for _ in range(2):
        await accept()
    [page] = await tenant_events.after([("acme", START)], 10)
    await redis.xdel(keys.tenant_events("acme"), page[0].id)
    async with redis.pipeline(transaction=False) as pipe:
        for number in range(10_001):
            pipe.xadd(keys.tenant_events("acme"), {"type": "job.queued", "job": f"job_{number}"})
        pipe.xtrim(keys.tenant_events("acme"), maxlen=10_000, approximate=False)
        pipe.xrange(keys.tenant_events("acme"), count=1)
        *_, oldest = await pipe.execute()
    assert await tenant_events.missing_after("acme", page[1].id) == oldest[0][0]


async def test_only_so_many_are_kept(redis: Redis, jobs: RedisJobStore, accept: Accept) -> None:
    job = await accept()
    async with redis.pipeline(transaction=False) as pipe:
        for number in range(11_000):
            pipe.xadd(keys.tenant_events("acme"), {"type": "job.queued", "job": f"job_{number}"})
        await pipe.execute()
    await jobs.apply(job, Transition(JobEvent.CANCEL_REQUESTED))
    assert 10_000 <= await redis.xlen(keys.tenant_events("acme")) < 10_500


async def test_a_step_is_published_with_the_job_as_it_was_then_and_its_end_with_the_frozen_bytes(
    tenant_events: RedisTenantEvents, jobs: RedisJobStore
) -> None:
    job = new_job(payload_characters=4)
    await jobs.accept(job, "mine", "fingerprint", AdmissionLimits(queue_max=10))
    await jobs.apply(job, ended(job))
    [page] = await tenant_events.after([("acme", START)], 10)
    queued, canceled = await tenant_events.bodies(page)
    record = await jobs.read(job.id)
    assert record is not None
    assert queued == events.make_step(record, EventType.QUEUED, "mine").body
    end = ended(job).find(OweEvent)
    assert end
    assert canceled == end.event.body


async def test_a_payload_that_an_event_leaves_out_is_not_fetched(
    tenant_events: RedisTenantEvents, jobs: RedisJobStore, redis: Redis
) -> None:
    long = "x" * (EVENT_PAYLOAD_CHARACTERS + 1)
    job = new_job(payload_characters=len(long))
    await jobs.accept(job, long, "fingerprint", AdmissionLimits(queue_max=10))
    await redis.delete(keys.payload(job.id))
    await redis.rpush(keys.payload(job.id), "a GET of this is an error")  # type: ignore[misc]
    expected = events.make_step(job, EventType.QUEUED, long).body
    assert await tenant_events.bodies([Entry("1-0", "job.queued", job.id)]) == [expected]
    assert b'"payload_omitted":true' in expected


async def test_many_events_are_read_together_and_never_one_by_one(
    tenant_events: RedisTenantEvents, jobs: RedisJobStore, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = [new_job(payload_characters=size) for size in (None, 0, 4, EVENT_PAYLOAD_CHARACTERS)]
    payloads = [None if job.payload_characters is None else "y" * job.payload_characters for job in some]
    for job, payload in zip(some, payloads, strict=True):
        await jobs.accept(job, payload, "fingerprint", AdmissionLimits(queue_max=10))
    unfrozen = new_job(payload_characters=4)
    await jobs.accept(unfrozen, "mine", "fingerprint", AdmissionLimits(queue_max=10))
    await redis.hset(keys.job(unfrozen.id), mapping={"state": "failed", "finished_at": 7})  # type: ignore[misc]
    record = await jobs.read(unfrozen.id)
    assert record is not None
    entries = [Entry(f"{number}-0", "job.queued", job.id) for number, job in enumerate(some)]
    entries.append(Entry("9-0", "job.failed", unfrozen.id))

    def alone(*command: object, **_: object) -> None:
        pytest.fail(f"asked for by itself: {command}")

    monkeypatch.setattr(redis, "execute_command", alone)
    assert await tenant_events.bodies(entries) == [
        *(
            events.make_step(job, EventType.QUEUED, payload).body
            for job, payload in zip(some, payloads, strict=True)
        ),
        events.make(record, "mine").body,
    ]


async def test_an_end_without_its_event_is_made_of_the_record(
    tenant_events: RedisTenantEvents, jobs: RedisJobStore, redis: Redis, accept: Accept
) -> None:
    job = await accept()
    await redis.hset(keys.job(job.id), mapping={"state": "failed", "finished_at": 7})  # type: ignore[misc]
    record = await jobs.read(job.id)
    assert record is not None
    entries = [Entry("1-0", EVENT_OF[JobState.FAILED], job.id), Entry("2-0", "job.completed", job.id)]
    assert await tenant_events.bodies(entries) == [events.make(record, None).body, None]


async def test_what_cannot_be_published_holds_up_nothing(
    tenant_events: RedisTenantEvents, redis: Redis, accept: Accept
) -> None:
    broken, newer, good = await accept(), await accept(), await accept()
    await redis.hset(keys.job(broken.id), "params", "{")  # type: ignore[misc]
    entries = [
        Entry("1-0", "job.queued", broken.id),
        Entry("2-0", "job.paused", newer.id),
        Entry("3-0", "job.queued", new_job().id),
        Entry("4-0", "job.queued", good.id),
    ]
    bodies = await tenant_events.bodies(entries)
    assert bodies[:3] == [None, None, None]
    assert bodies[3] is not None
    assert await tenant_events.bodies([]) == []


def test_positions_are_compared_as_numbers() -> None:
    assert event_position("9-0") < event_position("10-0") < event_position("10-2") < event_position("10-10")
    assert event_position("10") == event_position("10-0")
