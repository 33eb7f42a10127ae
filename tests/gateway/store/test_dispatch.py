"""Lanes, slots and the doorbell, on the real server."""

from __future__ import annotations

import json

import pytest
from redis.asyncio import Redis

from gateway.dispatch import Role, deserialize
from gateway.errors import IdempotencyMismatch, LimitReached
from gateway.jobs import confirm_ticket, submit_ticket
from gateway.lifecycle import JobEvent, JobState
from gateway.store import keys
from gateway.store.base import AdmissionLimits
from gateway.store.effects import BindTask, Finish, GiveBackSlot, HoldSlot, PollAfter
from gateway.store.jobs import RedisJobStore
from gateway.store.lanes import Lanes
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import Accept, dispatched, held, new_job


async def mapping(redis: Redis, key: str) -> dict[str, str]:
    found: dict[str, str] = await redis.hgetall(key)  # type: ignore[misc]
    return found


async def finish(jobs: RedisJobStore, redis: Redis, job_id: str) -> None:
    job = await jobs.claim(await held(redis, Role.SUBMIT, job_id))
    assert job
    done = [submit_ticket(job), confirm_ticket(job)]
    await jobs.apply(job, Transition(JobEvent.UPSTREAM_REJECTED, effects=[Finish(done)]))


async def test_accept_hands_a_job_to_arq_at_once_when_a_slot_is_free(redis: Redis, accept: Accept) -> None:
    job = await accept()
    assert await dispatched(redis, Role.SUBMIT) == [job.id]
    assert await redis.exists("{gw}:submit:arq:wake")
    [arq_id] = await redis.zrange("{gw}:submit:arq", 0, -1)
    record = deserialize((await redis.get(f"arq:job:{arq_id}")).encode())
    assert (record["f"], record["a"], record["k"]) == ("submit", [f"acme|{job.id}", 1], {})


async def test_a_tenant_holds_no_more_than_its_share_and_the_rest_waits(redis: Redis, accept: Accept) -> None:
    first = [await accept("acme") for _ in range(5)]
    assert await dispatched(redis, Role.SUBMIT) == [job.id for job in first[:2]]
    other = await accept("zeta")
    assert other.id in await dispatched(redis, Role.SUBMIT)
    assert await redis.zcard(keys.waiting(Role.SUBMIT)) == 3


async def test_a_damaged_record_does_not_stop_the_jobs_behind_it(
    redis: Redis, accept: Accept, lanes: Lanes
) -> None:
    await redis.hset(keys.PAUSED, "at", "1")  # type: ignore[misc]
    damaged, other = await accept(), await accept()
    await redis.delete(keys.PAUSED)
    await redis.set(keys.job(damaged.id), "damaged")
    assert await lanes.dispatch() == 2
    assert other.id in await dispatched(redis, Role.SUBMIT)


async def test_a_freed_slot_goes_to_the_next_job_of_the_lane(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    first, _, third, _ = [await accept() for _ in range(4)]
    await finish(jobs, redis, first.id)
    assert (await dispatched(redis, Role.SUBMIT))[-1] == third.id


async def test_twenty_jobs_ahead_of_another_tenant_do_not_hold_it_up(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    greedy = [await accept("greedy") for _ in range(20)]
    modest = [await accept("modest") for _ in range(4)]
    order: list[str] = []
    while len(order) < 24:
        holders = await mapping(redis, "{gw}:submit:holders")
        ticket = min(holders, key=lambda text: int(holders[text]))  # the one that was dispatched first
        order.append(ticket.split("|")[1])
        await finish(jobs, redis, order[-1])
    assert set(order) == {job.id for job in greedy + modest}
    assert max(order.index(job.id) for job in modest) < 12


async def test_a_busy_upstream_s_job_comes_back_before_newer_ones_when_it_is_due(
    redis: Redis, jobs: RedisJobStore, accept: Accept, lanes: Lanes
) -> None:
    first, second, third = [await accept() for _ in range(3)]
    claimed = await jobs.claim(await held(redis, Role.SUBMIT, first.id))
    assert claimed
    await jobs.apply(claimed, Transition(JobEvent.UPSTREAM_BUSY, effects=[GiveBackSlot(3_600_000)]))
    assert await dispatched(redis, Role.SUBMIT) == [
        first.id,
        second.id,
        third.id,
    ]  # its slot went to the third
    newest = await accept()
    await redis.zadd(keys.due(Role.SUBMIT), {str(submit_ticket(first)): 1})
    await finish(jobs, redis, second.id)
    assert (await dispatched(redis, Role.SUBMIT))[-1] == first.id
    assert newest.id not in await dispatched(redis, Role.SUBMIT)


async def test_giving_back_a_slot_twice_frees_one(redis: Redis, jobs: RedisJobStore, accept: Accept) -> None:
    job, _ = await accept(), await accept()
    claimed = await jobs.claim(await held(redis, Role.SUBMIT, job.id))
    assert claimed
    for _ in range(3):
        await jobs.apply(
            claimed, Transition(JobEvent.UPSTREAM_REJECTED, effects=[Finish([submit_ticket(job)])])
        )
    assert await redis.hget("{gw}:submit:inflight", "acme") == "1"  # type: ignore[misc]


async def test_a_confirmation_asked_for_while_one_runs_follows_it(
    redis: Redis, jobs: RedisJobStore, accept: Accept, lanes: Lanes
) -> None:
    job = await accept()
    claimed = await jobs.claim(await held(redis, Role.SUBMIT, job.id))
    assert claimed
    accepted = Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask("t1"), HoldSlot(), PollAfter(0)])
    await jobs.apply(claimed, accepted)
    running = await held(redis, Role.CONFIRM, job.id)
    assert await jobs.begin_confirm(running)
    await jobs.apply(claimed, Transition(JobEvent.CALLBACK_SEEN, effects=[PollAfter(0)]))
    assert len(await dispatched(redis, Role.CONFIRM)) == 1
    await jobs.postpone(running, 3_600_000, {"polls": 1})
    assert (await held(redis, Role.CONFIRM, job.id)).dispatch_number > running.dispatch_number


