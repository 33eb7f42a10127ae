"""What the callback URL of a job hears that came through a door, and what everybody else hears."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.dispatch import Role
from gateway.doors.openai.words import OPENAI
from gateway.doors.vtrix import VTRIX
from gateway.endpoints import Delivery, Endpoint
from gateway.events import EventType, event_id
from gateway.jobs import EVENT_PAYLOAD_CHARACTERS, Job, submit_ticket
from gateway.lifecycle import JobEvent
from gateway.resources import Resources
from gateway.store import keys
from gateway.store.base import AdmissionLimits
from gateway.store.effects import BindTask, HoldSlot
from gateway.store.transitions import Transition
from tests.gateway.doors.openai.wire import Event as VideoEvent
from tests.gateway.doors.wire import Task
from tests.gateway.store.conftest import held, new_job
from tests.gateway.test_settlement import DONE, ERROR, HOOK, fresh

ENDPOINT = Endpoint("ep_1", "acme", "https://endpoint.example.com", (), "k1", 1)


async def submitted(resources: Resources, door: str | None = "vtrix", payload: str = "order 7") -> Job:
    """A job with a callback URL, whose tenant also has an endpoint."""
    await resources.endpoints.create(ENDPOINT, 50)
    job = new_job(callback_url=HOOK, payload_characters=len(payload), door=door)
    await resources.jobs.accept(job, payload, "f", AdmissionLimits(queue_max=10))
    claimed = await resources.jobs.claim(await held(resources.redis, Role.SUBMIT, job.id))
    assert claimed
    move = Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask("task_1"), HoldSlot()])
    await resources.jobs.apply(claimed, move)
    found = await fresh(resources, claimed)
    assert found.door == door
    return found


async def owed(resources: Resources, job: Job) -> dict[str, tuple[Delivery, dict[str, Any]]]:
    """{"callback" or "endpoint": its delivery, and the body that is sent}"""
    found = {}
    for delivery in await resources.deliveries.of_job(job.id):
        begun = await resources.deliveries.begin(await held(resources.redis, Role.DELIVER, delivery.id))
        assert begun
        assert begun[1] is not None
        found["callback" if delivery.url else "endpoint"] = delivery, orjson.loads(begun[1])
    return found


async def settle(resources: Resources, job: Job, event: JobEvent) -> None:
    if event is JobEvent.UPSTREAM_SUCCEEDED:
        await resources.settlement.succeed(job, DONE, [submit_ticket(job)])
    else:
        await resources.settlement.fail(job, event, ERROR, [submit_ticket(job)])


@pytest.mark.parametrize("event", [JobEvent.UPSTREAM_SUCCEEDED, JobEvent.UPSTREAM_FAILED])
async def test_the_callback_url_hears_what_a_poll_shows_and_an_endpoint_the_event(
    resources: Resources, event: JobEvent
) -> None:
    job = await submitted(resources)
    await settle(resources, job, event)
    after = await fresh(resources, job)
    heard = await owed(resources, job)
    delivery, body = heard["callback"]
    assert body == VTRIX.shown(after, "order 7", resources.result_link)
    Task.model_validate(body)
    kind = EventType.COMPLETED if event is JobEvent.UPSTREAM_SUCCEEDED else EventType.FAILED
    assert (heard["endpoint"][0].event_id, heard["endpoint"][1]["type"]) == (event_id(job.id, kind), kind)
    assert (delivery.event_id, delivery.event_type) == (f"{event_id(job.id, kind)}_vtrix", kind)
    assert len(heard) == 2


@pytest.mark.parametrize("event", [JobEvent.UPSTREAM_SUCCEEDED, JobEvent.UPSTREAM_FAILED])
async def test_a_door_can_have_an_event_of_its_own(resources: Resources, event: JobEvent) -> None:
    job = await submitted(resources, "openai")
    await settle(resources, job, event)
    delivery, body = (await owed(resources, job))["callback"]
    found = VideoEvent.model_validate(body)
    assert found.type == f"video.{'completed' if event is JobEvent.UPSTREAM_SUCCEEDED else 'failed'}"
    assert body["data"] == OPENAI.shown(await fresh(resources, job), "order 7", resources.result_link)
    assert delivery.event_id == found.id


async def test_settling_it_again_publishes_nothing(resources: Resources) -> None:
    job = await submitted(resources)
    await settle(resources, job, JobEvent.UPSTREAM_SUCCEEDED)
    before = await owed(resources, job)
    await settle(resources, job, JobEvent.UPSTREAM_FAILED)
    assert {one.event_id for one in await resources.deliveries.of_job(job.id)} == {
        delivery.event_id for delivery, _ in before.values()
    }
    assert len(await resources.redis.keys("{gw}:event:*")) == 2


@pytest.mark.parametrize(("more", "carried"), [(0, True), (1, False)])
async def test_a_payload_that_is_too_long_for_an_event_is_left_out(
    resources: Resources, more: int, carried: bool
) -> None:
    job = await submitted(resources, payload="ü" * (EVENT_PAYLOAD_CHARACTERS + more))
    await settle(resources, job, JobEvent.UPSTREAM_SUCCEEDED)
    assert ("payload" in (await owed(resources, job))["callback"][1]) is carried


async def test_a_late_result_goes_to_endpoints_and_not_in_words_that_have_none_for_it(
    resources: Resources,
) -> None:
    job = await submitted(resources)
    await settle(resources, job, JobEvent.DEADLINE_PASSED)
    failed = await fresh(resources, job)
    await resources.settlement.late(failed, DONE)
    told = [(one.event_type, one.url) for one in await resources.deliveries.of_job(job.id)]
    assert sorted(told, key=str) == [
        (EventType.FAILED, HOOK),
        (EventType.FAILED, None),
        (EventType.LATE_RESULT, None),
    ]
    late = await fresh(resources, job)
    assert late.late is not None
    assert VTRIX.shown(late, None, resources.result_link) == VTRIX.shown(failed, None, resources.result_link)


@pytest.mark.parametrize("door", [None, "a door of a later release"])
async def test_without_a_door_that_we_know_it_hears_the_event(resources: Resources, door: str | None) -> None:
    job = await submitted(resources, door)
    await settle(resources, job, JobEvent.UPSTREAM_SUCCEEDED)
    delivery, body = (await owed(resources, job))["callback"]
    assert (delivery.event_id, body["type"]) == (event_id(job.id, "job.completed"), "job.completed")


async def test_what_a_door_s_callback_takes_was_expected(resources: Resources) -> None:
    payload = "p" * EVENT_PAYLOAD_CHARACTERS
    await submitted(resources, payload=payload)  # its endpoint counts already
    job = new_job(callback_url=HOOK, payload_characters=len(payload), door="vtrix")

    async def counted() -> int:
        return int(await resources.redis.hget(keys.tenant_usage("acme"), "bytes") or 0)  # type: ignore[misc]

    before = await counted()
    await resources.jobs.accept(job, payload, "f", AdmissionLimits(queue_max=10))
    record = await counted() - before
    event_bytes = int(await resources.redis.hget(keys.job(job.id), "event_bytes") or 0)  # type: ignore[misc]
    claimed = await resources.jobs.claim(await held(resources.redis, Role.SUBMIT, job.id))
    assert claimed
    move = Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask("task_2"), HoldSlot()])
    await resources.jobs.apply(claimed, move)
    await settle(resources, await fresh(resources, job), JobEvent.UPSTREAM_SUCCEEDED)
    taken = await counted() - before - record
    names = [f"{{gw}}:event:{event_id(job.id, 'job.completed')}{end}" for end in ("", "_vtrix")]
    assert sum([await resources.redis.memory_usage(name) or 0 for name in names]) < taken <= event_bytes
