"""An event's bytes are stored packed where everybody can read that, and come back as they were."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from gateway import events
from gateway.dispatch import Role
from gateway.endpoints import Endpoint
from gateway.events import Event
from gateway.jobs import Job
from gateway.lifecycle import JobEvent, JobState
from gateway.store import event_bodies, keys
from gateway.store.deliveries import RedisDeliveryStore
from gateway.store.effects import OweEvent
from gateway.store.endpoints import RedisEndpointStore
from gateway.store.event_log import Entry, RedisTenantEvents
from gateway.store.jobs import RedisJobStore
from gateway.store.script_runner import Scripts
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import Accept, held, new_job

#: What some Redis holds, and its bytes.
STORED = "gycToBye3GxsCEx4YK8YWwF9bmCqZ2ZuAfIKLBXAc7MhUJCorIzFi3h9ZagETBrw1KCUXnR4z+H5qUA/AAA="
BODY = (
    '{"type":"job.completed","timestamp":"2031-01-02T03:04:05.678Z","data":{"id":"job_1","object":"job",'
    '"status":"completed","priority":"normal","links":{"self":"/v1/jobs/job_1"},"payload":"grüße"}}'
)


def ended(job: Job) -> Event:
    return events.make(replace(job, state=JobState.CANCELED, finished_at=job.created_at + 5), "order 7")


@given(st.binary(max_size=300))
def test_any_bytes_come_back_as_they_were(body: bytes) -> None:
    stored = event_bodies.dump(b'{"a":"' + body.hex().encode() + b'"}', packed=True)
    field = event_bodies.PLAIN if stored.startswith(b"{") else event_bodies.PACKED
    assert event_bodies.load({field: stored.decode()}) == b'{"a":"' + body.hex().encode() + b'"}'


def test_a_usual_event_is_packed_into_two_fifths() -> None:
    body = ended(new_job()).body
    assert len(event_bodies.dump(body, packed=True)) * 5 < len(body) * 2
    assert event_bodies.dump(body, packed=False) == body


def test_what_was_stored_once_stays_readable() -> None:
    """The dictionary never changes."""
    assert event_bodies.load({event_bodies.PACKED: STORED}) == BODY.encode()


@pytest.mark.parametrize("alone", [True, False])
async def test_webhooks_and_streams_get_the_same_bytes_however_they_are_stored(
    redis: Redis,
    scripts: Scripts,
    jobs: RedisJobStore,
    deliveries: RedisDeliveryStore,
    endpoints: RedisEndpointStore,
    accept: Accept,
    alone: bool,
) -> None:
    """An older version, which cannot read a packed body, may use the same Redis."""
    scripts.loader.alone = alone
    await endpoints.create(Endpoint("ep_1", "acme", "https://one.example.com/hook", (), "k1", 1), 50)
    job = await accept()
    event = ended(job)
    await jobs.apply(job, Transition(JobEvent.CANCEL_REQUESTED, effects=[OweEvent(event)]))
    fields = await redis.hkeys(keys.event(event.id))  # type: ignore[misc]
    assert fields == [event_bodies.PACKED if alone else event_bodies.PLAIN]
    [delivery] = await deliveries.of_job(job.id)
    begun = await deliveries.begin(await held(redis, Role.DELIVER, delivery.id))
    assert begun is not None
    assert begun[1] == event.body
    told = await RedisTenantEvents(redis).bodies([Entry("1-0", event.type, job.id)])
    assert told == [event.body]
