"""A final state and what is owed for it are one step: who is owed what, and where it waits."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from redis.asyncio import Redis

from gateway import events
from gateway.dispatch import Role, Ticket
from gateway.endpoints import Endpoint, callback_lane
from gateway.events import EventType
from gateway.jobs import Job
from gateway.lifecycle import DeliveryEvent, DeliveryState, JobEvent, JobState
from gateway.store import keys
from gateway.store.base import Outcome, TransitionResult
from gateway.store.deliveries import RedisDeliveryStore
from gateway.store.effects import OweEvent, SetFields
from gateway.store.endpoints import RedisEndpointStore
from gateway.store.jobs import RedisJobStore
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import Accept, dispatched, held, stored_body

HOOK = "https://client.example.com/hook"


def endpoint(name: str, *wanted: EventType, tenant: str = "acme") -> Endpoint:
    return Endpoint(f"ep_{name}", tenant, f"https://{name}.example.com/hook", wanted, "k1", 1)


async def settle(
    jobs: RedisJobStore, job: Job, event: JobEvent = JobEvent.CANCEL_REQUESTED
) -> TransitionResult:
    """Ends a queued job as the settlement does."""
    after = replace(job, state=JobState.CANCELED, finished_at=job.created_at + 5)
    owing = OweEvent(events.make(after, None), job.callback_url)
    fields = SetFields({"finished_at": job.created_at + 5})
    return await jobs.apply(job, Transition(event, effects=[fields, owing]))


async def test_endpoints_that_want_the_event_are_owed_it_and_no_others(
    jobs: RedisJobStore, deliveries: RedisDeliveryStore, endpoints: RedisEndpointStore, accept: Accept
) -> None:
    await endpoints.create(endpoint("all"), 50)
    await endpoints.create(endpoint("some", EventType.FAILED, EventType.CANCELED), 50)
    await endpoints.create(endpoint("none", EventType.COMPLETED), 50)
    await endpoints.create(endpoint("foreign", tenant="zeta"), 50)
    job = await accept()
    await settle(jobs, job)
    owed = await deliveries.of_job(job.id)
    assert {one.endpoint_id for one in owed} == {"ep_all", "ep_some"}
    assert {one.lane for one in owed} == {"ep_all", "ep_some"}
    assert {(one.state, one.attempts, one.url) for one in owed} == {(DeliveryState.PENDING, 0, None)}


async def test_a_callback_url_is_owed_it_too_in_the_lane_of_its_host(
    redis: Redis, jobs: RedisJobStore, deliveries: RedisDeliveryStore, accept: Accept
) -> None:
    job = await accept(callback_url=HOOK)
    await settle(jobs, job)
    [owed] = await deliveries.of_job(job.id)
    assert (owed.url, owed.endpoint_id, owed.lane) == (HOOK, None, callback_lane("acme", HOOK))
    assert await dispatched(redis, Role.DELIVER) == [owed.id]


async def test_a_job_that_nobody_asked_about_owes_nothing_but_keeps_its_event(
    redis: Redis, jobs: RedisJobStore, deliveries: RedisDeliveryStore, accept: Accept
) -> None:
    job = await accept()
    await settle(jobs, job)
    assert await deliveries.of_job(job.id) == []
    [name] = await redis.keys("{gw}:event:*")
    body = orjson.loads(await stored_body(redis, name.removeprefix("{gw}:event:")))
    assert body["type"] == "job.canceled"


async def test_what_a_disabled_endpoint_is_owed_is_held_and_not_dispatched(
    redis: Redis,
    jobs: RedisJobStore,
    deliveries: RedisDeliveryStore,
    endpoints: RedisEndpointStore,
    accept: Accept,
) -> None:
    await endpoints.create(endpoint("all"), 50)
    await endpoints.disable(endpoint("all"), "answered 410 Gone", 5)
    job = await accept()
    await settle(jobs, job)
    [owed] = await deliveries.of_job(job.id)
    assert owed.state is DeliveryState.HELD
    assert await dispatched(redis, Role.DELIVER) == []
    assert await redis.zcard(keys.waiting(Role.DELIVER)) == 0


async def test_a_transition_that_did_not_happen_owes_nothing(
    redis: Redis, jobs: RedisJobStore, deliveries: RedisDeliveryStore, accept: Accept
) -> None:
    job = await accept(callback_url=HOOK)
    claimed = await jobs.claim(await held(redis, Role.SUBMIT, job.id))
    assert claimed
    await jobs.apply(claimed, Transition(JobEvent.OUTCOME_LOST))
    assert (await settle(jobs, job)).outcome is Outcome.REFUSED
    assert await deliveries.of_job(job.id) == []
    assert await redis.keys("{gw}:event:*") == []


async def test_a_job_that_is_settled_again_owes_no_more(
    redis: Redis, jobs: RedisJobStore, deliveries: RedisDeliveryStore, accept: Accept
) -> None:
    job = await accept(callback_url=HOOK)
    await settle(jobs, job)
    first = await deliveries.of_job(job.id)
    assert (await settle(jobs, job)).outcome is Outcome.ABSORBED
    assert await deliveries.of_job(job.id) == first
    assert await redis.hget(keys.COUNTS, "delivery:pending") == "1"  # type: ignore[misc]


async def test_a_delivery_begins_with_the_event_s_bytes_as_they_were_made(
    redis: Redis, jobs: RedisJobStore, deliveries: RedisDeliveryStore, accept: Accept
) -> None:
    job = await accept(callback_url=HOOK, model="modèle \u2028 😀")
    after = replace(job, state=JobState.CANCELED, finished_at=job.created_at + 5)
    await settle(jobs, job)
    [owed] = await deliveries.of_job(job.id)
    begun = await deliveries.begin(await held(redis, Role.DELIVER, owed.id))
    assert begun is not None
    assert begun == (owed, events.make(after, None).body, None)


async def test_a_delivery_begins_with_its_endpoint_as_it_is_by_now(
    redis: Redis,
    jobs: RedisJobStore,
    deliveries: RedisDeliveryStore,
    endpoints: RedisEndpointStore,
    accept: Accept,
) -> None:
    await endpoints.create(endpoint("all"), 50)
    job = await accept()
    await settle(jobs, job)
    await endpoints.disable(endpoint("all"), "answered 410 Gone", 5)
    [owed] = await deliveries.of_job(job.id)
    begun = await deliveries.begin(await held(redis, Role.DELIVER, owed.id))
    assert begun is not None
    assert begun[2] == replace(endpoint("all"), disabled_at=5, disabled_reason="answered 410 Gone")


@pytest.mark.parametrize("retry", [None, 3_600_000])
async def test_only_the_newest_dispatch_may_finish_an_attempt(
    redis: Redis, jobs: RedisJobStore, deliveries: RedisDeliveryStore, accept: Accept, retry: int | None
) -> None:
    job = await accept(callback_url=HOOK)
    await settle(jobs, job)
    [owed] = await deliveries.of_job(job.id)
    ticket = await held(redis, Role.DELIVER, owed.id)
    old = Ticket(ticket.role, ticket.lane, ticket.name, ticket.dispatch_number - 1)
    event = DeliveryEvent.ATTEMPT_FAILED if retry else DeliveryEvent.ATTEMPT_SUCCEEDED
    answer = await deliveries.finish(
        old, replace(owed, attempts=9), event, retry_in_ms=retry, tally=["delivery_attempts|succeeded"]
    )
    assert answer.outcome is Outcome.STALE
    assert await deliveries.of_job(job.id) == [owed]
    assert await redis.hget(keys.TALLY, "delivery_attempts|succeeded") is None  # type: ignore[misc]
    assert await redis.zcard(keys.slots(Role.DELIVER)) == 1


async def test_a_delivery_that_is_over_gives_its_slot_to_the_next_of_its_lane(
    redis: Redis, jobs: RedisJobStore, deliveries: RedisDeliveryStore, accept: Accept
) -> None:
    for _ in range(3):
        await settle(jobs, await accept(callback_url=HOOK))
    first, second = await dispatched(redis, Role.DELIVER)
    ticket = await held(redis, Role.DELIVER, first)
    begun = await deliveries.begin(ticket)
    assert begun
    done = replace(begun[0], attempts=1, log=[{"number": 1}])
    await deliveries.finish(ticket, done, DeliveryEvent.ATTEMPT_SUCCEEDED, retry_in_ms=None, tally=[])
    assert len(await dispatched(redis, Role.DELIVER)) == 3
    assert await redis.hget(keys.COUNTS, "delivery:delivered") == "1"  # type: ignore[misc]
    assert await held(redis, Role.DELIVER, second) != ticket
