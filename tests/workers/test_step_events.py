"""Events of the steps on a job's way: made when an endpoint wants them, once, by whoever comes first."""

from __future__ import annotations

import orjson
import pytest

from gateway.dispatch import Role, Ticket
from gateway.doors.vidu import HEARD, VIDU
from gateway.endpoints import EVENTS_LANES
from gateway.events import EventType
from gateway.jobs import Job
from gateway.lifecycle import JobState
from gateway.store import keys
from gateway.upstream.base import Accepted, Found, Unknown
from tests.gateway.doors.vidu_wire import Task
from tests.gateway.store.conftest import stored_body
from tests.workers.conftest import Rig
from tests.workers.scripted import completed
from workers.step_events import StepEventCreator


async def publish(rig: Rig, job: Job, kind: EventType) -> None:
    ticket = await rig.ticket(Role.DELIVER, f"{job.id}:{kind}")
    assert ticket.lane == f"{EVENTS_LANES}{job.tenant}"
    await StepEventCreator(rig.resources.jobs, rig.resources.deliveries).create(ticket)


async def types(rig: Rig, job: Job) -> list[EventType]:
    return sorted(delivery.event_type for delivery in await rig.deliveries(job))


async def body(rig: Rig, job: Job, kind: EventType) -> dict[str, object]:
    name = f"evt_{job.id.removeprefix('job_')}_{kind.removeprefix('job.')}"
    text = await stored_body(rig.redis, name)
    found: dict[str, object] = orjson.loads(text or "null")
    return found


async def tickets(rig: Rig) -> int:
    """How many wait or run in the lane of events."""
    waiting: list[str] = await rig.redis.zrange(keys.lane(Role.DELIVER, f"{EVENTS_LANES}acme"), 0, -1)
    running: list[str] = await rig.redis.zrange(keys.slots(Role.DELIVER), 0, -1)
    return len(waiting) + sum(name.startswith(EVENTS_LANES) for name in running)


async def test_a_job_that_was_accepted_is_delivered_to_those_who_want_it_only(rig: Rig) -> None:
    wanting = await rig.endpoint("https://a.example.com/hook", EventType.QUEUED)
    await rig.endpoint("https://b.example.com/hook", EventType.COMPLETED)
    job = await rig.accept(callback_url="https://c.example.com/hook")
    await publish(rig, job, EventType.QUEUED)
    [delivery] = await rig.deliveries(job)
    assert (delivery.endpoint_id, delivery.event_type) == (wanting.id, EventType.QUEUED)
    assert await tickets(rig) == 0


async def test_nothing_is_made_where_nobody_wants_it(rig: Rig) -> None:
    await rig.endpoint("https://b.example.com/hook")
    await rig.submit(await rig.accept(), Accepted("task_1"))
    assert await tickets(rig) == 0


async def test_a_submission_is_published_by_whatever_proved_it(rig: Rig) -> None:
    await rig.endpoint("https://a.example.com/hook", EventType.SUBMITTED)
    answered = await rig.submit(await rig.accept(), Accepted("task_1"))
    called_back = await rig.submit(await rig.accept(), Unknown("reset"))
    await rig.callback(called_back, "task_2")
    for job in (answered, called_back):
        await publish(rig, job, EventType.SUBMITTED)
        assert await types(rig, job) == [EventType.SUBMITTED]


async def test_a_step_is_published_as_it_was_even_when_the_job_is_finished_by_then(rig: Rig) -> None:
    rig_endpoint = await rig.endpoint("https://a.example.com/hook", EventType.QUEUED, EventType.SUBMITTED)
    assert rig_endpoint.wanted == (EventType.QUEUED, EventType.SUBMITTED)
    job = await rig.submit(await rig.accept(), Accepted("task_1"))
    job = await rig.confirm(job, Found(completed()))
    assert job.state is JobState.COMPLETED
    for kind, status in ((EventType.QUEUED, "queued"), (EventType.SUBMITTED, "in_progress")):
        await publish(rig, job, kind)
        told = await body(rig, job, kind)
        data = told["data"]
        assert isinstance(data, dict)
        assert (told["type"], data["status"], data["output"], data["finished_at"]) == (
            kind,
            status,
            None,
            None,
        )
    queued = (await body(rig, job, EventType.QUEUED))["data"]
    assert isinstance(queued, dict)
    assert (queued["spend"], queued["submitted_at"], queued["started_at"]) == ("none", None, None)


