"""A job that we gave up ourselves, and whose task is finished all the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from gateway.dispatch import Role
from gateway.errors import Notice
from gateway.events import EventType
from gateway.jobs import Job, confirm_ticket
from gateway.lifecycle import JobState, Status
from gateway.store import keys
from gateway.store.base import CallbackOutcome
from gateway.upstream.base import Found, Inconclusive, Missing, Snapshot, TaskStatus
from gateway.views.job import public
from tests.gateway.store.conftest import stored_body
from tests.workers.conftest import Rig
from tests.workers.scripted import VIDEO, completed, working

HOOK = "https://client.example.com/hook"
DAY = 86_400


async def failed_as_unknown(rig: Rig, **fields: Any) -> Job:
    """A job whose task did not end in time, and is watched."""
    job = await rig.submitted(callback_url=HOOK, **fields)
    rig.clock.ahead = 7300
    after = await rig.confirm(job, Found(working()))
    assert (after.state, after.watch_until is not None) == (JobState.FAILED, True)
    return after


async def event_types(rig: Rig, job: Job) -> list[str]:
    return sorted(delivery.event_type for delivery in await rig.deliveries(job))


async def test_a_late_result_is_published_once_beside_a_state_that_stays(rig: Rig) -> None:
    job = await failed_as_unknown(rig)
    after = await rig.confirm(job, Found(completed()))
    assert (after.state, after.status, after.error) == (JobState.FAILED, Status.FAILED, job.error)
    assert (after.output, after.finished_at) == (None, job.finished_at)
    assert after.late is not None
    assert (after.late["output"], after.late["task_id"]) == (VIDEO, "task_1")
    assert after.late["usage"] == {"cost": "0.25", "discount": 1}
    assert await event_types(rig, job) == [EventType.FAILED, EventType.LATE_RESULT]
    assert (await rig.tally())["late_results|told"] == "1"


async def test_the_event_shows_the_job_with_its_late_result(rig: Rig) -> None:
    job = await failed_as_unknown(rig, payload="order 7")
    about = Notice("output[0].content[0].url", "output_url_unusual", "is kept as the upstream sent it")
    after = await rig.confirm(job, Found(completed(warnings=(about,))))
    assert [warning["code"] for warning in after.warnings] == ["output_url_unusual"]
    [late] = [one for one in await rig.deliveries(job) if one.event_type is EventType.LATE_RESULT]
    body = await stored_body(rig.redis, late.event_id)
    event = orjson.loads(body or "")
    assert event["type"] == "job.late_result"
    assert event["data"] == orjson.loads(orjson.dumps(public(after, client_url="", payload="order 7")))
    assert event["timestamp"] == event["data"]["late_result"]["at"]


async def test_the_watch_ends_with_the_result(rig: Rig) -> None:
    job = await failed_as_unknown(rig)
    after = await rig.confirm(job, Found(completed()))
    assert await rig.due_in(Role.CONFIRM, confirm_ticket(job)) is None
    assert await rig.redis.zcard(keys.slots(Role.CONFIRM)) == 0
    for _ in range(2):
        await rig.callback(job, "task_1")
        await rig.confirm(job)
    assert await rig.read(job) == after
    assert rig.upstream.queried == ["task_1"] * 2
    assert len(await rig.deliveries(job)) == 2


async def test_two_that_find_the_result_at_once_publish_it_once(rig: Rig) -> None:
    job = await failed_as_unknown(rig)
    settlement = rig.resources.settlement
    outcomes = [(await settlement.late(job, completed())).outcome for _ in range(2)]
    assert outcomes == ["late", "absorbed"]
    assert await event_types(rig, job) == [EventType.FAILED, EventType.LATE_RESULT]


async def test_a_task_at_work_is_watched_on_and_after_an_hour_with_long_waits(rig: Rig) -> None:
    job = await failed_as_unknown(rig)
    assert await rig.confirm(job, Found(working(0.9))) == job
    assert await rig.due_in(Role.CONFIRM, confirm_ticket(job)) == pytest.approx(60, abs=5)
    rig.clock.ahead += 3700
    await rig.confirm(job, Inconclusive("503"))
    assert await rig.due_in(Role.CONFIRM, confirm_ticket(job)) == pytest.approx(600, abs=5)


@pytest.mark.parametrize(
    "poll", [Missing(), Found(Snapshot("task_1", TaskStatus.FAILED, "failed"))], ids=["missing", "failed"]
)
async def test_a_task_that_will_bring_nothing_ends_the_watch(rig: Rig, poll: Missing | Found) -> None:
    job = await failed_as_unknown(rig)
    assert await rig.confirm(job, poll) == job
    assert await rig.due_in(Role.CONFIRM, confirm_ticket(job)) is None
    assert await event_types(rig, job) == [EventType.FAILED]


async def test_after_its_time_the_watch_asks_the_upstream_nothing_more(rig: Rig) -> None:
    job = await failed_as_unknown(rig)
    rig.clock.ahead += DAY + 1
    assert await rig.confirm(job) == job
    assert rig.upstream.queried == ["task_1"]
    assert await rig.due_in(Role.CONFIRM, confirm_ticket(job)) is None


async def test_where_nothing_is_watched_a_callback_is_absorbed(rig: Rig) -> None:
    blind = replace(rig.resources.settlement, late_watch_ms=0)
    rig = replace(rig, confirmer=replace(rig.confirmer, settlement=blind))
    job = await rig.submitted()
    rig.clock.ahead = 7300
    assert (await rig.confirm(job, Found(working()))).watch_until is None
    assert await rig.callback(job, "task_1") is CallbackOutcome.ABSORBED


async def test_a_video_under_an_unknown_status_is_a_late_result(rig: Rig) -> None:
    job = await failed_as_unknown(rig)
    frozen = replace(working(), raw_status="frozen", understood=False)
    await rig.confirm(job, Found(frozen))
    assert await rig.due_in(Role.CONFIRM, confirm_ticket(job)) is not None
    after = await rig.confirm(job, Found(replace(frozen, output=VIDEO)))
    assert after.late is not None
    assert (after.state, after.late["output"]) == (JobState.FAILED, VIDEO)
    assert [warning["code"] for warning in after.warnings] == ["output_status_unknown"]
    assert await event_types(rig, job) == [EventType.FAILED, EventType.LATE_RESULT]
    assert await rig.due_in(Role.CONFIRM, confirm_ticket(job)) is None


async def test_a_job_that_the_upstream_failed_is_not_watched(rig: Rig) -> None:
    job = await rig.submitted()
    after = await rig.confirm(job, Found(Snapshot("task_1", TaskStatus.FAILED, "failed")))
    assert after.watch_until is None
    assert await rig.callback(job, "task_1") is CallbackOutcome.ABSORBED
    assert await rig.read(job) == after
