"""A status that nobody knows never holds a slot in silence, and never throws a paid video away."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.dispatch import Role
from gateway.jobs import Job
from gateway.lifecycle import JobState
from gateway.store import keys
from gateway.upstream import dialects
from gateway.upstream.base import Found, Inconclusive, QueryOutcome, Snapshot, TaskStatus, UpstreamError
from tests.workers.conftest import Rig
from tests.workers.scripted import VIDEO, working
from workers.unknown_status import PATIENCE


def strange(word: str = "frozen", **changes: Any) -> Found:
    values = {"understood": False, **changes}
    return Found(Snapshot("task_1", TaskStatus.IN_PROGRESS, word, **values))


async def ops_events(rig: Rig) -> list[dict[str, str]]:
    found = await rig.resources.ops_log.events(None, 100)
    return [row for row in found.rows if row["kind"] == "status_unknown"]


async def polled(rig: Rig, job: Job, *polls: QueryOutcome) -> Job:
    for poll in polls:
        job = await rig.confirm(job, poll)
    return job


@pytest.mark.parametrize(
    ("poll", "word"),
    [(strange(), "frozen"), (Inconclusive("200 without a task's status", unreadable=True), "(no status)")],
)
async def test_operators_hear_of_a_strange_status_that_stays(rig: Rig, poll: QueryOutcome, word: str) -> None:
    job = await rig.submitted()
    with capture_logs() as logged:
        await polled(rig, job, *[poll] * (PATIENCE - 1))
        assert await ops_events(rig) == []
        await polled(rig, job, poll)
    [event] = await ops_events(rig)
    assert (event["word"], event["job"], event["account"]) == (word, job.id, "main")
    [line] = [line for line in logged if line["event"] == "status_unknown"]
    assert (line["log_level"], line["word"], line["polls"]) == ("error", word, PATIENCE)
    assert list((await rig.resources.gauges.read()).unknown_statuses) == [word]


async def test_a_strange_status_beside_an_error_is_an_alarm_at_once(rig: Rig) -> None:
    after = await rig.confirm(await rig.submitted(), strange(error=UpstreamError("9", "moderation")))
    assert after.state is JobState.SUBMITTED
    [event] = await ops_events(rig)
    assert (event["word"], event["error"]) == ("frozen", "9: moderation")


async def test_a_known_status_in_between_starts_the_count_again(rig: Rig) -> None:
    polls = [*[strange()] * (PATIENCE - 1), Found(working(0.5)), *[strange()] * (PATIENCE - 1)]
    await polled(rig, await rig.submitted(), *polls)
    assert await ops_events(rig) == []
    assert (await rig.resources.gauges.read()).unknown_statuses == {}


async def test_many_jobs_with_one_word_are_one_event(rig: Rig) -> None:
    error = UpstreamError("9", "moderation")
    for task in ("task_1", "task_2"):
        poll = strange(error=error)
        await polled(rig, await rig.submitted(), Found(replace(poll.snapshot, task_id=task)))
    assert len(await ops_events(rig)) == 1


async def test_an_upstream_with_ever_new_words_fills_neither_the_events_nor_the_metrics(rig: Rig) -> None:
    job = await rig.submitted()
    for number in range(60):
        await rig.resources.jobs.note_unknown_status(job, f"word-{number}", "")
    words = (await rig.resources.gauges.read()).unknown_statuses
    assert len(words) == len(await ops_events(rig)) == 21
    assert "(others)" in words
    later = await rig.redis.zrange(keys.UNKNOWN_STATUSES, 0, -1, withscores=True)
    await rig.redis.zadd(keys.UNKNOWN_STATUSES, {word: at - 86_400_001 for word, at in later})
    assert await rig.resources.jobs.note_unknown_status(job, "word-1", "")
    assert not await rig.resources.jobs.note_unknown_status(job, "word-1", "")
    assert list((await rig.resources.gauges.read()).unknown_statuses) == ["word-1"]


async def test_a_task_with_a_strange_status_keeps_its_slot_until_the_deadline_frees_it(rig: Rig) -> None:
    job = await rig.submitted()
    assert (await rig.confirm(job, strange())).state is JobState.SUBMITTED
    assert await rig.lease(job) == float("inf")
    rig.clock.ahead = 7300
    after = await rig.confirm(job, strange())
    assert (after.state, after.error and after.error["code"]) == (JobState.FAILED, "upstream_timeout")
    assert await rig.lease(job) is None


async def test_a_video_under_a_strange_status_completes_the_job_at_the_deadline(rig: Rig) -> None:
    job = await rig.submitted()
    assert (await rig.confirm(job, strange(output=VIDEO))).state is JobState.SUBMITTED
    rig.clock.ahead = 7300
    after = await rig.confirm(job, strange(output=VIDEO))
    assert (after.state, after.output) == (JobState.COMPLETED, VIDEO)
    assert [warning["code"] for warning in after.warnings] == ["output_status_unknown"]


async def test_a_callback_with_a_strange_status_makes_a_poll_due_at_once(rig: Rig) -> None:
    for name, word in itertools.product(("vtrix", "vidu"), ("frozen", "7")):
        hint = dialects.make(name).read_callback(b'{"id":"task_1","status":"%s"}' % word.encode())
        assert (hint.task_id, hint.status, hint.snapshot) == ("task_1", None, None)
    job = await rig.submitted()
    await rig.callback(job, "task_1", label="unclear", terminal=False)
    assert (await rig.ticket(Role.CONFIRM, job.id)).dispatch_number