async def test_a_lease_that_ran_out_is_found_and_dispatched_again_to_a_new_holder(
    redis: Redis, jobs: RedisJobStore, accept: Accept, lanes: Lanes
) -> None:
    job = await accept()
    old = await held(redis, Role.SUBMIT, job.id)
    assert await lanes.expired(Role.SUBMIT) == []
    await redis.zadd(keys.slots(Role.SUBMIT), {str(old): 1})
    [expired] = await lanes.expired(Role.SUBMIT)
    assert expired == old
    assert await lanes.redispatch(expired)
    assert not await lanes.redispatch(expired)
    assert await jobs.claim(old) is None
    assert await dispatched(redis, Role.SUBMIT) == [job.id]
    assert await jobs.claim(await held(redis, Role.SUBMIT, job.id))


async def test_a_submit_slot_is_held_until_the_job_is_final(
    redis: Redis, jobs: RedisJobStore, accept: Accept, lanes: Lanes
) -> None:
    job = await accept()
    claimed = await jobs.claim(await held(redis, Role.SUBMIT, job.id))
    assert claimed
    await jobs.apply(claimed, Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask("t"), HoldSlot()]))
    [(_, lease)] = await redis.zrange(keys.slots(Role.SUBMIT), 0, -1, withscores=True)
    assert lease == float("inf")
    assert await lanes.expired(Role.SUBMIT) == []


async def test_the_same_idempotency_key_and_body_give_the_same_job(jobs: RedisJobStore) -> None:
    first = new_job(idempotency="k")
    assert not (await jobs.accept(first, None, "body", AdmissionLimits(queue_max=10))).replayed
    second = await jobs.accept(new_job(idempotency="k"), None, "body", AdmissionLimits(queue_max=10))
    assert (second.job_id, second.replayed) == (first.id, True)


async def test_the_same_idempotency_key_with_another_body_is_refused(jobs: RedisJobStore) -> None:
    first = new_job(idempotency="k")
    await jobs.accept(first, None, "body", AdmissionLimits(queue_max=10))
    with pytest.raises(IdempotencyMismatch, match=first.id):
        await jobs.accept(new_job(idempotency="k"), None, "other", AdmissionLimits(queue_max=10))


async def test_two_tenants_may_use_the_same_idempotency_key(jobs: RedisJobStore) -> None:
    await jobs.accept(new_job("acme", idempotency="k"), None, "body", AdmissionLimits(queue_max=10))
    assert not (
        await jobs.accept(new_job("zeta", idempotency="k"), None, "x", AdmissionLimits(queue_max=10))
    ).replayed


async def test_accepting_the_same_job_again_changes_nothing(redis: Redis, jobs: RedisJobStore) -> None:
    job = new_job()
    await jobs.accept(job, "payload", "f", AdmissionLimits(queue_max=10))
    before = await redis.hgetall(keys.COUNTS)  # type: ignore[misc]
    again = await jobs.accept(job, "payload", "f", AdmissionLimits(queue_max=10))
    assert (again.job_id, again.replayed) == (job.id, False)
    assert await redis.hgetall(keys.COUNTS) == before  # type: ignore[misc]
    assert await dispatched(redis, Role.SUBMIT) == [job.id]


async def test_a_full_lane_is_refused_with_a_time_to_come_back(jobs: RedisJobStore, accept: Accept) -> None:
    for _ in range(4):  # two of them are dispatched at once
        await accept()
    with pytest.raises(LimitReached) as refusal:
        await jobs.accept(new_job(), None, "f", AdmissionLimits(queue_max=2))
    assert refusal.value.retry_after_seconds > 0


async def test_a_stored_job_comes_back_as_it_was(jobs: RedisJobStore, accept: Accept) -> None:
    warnings = [{"param": "prompt", "code": "long", "message": "long"}]
    job = await accept(callback_url="https://client.example.com/hook", warnings=warnings)
    assert await jobs.read(job.id) == job


async def test_pages_are_newest_first_and_meet_without_gap(jobs: RedisJobStore, accept: Accept) -> None:
    made = [(await accept()).id for _ in range(7)]
    await accept("zeta")
    seen: list[str] = []
    after = None
    while True:
        page = await jobs.page("acme", list(JobState), after, 3)
        seen += [job.id for job in page.jobs]
        after = page.last
        if not page.more:
            break
    assert seen == made[::-1]


async def test_a_page_of_a_status_holds_only_that(redis: Redis, jobs: RedisJobStore, accept: Accept) -> None:
    done, _ = await accept(), await accept()
    await finish(jobs, redis, done.id)
    page = await jobs.page("acme", [JobState.FAILED], None, 10)
    assert [job.id for job in page.jobs] == [done.id]


async def test_arq_s_record_is_json_that_arq_itself_can_read(redis: Redis, accept: Accept) -> None:
    await accept()
    [arq_id] = await redis.zrange("{gw}:submit:arq", 0, -1)
    assert set(json.loads(await redis.get(f"arq:job:{arq_id}"))) == {"t", "f", "a", "k", "et"}
