"""What the upstream shows of a task, and what the job becomes by it."""

from __future__ import annotations

from dataclasses import asdict, replace

import orjson
from structlog.testing import capture_logs

from gateway.dispatch import Role
from gateway.errors import Notice
from gateway.events import EventType
from gateway.jobs import Job, confirm_ticket, submit_ticket
from gateway.lifecycle import JobEvent, JobState, Status
from gateway.resources import Resources
from gateway.store import keys
from gateway.store.effects import AddToFields
from gateway.store.jobs import RedisJobStore
from gateway.store.transitions import Transition
from gateway.upstream.base import Found, Snapshot, TaskStatus, UpstreamError
from gateway.views.job import public
from tests.gateway.store.conftest import dispatched, store_parts, stored_body
from tests.workers.conftest import Rig
from tests.workers.scripted import VIDEO, completed, working


async def test_a_completed_task_completes_the_job_with_all_that_the_upstream_said(rig: Rig) -> None:
    job = await rig.confirm(await rig.submitted(), Found(completed()))
    assert (job.state, job.status) == (JobState.COMPLETED, Status.COMPLETED)
    assert (job.output, job.metadata) == (VIDEO, {"seed": 7})
    assert job.usage == {"cost": "0.25", "discount": 1}
    assert rig.upstream.queried == ["task_1"]
    assert await rig.tally() == {
        "submissions|accepted": "1",
        "jobs_finished|completed": "1",
        "callback_lost|jobs": "1",
        "charges|upstream": "1",
    }


async def test_what_is_unusual_about_a_result_is_a_warning_of_the_job_and_of_its_event(rig: Rig) -> None:
    given = {"param": "prompt", "code": "prompt_long", "message": "is long"}
    about = Notice("output[0].content[0].url", "output_url_changed", "is not exactly what the upstream sent")
    job = await rig.submitted(callback_url="https://client.example.com/hook", warnings=[given])
    done = await rig.confirm(job, Found(completed(warnings=(about,))))
    assert done.warnings == [given, asdict(about)]
    [delivery] = await rig.deliveries(done)
    body = await stored_body(rig.redis, delivery.event_id)
    assert orjson.loads(body or "")["data"]["warnings"] == done.warnings


async def test_a_job_without_a_video_still_shows_what_it_cost(rig: Rig) -> None:
    job = await rig.submitted()
    for _ in range(3):
        job = await rig.confirm(job, Found(completed(output=[])))
    assert (job.state, job.usage) == (JobState.FAILED, {"cost": "0.25", "discount": 1})


async def test_a_completed_job_leaves_no_place_behind_and_the_next_one_goes_in_the_same_step(
    rig: Rig,
) -> None:
    first = await rig.submitted()
    await rig.submitted()
    third = await rig.accept()
    assert third.id not in await dispatched(rig.redis, Role.SUBMIT)
    job = await rig.confirm(first, Found(completed()))
    assert third.id in await dispatched(rig.redis, Role.SUBMIT)
    assert await rig.lease(job) is None
    for ticket in (submit_ticket(job), confirm_ticket(job)):
        assert await rig.redis.zscore(keys.slots(ticket.role), str(ticket)) is None
        assert await rig.due_in(ticket.role, ticket) is None


async def test_a_completed_job_is_owed_to_each_endpoint_that_wants_it_and_to_its_callback_url(
    rig: Rig,
) -> None:
    everything = await rig.endpoint("https://a.example.com/hook")
    wanting = await rig.endpoint("https://b.example.com/hook", EventType.COMPLETED)
    await rig.endpoint("https://c.example.com/hook", EventType.FAILED, EventType.CANCELED)
    await rig.endpoint("https://d.example.com/hook", tenant="zeta")
    job = await rig.completed(callback_url="https://client.example.com/hook")
    owed = await rig.deliveries(job)
    assert {(one.endpoint_id, one.url) for one in owed} == {
        (everything.id, None),
        (wanting.id, None),
        (None, "https://client.example.com/hook"),
    }
    assert {one.event_type for one in owed} == {EventType.COMPLETED}
    assert sorted(await dispatched(rig.redis, Role.DELIVER)) == sorted(one.id for one in owed)


async def test_a_failed_task_fails_the_job_with_the_upstream_s_own_words(rig: Rig) -> None:
    error = UpstreamError("generation_failed", "the model gave up")
    shown = Snapshot("task_1", TaskStatus.FAILED, "failed", error=error, usage={"cost": "0"})
    job = await rig.confirm(await rig.submitted(callback_url="https://c.example.com/x"), Found(shown))
    assert job.state is JobState.FAILED
    assert job.error == {"code": "generation_failed", "error_message": "the model gave up"}
    assert job.usage == {"cost": "0"}
    assert await rig.lease(job) is None
    [delivery] = await rig.deliveries(job)
    assert delivery.event_type is EventType.FAILED


