"""One outcome, one event: what a settled job leaves behind, however often it is settled."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import orjson
import pytest
from structlog.testing import capture_logs

from gateway import settlement
from gateway.dispatch import Role
from gateway.environment import Environment
from gateway.jobs import Job, Spend, confirm_ticket, submit_ticket
from gateway.lifecycle import JobEvent, JobState
from gateway.media.inline import InlineFiles
from gateway.resources import Resources
from gateway.store import keys
from gateway.store.base import AdmissionLimits, Outcome
from gateway.store.effects import AddToFields, BindTask, HoldSlot, PollAfter
from gateway.store.transitions import Transition
from gateway.upstream.base import Snapshot, TaskStatus, UpstreamError
from gateway.views.job import public
from tests.gateway.store.conftest import held, new_job, stored_body

HOOK = "https://client.example.com/hook"
DONE = Snapshot(
    "task_1",
    TaskStatus.COMPLETED,
    "success",
    output=[{"content": [{"type": "video", "url": "https://cdn.example.com/v.mp4"}]}],
    usage={"cost": "0.25", "discount": 1},
    metadata={"seed": 7},
)
ERROR = UpstreamError("generation_failed", "it broke")


async def submitted(resources: Resources, payload: str | None = "order 7") -> Job:
    job = new_job(callback_url=HOOK, payload_characters=None if payload is None else len(payload))
    await resources.jobs.accept(job, payload, "f", AdmissionLimits(queue_max=10))
    claimed = await resources.jobs.claim(await held(resources.redis, Role.SUBMIT, job.id))
    assert claimed
    move = Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask("task_1"), HoldSlot()])
    await resources.jobs.apply(claimed, move)
    return await fresh(resources, claimed)


async def fresh(resources: Resources, job: Job) -> Job:
    found = await resources.jobs.read(job.id)
    assert found
    return found


async def event_of(resources: Resources, job: Job) -> dict[str, object]:
    [delivery] = await resources.deliveries.of_job(job.id)
    body = await stored_body(resources.redis, delivery.event_id)
    event: dict[str, object] = orjson.loads(body or "")
    return event


def shown(job: Job, payload: str | None) -> object:
    """As a GET sends it."""
    return orjson.loads(orjson.dumps(public(job, client_url="", payload=payload)))


async def test_the_event_of_a_success_is_what_a_get_shows(resources: Resources) -> None:
    job = await submitted(resources)
    answer = await resources.settlement.succeed(job, DONE, [submit_ticket(job)])
    assert (answer.outcome, answer.after) == (Outcome.MOVED, JobState.COMPLETED)
    event = await event_of(resources, job)
    assert event["type"] == "job.completed"
    assert event["data"] == shown(await fresh(resources, job), "order 7")


async def test_the_event_of_a_failure_is_what_a_get_shows(resources: Resources) -> None:
    job = await submitted(resources)
    await resources.settlement.fail(job, JobEvent.UPSTREAM_FAILED, ERROR, [], {"cost": "0"})
    after = await fresh(resources, job)
    assert after.error == {"code": "generation_failed", "error_message": "it broke"}
    assert after.usage == {"cost": "0"}
    event = await event_of(resources, job)
    assert (event["type"], event["data"]) == ("job.failed", shown(after, "order 7"))


async def test_the_event_of_a_cancel_is_what_a_get_shows(resources: Resources) -> None:
    job = new_job(callback_url=HOOK)
    await resources.jobs.accept(job, None, "f", AdmissionLimits(queue_max=10))
    await resources.settlement.cancel(job, [submit_ticket(job)])
    event = await event_of(resources, job)
    assert (event["type"], event["data"]) == ("job.canceled", shown(await fresh(resources, job), None))


async def test_a_job_that_is_settled_twice_is_published_and_counted_once(resources: Resources) -> None:
    job = await submitted(resources)
    await resources.settlement.succeed(job, DONE, [])
    before = await resources.redis.hgetall(keys.job(job.id))  # type: ignore[misc]
    again = await resources.settlement.succeed(await fresh(resources, job), DONE, [])
    stale = await resources.settlement.succeed(job, DONE, [])
    assert (again.outcome, stale.outcome) == (Outcome.ABSORBED, Outcome.FENCED)
    assert await resources.redis.hgetall(keys.job(job.id)) == before  # type: ignore[misc]
    counted = await resources.redis.hgetall(keys.TALLY)  # type: ignore[misc]
    assert counted == {"jobs_accepted": "1", "jobs_finished|completed": "1"}
    assert len(await resources.deliveries.of_job(job.id)) == 1


async def test_a_completed_job_never_fails_afterwards(resources: Resources) -> None:
    job = await submitted(resources)
    await resources.settlement.succeed(job, DONE, [])
    done = await fresh(resources, job)
    answer = await resources.settlement.fail(done, JobEvent.UPSTREAM_FAILED, ERROR, [])
    assert answer.outcome is Outcome.REFUSED
    assert await fresh(resources, job) == done


async def test_a_job_that_changed_since_it_was_read_stays_as_it_is_with_its_slot(
    resources: Resources,
) -> None:
    job = await submitted(resources)
    await resources.jobs.apply(job, Transition(JobEvent.CALLBACK_SEEN, effects=[AddToFields({"epoch": 1})]))
    answer = await resources.settlement.succeed(job, DONE, [submit_ticket(job)])
    assert answer.outcome is Outcome.FENCED
    assert (await fresh(resources, job)).state is JobState.SUBMITTED
    assert await resources.redis.zcard(keys.slots(Role.SUBMIT)) == 1
    assert await resources.deliveries.of_job(job.id) == []


async def test_a_settled_job_takes_its_waiting_poll_along(resources: Resources) -> None:
    job = await submitted(resources)
    await resources.jobs.apply(job, Transition(JobEvent.CALLBACK_SEEN, effects=[PollAfter(3_600_000)]))
    await resources.settlement.succeed(job, DONE, [submit_ticket(job), confirm_ticket(job)])
    assert await resources.redis.zcard(keys.due(Role.CONFIRM)) == 0
    assert await resources.redis.zcard(keys.slots(Role.SUBMIT)) == 0


async def test_a_payload_that_is_long_is_left_out_of_the_event_and_kept_with_the_job(
    resources: Resources,
) -> None:
    payload = "p" * 16_385
    job = await submitted(resources, payload)
    await resources.settlement.succeed(job, DONE, [])
    data = (await event_of(resources, job))["data"]
    assert isinstance(data, dict)
    assert (data["payload"], data["payload_omitted"]) == (None, True)
    assert await resources.jobs.payload(job) == payload


async def test_a_job_never_ends_before_it_began(resources: Resources) -> None:
    job = new_job(callback_url=HOOK, created_at=resources.environment.now_ms() + 60_000)
    await resources.jobs.accept(job, None, "f", AdmissionLimits(queue_max=10))
    await resources.settlement.cancel(job, [])
    assert (await fresh(resources, job)).finished_at == job.created_at


async def test_a_task_that_was_canceled_as_its_owner_wished_cancels_the_job(resources: Resources) -> None:
    job = await submitted(resources)
    stopped = Snapshot("task_1", TaskStatus.CANCELED, "canceled", usage={"cost": "0"})
    answer = await resources.settlement.canceled_upstream(job, stopped, [submit_ticket(job)])
    assert (answer.outcome, answer.after) == (Outcome.MOVED, JobState.CANCELED)
    event = await event_of(resources, job)
    assert event["type"] == "job.canceled"
    assert event["data"] == shown(await fresh(resources, job), "order 7")


async def test_a_job_that_we_gave_up_is_watched_and_one_that_the_upstream_failed_is_not(
    resources: Resources,
) -> None:
    given_up, failed = [await submitted(resources) for _ in range(2)]
    await resources.settlement.fail(given_up, JobEvent.DEADLINE_PASSED, ERROR, [])
    await resources.settlement.fail(failed, JobEvent.UPSTREAM_FAILED, ERROR, [])
    after = await fresh(resources, given_up)
    assert after.watch_until is not None
    assert after.finished_at is not None
    assert after.watch_until - after.finished_at == pytest.approx(86_400_000, abs=5_000)
    assert (await fresh(resources, failed)).watch_until is None


async def test_a_job_that_was_sent_twice_is_watched_however_the_second_finished(resources: Resources) -> None:
    job = await submitted(resources)
    await resources.redis.hset(keys.job(job.id), "resubmits", "1")  # type: ignore[misc]
    await resources.settlement.fail(await fresh(resources, job), JobEvent.UPSTREAM_FAILED, ERROR, [])
    assert (await fresh(resources, job)).watch_until is not None


async def test_a_late_result_is_an_event_of_its_own_beside_an_end_that_stays(resources: Resources) -> None:
    job = await submitted(resources)
    await resources.settlement.fail(job, JobEvent.DEADLINE_PASSED, ERROR, [])
    failed = await fresh(resources, job)
    outcomes = [(await resources.settlement.late(failed, DONE)).outcome for _ in range(2)]
    assert outcomes == [Outcome.LATE, Outcome.ABSORBED]
    after = await fresh(resources, job)
    assert replace(after, late=None) == failed
    assert after.late is not None
    assert after.late["output"] == DONE.output
    told = sorted(delivery.event_type for delivery in await resources.deliveries.of_job(job.id))
    assert told == ["job.failed", "job.late_result"]


async def test_a_job_that_was_completed_has_no_late_result(resources: Resources) -> None:
    job = await submitted(resources)
    await resources.settlement.succeed(job, DONE, [])
    done = await fresh(resources, job)
    assert (await resources.settlement.late(done, DONE)).outcome is Outcome.REFUSED
    assert await fresh(resources, job) == done


async def test_a_rejected_submission_was_not_paid_for(resources: Resources) -> None:
    job = new_job(callback_url=HOOK)
    await resources.jobs.accept(job, None, "f", AdmissionLimits(queue_max=10))
    claimed = await resources.jobs.claim(await held(resources.redis, Role.SUBMIT, job.id))
    assert claimed
    assert await resources.jobs.release(claimed)
    sent = await fresh(resources, job)
    await resources.settlement.fail(sent, JobEvent.UPSTREAM_REJECTED, ERROR, [])
    after = await fresh(resources, job)
    assert after.spend is Spend.NONE
    assert (await event_of(resources, job))["data"] == shown(after, None)


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"called_back_at": 100_000}, 100),  # not when we polled, but when it was reported
        ({"polls": 2}, 160),
        ({"polls": 0}, 144),  # found at the first poll: it took no longer than that
    ],
)
async def test_how_long_the_upstream_took_is_learned(
    resources: Resources, fields: dict[str, int], seconds: int
) -> None:
    job = replace(await submitted(resources), submitted_at=0, **fields)  # type: ignore[arg-type]
    now = Environment(clock=lambda: 160.0)
    await replace(resources.settlement, environment=now).succeed(replace(job, created_at=0), DONE, [])
    assert await resources.redis.hget("{gw}:durations", "720p:0:mean") == str(seconds * 1000)  # type: ignore[misc]


async def test_a_disk_that_hangs_does_not_stop_who_settles_a_job(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(self: InlineFiles, job_id: str) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(settlement, "_DROP_SECONDS", 0.01)
    monkeypatch.setattr(InlineFiles, "drop", hang)
    job = await submitted(resources)
    kept = replace(job, params=job.params | {"images": ["blob:abc"]})
    assert kept.keeps_media
    with capture_logs() as logged:
        result = await resources.settlement.fail(kept, JobEvent.UPSTREAM_FAILED, ERROR, [])
    assert result.outcome is Outcome.MOVED
    assert [line["event"] for line in logged] == ["media_left_behind"]
