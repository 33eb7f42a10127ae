"""Every (state, event) pair of both tables against the real server, and what a move brings with it."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from gateway.dispatch import Role, Ticket
from gateway.endpoints import Delivery
from gateway.events import EventType
from gateway.lifecycle import (
    DELIVERY_TRANSITIONS,
    FINAL,
    JOB_TRANSITIONS,
    DeliveryEvent,
    DeliveryState,
    JobEvent,
    JobState,
)
from gateway.store import keys
from gateway.store.base import Outcome
from gateway.store.deliveries import RedisDeliveryStore
from gateway.store.effects import BindTask, GiveBackSlot, SetFields
from gateway.store.job_history import history_of
from gateway.store.jobs import RedisJobStore
from gateway.store.transitions import Guard, Transition
from tests.gateway.store.conftest import Accept, held, new_job


async def put_into(redis: Redis, jobs: RedisJobStore, accept: Accept, state: JobState) -> str:
    """A job that stands in `state`, whatever way leads there."""
    job = await accept()
    async with redis.pipeline(transaction=True) as pipe:
        pipe.hset(keys.job(job.id), "state", state)
        pipe.hincrby(keys.COUNTS, "job:queued", -1)
        pipe.hincrby(keys.COUNTS, f"job:{state}", 1)
        pipe.zrem(keys.tenant_jobs("acme", JobState.QUEUED), job.id)
        pipe.zadd(keys.tenant_jobs("acme", state), {job.id: 0})
        await pipe.execute()
    return job.id


@pytest.mark.parametrize("event", list(JobEvent))
@pytest.mark.parametrize("state", list(JobState))
async def test_a_job_transitions_exactly_as_the_table_says(
    redis: Redis, jobs: RedisJobStore, accept: Accept, state: JobState, event: JobEvent
) -> None:
    job_id = await put_into(redis, jobs, accept, state)
    before = await redis.hgetall(keys.job(job_id))  # type: ignore[misc]
    answer = await jobs.apply(new_job(id=job_id), Transition(event, effects=[SetFields({"progress": 0.5})]))
    target = JOB_TRANSITIONS[state].get(event)
    after = await redis.hgetall(keys.job(job_id))  # type: ignore[misc]
    if target is None:
        assert answer.outcome is Outcome.REFUSED
        assert after == before
    elif target is state and state in FINAL:
        assert answer.outcome is Outcome.ABSORBED
        assert after == before
    else:
        assert answer.outcome is (Outcome.REPEATED if target is state else Outcome.MOVED)
        assert (answer.before, answer.after, after["state"]) == (state, target, target)
        assert after["progress"] == "0.5"
    expected = target or state
    counts = await redis.hgetall(keys.COUNTS)  # type: ignore[misc]
    assert {name: n for name, n in counts.items() if n != "0"} == {f"job:{expected}": "1"}
    assert await redis.zrange(keys.tenant_jobs("acme", expected), 0, -1) == [job_id]


@pytest.mark.parametrize("event", list(DeliveryEvent))
@pytest.mark.parametrize("state", list(DeliveryState))
async def test_a_delivery_changes_its_state_exactly_as_the_table_says(
    redis: Redis, deliveries: RedisDeliveryStore, state: DeliveryState, event: DeliveryEvent
) -> None:
    delivery = Delivery(
        "dlv_1", state, "evt_1", EventType.COMPLETED, "acme", "job_1", "ep_1", created_at=1, attempts=3
    )
    made = {"state": state, "tenant": "acme", "lane": "ep_1", "created_at": "1"}
    await redis.hset(keys.delivery("dlv_1"), mapping=made)  # type: ignore[misc]
    ticket = Ticket(Role.DELIVER, "ep_1", "dlv_1", 7)
    await redis.hset("{gw}:deliver:holders", str(ticket), "7")  # type: ignore[misc]
    answer = await deliveries.finish(ticket, delivery, event, retry_in_ms=None, tally=[])
    target = DELIVERY_TRANSITIONS[state].get(event)
    stored = await redis.hgetall(keys.delivery("dlv_1"))  # type: ignore[misc]
    assert stored["state"] == (target or state)
    assert (answer.outcome is Outcome.REFUSED) == (target is None)
    assert ("attempts" in stored) == (target is not None)
    moved = target is not None and target is not state
    for index in (
        keys.tenant_deliveries("acme", target or state),
        keys.lane_deliveries("ep_1", target or state),
    ):
        assert await redis.zrange(index, 0, -1, withscores=True) == ([("dlv_1", 1.0)] if moved else [])


async def test_a_transition_of_a_job_that_does_not_exist_is_missing_and_writes_nothing(
    redis: Redis, jobs: RedisJobStore
) -> None:
    answer = await jobs.apply(new_job(), Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask("t")]))
    assert answer.outcome is Outcome.MISSING
    assert await redis.keys("{gw}:job*") == []


async def test_an_older_epoch_is_fenced_and_frees_no_slot(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await accept()
    assert await jobs.claim(await held(redis, Role.SUBMIT, job.id))
    move = Transition(JobEvent.UPSTREAM_BUSY, Guard({"epoch": 0}), [GiveBackSlot(0)])
    assert (await jobs.apply(job, move)).outcome is Outcome.FENCED
    assert await redis.zcard(keys.slots(Role.SUBMIT)) == 1


async def test_a_job_is_claimed_once_however_many_ask(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await accept()
    ticket = await held(redis, Role.SUBMIT, job.id)
    claims = [await jobs.claim(ticket) for _ in range(5)]
    assert [claim.epoch for claim in claims if claim] == [1]


async def test_only_the_newest_dispatch_may_claim(redis: Redis, jobs: RedisJobStore, accept: Accept) -> None:
    job = await accept()
    ticket = await held(redis, Role.SUBMIT, job.id)
    old = Ticket(ticket.role, ticket.lane, ticket.name, ticket.dispatch_number - 1)
    assert await jobs.claim(old) is None
    assert await jobs.claim(ticket) is not None


async def test_the_gate_opens_once_for_an_epoch_and_again_when_its_answer_was_lost(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await accept()
    claimed = await jobs.claim(await held(redis, Role.SUBMIT, job.id))
    assert claimed
    assert await jobs.release(claimed)
    released_at = await redis.hget(keys.job(job.id), "released_at")  # type: ignore[misc]
    assert await jobs.release(claimed)
    assert await redis.hget(keys.job(job.id), "released_at") == released_at  # type: ignore[misc]


async def test_the_gate_stays_shut_for_an_epoch_that_lost_its_claim(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await accept()
    claimed = await jobs.claim(await held(redis, Role.SUBMIT, job.id))
    assert claimed
    await jobs.apply(job, Transition(JobEvent.CLAIM_LOST, Guard({"epoch": 1}), [GiveBackSlot(0)]))
    assert not await jobs.release(claimed)
    again = await jobs.claim(await held(redis, Role.SUBMIT, job.id))
    assert again
    assert again.epoch == 2
    assert not await jobs.release(claimed)
    assert await jobs.release(again)


async def test_every_transition_is_an_entry_of_the_job_history(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await accept()
    await jobs.claim(await held(redis, Role.SUBMIT, job.id))
    await jobs.apply(job, Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask("t1")]))
    noted = await redis.lrange(keys.job_audit(job.id), 0, -1)  # type: ignore[misc]
    assert [entry["event"] for entry in history_of(job.created_at, noted)] == [
        "accepted",
        "claimed",
        "upstream_accepted",
        "task_named",
    ]


async def test_no_key_that_matters_ever_expires_and_all_carry_the_tag(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await accept()
    await jobs.claim(await held(redis, Role.SUBMIT, job.id))
    for key in await redis.keys("*"):
        assert "{gw}" in key
        assert key.startswith("arq:") or await redis.ttl(key) == -1