async def test_a_step_that_comes_again_is_published_once(rig: Rig) -> None:
    await rig.endpoint("https://a.example.com/hook", EventType.SUBMITTED)
    job = await rig.submit(await rig.accept(), Accepted("task_1"))
    await publish(rig, job, EventType.SUBMITTED)
    frozen = await body(rig, job, EventType.SUBMITTED)
    await rig.redis.zadd(keys.due(Role.DELIVER), {f"{EVENTS_LANES}acme|{job.id}:job.submitted": 1})
    await rig.resources.lanes.dispatch()
    await publish(rig, job, EventType.SUBMITTED)
    assert await types(rig, job) == [EventType.SUBMITTED]
    assert await body(rig, job, EventType.SUBMITTED) == frozen
    assert await tickets(rig) == 0


async def test_a_worker_that_lost_its_ticket_makes_nothing(rig: Rig) -> None:
    await rig.endpoint("https://a.example.com/hook", EventType.QUEUED)
    job = await rig.accept()
    ticket = await rig.ticket(Role.DELIVER, f"{job.id}:job.queued")
    stale = Ticket(ticket.role, ticket.lane, ticket.name, ticket.dispatch_number - 1)
    await StepEventCreator(rig.resources.jobs, rig.resources.deliveries).create(stale)
    assert await rig.deliveries(job) == []
    assert await tickets(rig) == 1


async def test_of_a_job_that_is_gone_nothing_is_published_and_its_ticket_is_done_with(rig: Rig) -> None:
    await rig.endpoint("https://a.example.com/hook", EventType.QUEUED)
    job = await rig.accept()
    await rig.redis.delete(keys.job(job.id))
    await publish(rig, job, EventType.QUEUED)
    assert await tickets(rig) == 0


@pytest.mark.parametrize("wildcard", ["*", "job.*"])
async def test_a_wildcard_wants_every_step(rig: Rig, wildcard: str) -> None:
    await rig.endpoint("https://a.example.com/hook", wildcard)  # type: ignore[arg-type]
    job = await rig.submit(await rig.accept(), Accepted("task_1"))
    for kind in (EventType.QUEUED, EventType.SUBMITTED):
        await publish(rig, job, kind)
    await rig.confirm(job, Found(completed()))
    assert await types(rig, job) == ["job.completed", "job.queued", "job.submitted"]


async def test_once_its_endpoint_is_forgotten_no_step_is_published(rig: Rig) -> None:
    endpoint = await rig.endpoint("https://a.example.com/hook", EventType.QUEUED)
    await rig.resources.endpoints.delete(endpoint)
    await rig.accept()
    assert await tickets(rig) == 0


async def heard(rig: Rig, job: Job) -> dict[EventType, dict[str, object]]:
    """What the job's own callback URL hears, by the event."""
    found = {}
    for delivery in await rig.deliveries(job):
        assert delivery.url == "https://c.example.com/hook"
        found[delivery.event_type] = orjson.loads(await stored_body(rig.redis, delivery.event_id) or "null")
    return found


async def test_a_callback_url_hears_the_steps_that_its_job_names(rig: Rig) -> None:
    wanted = [EventType.QUEUED, EventType.FAILED]
    job = await rig.accept(callback_url="https://c.example.com/hook", callback_events=wanted)
    await publish(rig, job, EventType.QUEUED)
    await rig.submit(job, Accepted("task_1"))
    assert await tickets(rig) == 0
    await rig.confirm(await rig.read(job), Found(completed()))
    [(kind, sent)] = (await heard(rig, job)).items()
    assert (kind, sent["type"]) == (EventType.QUEUED, EventType.QUEUED)


async def test_vidu_s_door_tells_each_change_in_its_words(rig: Rig) -> None:
    job = await rig.accept(
        callback_url="https://c.example.com/hook", door="vidu", callback_events=list(HEARD)
    )
    await rig.submit(job, Accepted("task_1"))
    await rig.confirm(await rig.read(job), Found(completed()))
    # late, as after a crash: the body is still that of the step
    await publish(rig, job, EventType.SUBMITTED)
    sent = await heard(rig, job)
    assert {kind: body["state"] for kind, body in sent.items()} == {
        EventType.SUBMITTED: "processing",
        EventType.COMPLETED: "success",
    }
    for body in sent.values():
        Task.model_validate(body)
    after = await rig.read(job)
    assert sent[EventType.COMPLETED] == VIDU.shown(after, None, rig.resources.result_link)