async def test_the_log_shows_a_failed_job_by_its_level_and_code(rig: Rig) -> None:
    with capture_logs() as logged:
        await rig.confirm(await rig.submitted(), Found(completed()))
        error = UpstreamError("internal_error", "oops")
        failed = completed(task_id="task_2", status=TaskStatus.FAILED, error=error)
        await rig.confirm(await rig.submitted(), Found(failed))
    lines = [line for line in logged if line["event"] == "settled"]
    assert [(line["log_level"], line.get("error")) for line in lines] == [
        ("info", None),
        ("warning", "internal_error"),
    ]


async def test_a_failed_task_without_a_reason_still_has_an_error(rig: Rig) -> None:
    job = await rig.confirm(await rig.submitted(), Found(Snapshot("task_1", TaskStatus.FAILED, "failed")))
    assert job.error == {"code": "upstream_error", "error_message": "the upstream gave no reason"}


async def test_a_second_poll_of_a_settled_job_changes_nothing(rig: Rig) -> None:
    job = await rig.submitted(callback_url="https://client.example.com/hook")
    await rig.make_due(Role.CONFIRM, str(confirm_ticket(job)))
    ticket = await rig.ticket(Role.CONFIRM, job.id)
    rig.upstream.polls.extend([Found(completed()), Found(Snapshot("task_1", TaskStatus.FAILED, "failed"))])
    await rig.confirmer.confirm(ticket)
    settled, tally, owed = await rig.read(job), await rig.tally(), await rig.deliveries(job)
    await rig.confirmer.confirm(ticket)
    assert await rig.read(job) == settled
    assert await rig.tally() == tally
    assert await rig.deliveries(job) == owed
    assert len(rig.upstream.queried) == 1


async def test_a_callback_after_the_end_changes_nothing_and_leaves_nothing_due_for_long(rig: Rig) -> None:
    job = await rig.completed()
    await rig.callback(job, "task_9")
    assert await rig.read(job) == job
    assert await rig.due_in(Role.CONFIRM, confirm_ticket(job)) is None
    assert await dispatched(rig.redis, Role.CONFIRM) == [
        job.id
    ]  # the one that settled it, which arq never ran


async def test_a_callback_that_asks_for_a_poll_while_a_poll_is_under_way_is_not_forgotten(rig: Rig) -> None:
    job = await rig.submitted()
    await rig.make_due(Role.CONFIRM, str(confirm_ticket(job)))
    ticket = await rig.ticket(Role.CONFIRM, job.id)
    await rig.callback(job, "task_1")
    rig.upstream.polls.append(Found(working(0.9)))
    await rig.confirmer.confirm(ticket)
    assert (await rig.ticket(Role.CONFIRM, job.id)).dispatch_number > ticket.dispatch_number


class MovingJobStore(RedisJobStore):
    """Moves a job on just before it is settled for the first time."""

    def __init__(self, resources: Resources, move: Transition) -> None:
        super().__init__(*store_parts(resources))
        self._moves = [move]

    async def payload(self, job: Job) -> str | None:
        while self._moves:
            await self.apply(job, self._moves.pop())
        return await super().payload(job)


async def test_a_job_that_changed_while_it_was_settled_is_polled_again(rig: Rig) -> None:
    job = await rig.submitted()
    await rig.make_due(Role.CONFIRM, str(confirm_ticket(job)))
    racing = MovingJobStore(
        rig.resources, Transition(JobEvent.CALLBACK_SEEN, effects=[AddToFields({"epoch": 1})])
    )
    settlement = replace(rig.resources.settlement, jobs=racing)
    rig.upstream.polls.extend([Found(completed()), Found(completed())])
    first = await rig.ticket(Role.CONFIRM, job.id)
    await replace(rig.confirmer, settlement=settlement).confirm(first)
    assert (await rig.read(job)).state is JobState.SUBMITTED
    assert await rig.deliveries(job) == []
    assert await rig.lease(job) == float("inf")
    second = await rig.ticket(Role.CONFIRM, job.id)
    assert second.dispatch_number > first.dispatch_number
    await rig.confirmer.confirm(second)
    assert (await rig.read(job)).state is JobState.COMPLETED


async def test_the_event_s_bytes_are_made_of_what_a_get_shows(rig: Rig) -> None:
    job = await rig.submitted(payload="order 7", callback_url="https://client.example.com/hook")
    await rig.confirm(job, Found(working(0.5)))
    done = await rig.confirm(job, Found(completed()))
    [delivery] = await rig.deliveries(done)
    body = await stored_body(rig.redis, delivery.event_id)
    event = orjson.loads(body or "")
    assert event["data"] == orjson.loads(orjson.dumps(public(done, client_url="", payload="order 7")))
    assert (event["type"], event["timestamp"]) == ("job.completed", event["data"]["finished_at"])


async def test_a_ticket_of_an_older_dispatch_asks_the_upstream_nothing(rig: Rig) -> None:
    job = await rig.submitted()
    await rig.make_due(Role.CONFIRM, str(confirm_ticket(job)))
    old = await rig.ticket(Role.CONFIRM, job.id)
    assert await rig.resources.lanes.redispatch(old)
    await rig.confirmer.confirm(old)
    assert rig.upstream.queried == []
    assert (await rig.ticket(Role.CONFIRM, job.id)).dispatch_number > old.dispatch_number
