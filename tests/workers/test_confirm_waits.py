"""How long a task may stay silent, and what becomes of its job at the end of each wait."""

from __future__ import annotations

import pytest

from gateway.dispatch import Role
from gateway.events import EventType
from gateway.jobs import Job, confirm_ticket
from gateway.lifecycle import JobState, Status
from gateway.store import keys
from gateway.store.base import CallbackOutcome
from gateway.upstream.base import Found, Inconclusive, Missing, Unknown
from tests.workers.conftest import Rig
from tests.workers.scripted import VIDEO, completed, working

EMPTY = completed(output=[{"content": [{"type": "video", "url": ""}]}])


async def due(rig: Rig, job: Job) -> float:
    seconds = await rig.due_in(Role.CONFIRM, confirm_ticket(job))
    assert seconds is not None
    return seconds


def code(job: Job) -> str | None:
    return job.error["code"] if job.error else None


async def test_progress_rises_and_never_falls(rig: Rig) -> None:
    job = await rig.submitted()
    seen = [
        (await rig.confirm(job, Found(working(progress)))).progress for progress in (0.2, 0.6, 0.4, None, 0.7)
    ]
    assert seen == [0.2, 0.6, 0.6, 0.6, 0.7]


async def test_polls_come_ever_later_up_to_the_longest_wait(rig: Rig) -> None:
    job = await rig.submitted()
    waits = []
    for _ in range(7):
        await rig.confirm(job, Found(working()))
        waits.append(await due(rig, job))
    assert waits == pytest.approx([10, 15, 22.5, 33.75, 50.6, 60, 60], abs=3)
    assert (await rig.read(job)).polls == 7


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 48.0), (0.5, 60.0), (0.999999, 72.0)])
async def test_polls_are_spread_by_a_fifth_either_way(rig: Rig, chance: float, seconds: float) -> None:
    job = await rig.submitted()
    await rig.redis.hset(keys.job(job.id), "polls", "100000")  # type: ignore[misc]
    rig.chance.value = chance
    await rig.confirm(job, Found(working()))
    assert await due(rig, job) == pytest.approx(seconds, abs=3)


async def test_a_poll_that_is_put_off_gives_its_slot_back(rig: Rig) -> None:
    job = await rig.submitted()
    await rig.confirm(job, Found(working()))
    assert await rig.redis.zcard(keys.slots(Role.CONFIRM)) == 0
    assert await rig.lease(job) == float("inf")  # the task is still there


async def test_an_upstream_that_cannot_say_is_asked_again(rig: Rig) -> None:
    job = await rig.submitted()
    after = await rig.confirm(job, Inconclusive("503: away"))
    assert (after.state, after.polls) == (JobState.SUBMITTED, 1)
    assert await due(rig, job) == pytest.approx(10, abs=3)


async def test_an_upstream_that_names_a_time_is_asked_no_sooner(rig: Rig) -> None:
    job = await rig.submitted()
    await rig.confirm(job, Inconclusive("429: slow down", retry_after_seconds=500))
    assert await due(rig, job) == pytest.approx(500, abs=5)


@pytest.mark.parametrize("failed", [Inconclusive("500: try again"), Missing()])
async def test_a_poll_that_fails_after_the_upstream_reported_the_end_is_soon_made_again_and_then_ever_later(
    rig: Rig, failed: Inconclusive | Missing
) -> None:
    job = await rig.submitted()
    await rig.callback(job, job.task_id)
    waits = []
    for ahead in (0, 3, 7, 40):
        rig.clock.ahead = ahead
        await rig.confirm(job, failed)
        waits.append(await due(rig, job))
    assert waits == pytest.approx([1, 3, 7, 33.75], abs=2)


async def test_a_time_that_the_upstream_names_outranks_that(rig: Rig) -> None:
    job = await rig.submitted()
    await rig.callback(job, job.task_id)
    await rig.confirm(job, Inconclusive("429: slower", retry_after_seconds=90))
    assert await due(rig, job) == pytest.approx(90, abs=3)


async def test_a_task_that_is_not_visible_yet_is_waited_for(rig: Rig) -> None:
    job = await rig.submitted()
    rig.clock.ahead = 50
    assert (await rig.confirm(job, Missing())).state is JobState.SUBMITTED
    assert (await rig.confirm(job, Found(completed()))).state is JobState.COMPLETED


async def test_a_task_that_is_not_visible_after_a_minute_is_lost(rig: Rig) -> None:
    job = await rig.submitted()
    rig.clock.ahead = 70
    after = await rig.confirm(job, Missing())
    assert (after.state, code(after)) == (JobState.FAILED, "upstream_task_lost")
    assert await rig.lease(job) is None


async def test_a_completed_task_without_a_video_is_polled_three_times(rig: Rig) -> None:
    job = await rig.submitted()
    assert (await rig.confirm(job, Found(EMPTY))).state is JobState.SUBMITTED
    assert (await rig.confirm(job, Found(completed(output=[])))).state is JobState.SUBMITTED
    after = await rig.confirm(job, Found(EMPTY))
    assert (after.state, code(after)) == (JobState.FAILED, "upstream_no_output")


async def test_a_video_that_shows_late_still_completes_the_job(rig: Rig) -> None:
    job = await rig.submitted()
    await rig.confirm(job, Found(EMPTY))
    await rig.confirm(job, Found(EMPTY))
    assert (await rig.confirm(job, Found(completed()))).state is JobState.COMPLETED


@pytest.mark.parametrize("poll", [Found(working(0.99)), Inconclusive("503")], ids=["working", "silent"])
async def test_a_task_that_does_not_end_fails_at_the_deadline(rig: Rig, poll: Found | Inconclusive) -> None:
    job = await rig.submitted()
    rig.clock.ahead = 7100
    assert (await rig.confirm(job, poll)).state is JobState.SUBMITTED
    rig.clock.ahead = 7300
    after = await rig.confirm(job, poll)
    assert (after.state, code(after)) == (JobState.FAILED, "upstream_timeout")
    assert await rig.lease(job) is None


async def test_a_task_that_finished_is_believed_even_after_the_deadline(rig: Rig) -> None:
    job = await rig.submitted()
    rig.clock.ahead = 7300
    assert (await rig.confirm(job, Found(completed()))).state is JobState.COMPLETED


async def test_an_unknown_job_waits_out_its_grace_without_a_question_to_the_upstream(rig: Rig) -> None:
    await rig.callbacks_can_come()
    job = await rig.submit(await rig.accept(), Unknown("reset"))
    rig.clock.ahead = 1000
    after = await rig.confirm(job)
    assert (after.state, after.status) == (JobState.UNKNOWN, Status.QUEUED)
    assert await due(rig, job) == pytest.approx(800, abs=5)
    assert rig.upstream.queried == []


async def test_an_unknown_job_fails_after_its_grace_and_is_never_sent_again(rig: Rig) -> None:
    await rig.callbacks_can_come()
    job = await rig.submit(await rig.accept(callback_url="https://c.example.com/x"), Unknown("reset"))
    rig.clock.ahead = 1900
    after = await rig.confirm(job)
    assert (after.state, code(after)) == (JobState.FAILED, "submission_unknown")
    assert await rig.lease(job) is None
    assert len(rig.upstream.begun) == 1
    [delivery] = await rig.deliveries(job)
    assert delivery.event_type is EventType.FAILED


async def test_evidence_that_comes_after_a_job_failed_as_unknown_is_shown_beside_it(rig: Rig) -> None:
    await rig.callbacks_can_come()
    hook = "https://c.example.com/x"
    job = await rig.submit(await rig.accept(callback_url=hook), Unknown("reset"))
    rig.clock.ahead = 1900
    failed = await rig.confirm(job)
    assert await rig.callback(job, "task_1") is CallbackOutcome.LATE
    late = failed
    for _ in range(2):
        late = await rig.confirm(job, Found(completed()))
        await rig.callback(job, "task_1")
    assert (late.state, late.error, late.finished_at) == (failed.state, failed.error, failed.finished_at)
    assert late.late is not None
    assert late.late["output"] == VIDEO
    types = sorted(delivery.event_type for delivery in await rig.deliveries(job))
    assert types == [EventType.FAILED, EventType.LATE_RESULT]


async def test_a_callback_brings_the_first_poll_forward(rig: Rig) -> None:
    job = await rig.submitted()
    await rig.callback(job, "task_1")
    rig.upstream.polls.append(Found(completed()))
    await rig.confirmer.confirm(await rig.ticket(Role.CONFIRM, job.id))
    assert (await rig.read(job)).state is JobState.COMPLETED


async def test_a_poll_before_the_answer_to_our_own_request_waits_a_moment(rig: Rig) -> None:
    job = await rig.accept()

    async def call_back() -> None:
        await rig.callback(job, None)
        await rig.confirmer.confirm(await rig.ticket(Role.CONFIRM, job.id))
        assert await due(rig, job) <= 0.5

    rig.upstream.after_gate = call_back
    await rig.submit(job, Unknown("reset"))
    assert rig.upstream.queried == []
    assert (await rig.read(job)).state is JobState.UNKNOWN
