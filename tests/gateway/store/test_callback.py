"""What a genuine callback does in each case, the first time and again."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from gateway.dispatch import Role
from gateway.environment import Environment
from gateway.jobs import Job, Spend, confirm_ticket, submit_ticket
from gateway.lifecycle import JobEvent, JobState
from gateway.store import keys
from gateway.store.base import Callback, CallbackOutcome
from gateway.store.effects import AddToFields, BindTask, Finish, GiveBackSlot, HoldSlot, SetFields
from gateway.store.job_history import history_of
from gateway.store.jobs import RedisJobStore
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import Accept, dispatched, held

DAY = 86_400


def report(job: Job, task: str | None = "task_1", epoch: int = 1, **changes: Any) -> Callback:
    """A callback that reports an end."""
    values: dict[str, Any] = {"label": "completed", "terminal": True, **changes}
    return Callback(job.id, job.tenant, epoch, task_id=task, **values)


async def read(jobs: RedisJobStore, job: Job) -> Job:
    found = await jobs.read(job.id)
    assert found
    return found


async def sent(redis: Redis, jobs: RedisJobStore, accept: Accept, **fields: object) -> Job:
    """A job whose last byte went out, and whose answer has not come."""
    job = await accept(**fields)
    claimed = await jobs.claim(await held(redis, Role.SUBMIT, job.id), "run")
    assert claimed
    assert await jobs.release(claimed)
    return claimed


async def accepted(redis: Redis, jobs: RedisJobStore, accept: Accept, task: str = "task_1") -> Job:
    job = await sent(redis, jobs, accept)
    await jobs.apply(job, Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask(task), HoldSlot()]))
    return job


async def failed_as_unknown(redis: Redis, jobs: RedisJobStore, accept: Accept, *, watch_ms: int) -> Job:
    job = await sent(redis, jobs, accept)
    await jobs.apply(job, Transition(JobEvent.OUTCOME_LOST, effects=[HoldSlot()]))
    until = Environment().now_ms() + watch_ms
    done = [submit_ticket(job), confirm_ticket(job)]
    await jobs.apply(
        job, Transition(JobEvent.DEADLINE_PASSED, effects=[SetFields({"watch_until": until}), Finish(done)])
    )
    return job


async def due(redis: Redis, job: Job) -> bool:
    """Whether a poll of the job's task was dispatched."""
    return job.id in await dispatched(redis, Role.CONFIRM)


async def quarantined(redis: Redis) -> list[tuple[str, str]]:
    return [(fields["why"], fields["raw"]) for _, fields in await redis.xrange("{gw}:quarantine")]


async def noted(redis: Redis) -> list[str]:
    """The kinds of the operators' events."""
    return [fields["kind"] for _, fields in await redis.xrange("{gw}:ops:events")]


async def owner(redis: Redis, task: str) -> str | None:
    found: str | None = await redis.get(f"{{gw}}:task:{task}")
    return found


async def test_a_first_callback_changes_the_state_and_a_second_only_makes_a_poll_due(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await sent(redis, jobs, accept)
    assert await jobs.callback(report(job)) is CallbackOutcome.MOVED
    first = await read(jobs, job)
    assert (first.state, first.task_id, first.spend) == (JobState.SUBMITTED, "task_1", Spend.CERTAIN)
    assert first.called_back_at is not None
    assert await owner(redis, "task_1") == job.id
    assert await redis.zscore(keys.slots(Role.SUBMIT), str(submit_ticket(job))) == float("inf")
    assert await jobs.callback(report(job)) is CallbackOutcome.REPEATED
    assert await read(jobs, job) == first
    assert await due(redis, job)


async def test_a_callback_about_the_beginning_brings_no_poll_forward(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await sent(redis, jobs, accept)
    working = report(job, label="in_progress", terminal=False, working=True)
    assert [await jobs.callback(working) for _ in range(2)] == [
        CallbackOutcome.MOVED,
        CallbackOutcome.REPEATED,
    ]
    assert not await due(redis, job)
    assert await redis.zscore(keys.due(Role.CONFIRM), str(confirm_ticket(job)))
    assert (await read(jobs, job)).called_back_at is None


async def test_a_callback_without_a_task_is_evidence_for_an_unknown_job(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await sent(redis, jobs, accept)
    await jobs.apply(job, Transition(JobEvent.OUTCOME_LOST, effects=[HoldSlot()]))
    assert [await jobs.callback(report(job, None)) for _ in range(2)] == [CallbackOutcome.REPEATED] * 2
    after = await read(jobs, job)
    assert (after.state, after.evidence, after.spend) == (JobState.UNKNOWN, "callback", Spend.CERTAIN)
    assert await due(redis, job)


async def test_a_callback_after_the_end_changes_nothing(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await accepted(redis, jobs, accept)
    await jobs.apply(
        job,
        Transition(JobEvent.UPSTREAM_SUCCEEDED, effects=[Finish([submit_ticket(job), confirm_ticket(job)])]),
    )
    before = await read(jobs, job)
    for callback in (report(job), report(job), report(job, None)):
        assert await jobs.callback(callback) is CallbackOutcome.ABSORBED
    assert await jobs.callback(report(job, "task_2")) is CallbackOutcome.CROSSED
    assert await read(jobs, job) == before
    assert await owner(redis, "task_2") is None
    assert not await due(redis, job)


async def test_a_callback_for_a_job_that_we_gave_up_binds_its_task_and_makes_a_poll_due(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await failed_as_unknown(redis, jobs, accept, watch_ms=60_000)
    assert [await jobs.callback(report(job)) for _ in range(2)] == [CallbackOutcome.LATE] * 2
    after = await read(jobs, job)
    assert (after.state, after.task_id) == (JobState.FAILED, "task_1")
    assert await due(redis, job)
    assert await redis.zcard(keys.slots(Role.SUBMIT)) == 0


async def test_after_the_watch_a_callback_is_absorbed(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await failed_as_unknown(redis, jobs, accept, watch_ms=-1)
    assert await jobs.callback(report(job)) is CallbackOutcome.ABSORBED
    assert (await read(jobs, job)).task_id is None


async def resubmitted(redis: Redis, jobs: RedisJobStore, accept: Accept) -> Job:
    """A job that waits to be sent again, and holds a dispatch already."""
    job = await sent(redis, jobs, accept)
    await jobs.apply(job, Transition(JobEvent.OUTCOME_LOST, effects=[HoldSlot()]))
    await jobs.apply(
        job, Transition(JobEvent.RESUBMIT_CHOSEN, effects=[AddToFields({"resubmits": 1}), GiveBackSlot(0)])
    )
    return job


async def test_a_callback_adopts_a_job_that_waits_to_be_sent_again(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await resubmitted(redis, jobs, accept)
    ticket = await held(redis, Role.SUBMIT, job.id)
    assert await jobs.callback(report(job)) is CallbackOutcome.MOVED
    assert await jobs.claim(ticket, "run 2") is None
    after = await read(jobs, job)
    assert (after.state, after.epoch, after.task_id) == (JobState.SUBMITTED, 1, "task_1")
    assert await redis.zscore(keys.slots(Role.SUBMIT), str(ticket)) == float("inf")
    assert await redis.hgetall("{gw}:submit:inflight") == {"acme": "1"}  # type: ignore[misc]


async def test_a_callback_without_a_task_stops_a_job_that_waits_to_be_sent_again(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await resubmitted(redis, jobs, accept)
    assert await jobs.callback(report(job, None)) is CallbackOutcome.MOVED
    after = await read(jobs, job)
    assert (after.state, after.evidence) == (JobState.UNKNOWN, "callback")
    assert await jobs.claim(await held(redis, Role.SUBMIT, job.id), "run 2") is None


async def test_a_callback_of_the_submission_before_fences_the_newer_one_while_it_is_free(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await resubmitted(redis, jobs, accept)
    armed = await jobs.claim(await held(redis, Role.SUBMIT, job.id), "run 2")
    assert armed
    assert [await jobs.callback(report(job, "task_1", 1)) for _ in range(2)] == [CallbackOutcome.EARLIER] * 2
    assert not await jobs.release(armed)
    after = await read(jobs, job)
    assert (after.state, after.epoch, after.task_id) == (JobState.SUBMITTED, 2, "task_1")


async def test_a_callback_of_the_submission_before_that_names_no_task_fences_the_newer_one_too(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await resubmitted(redis, jobs, accept)
    armed = await jobs.claim(await held(redis, Role.SUBMIT, job.id), "run 2")
    assert armed
    assert await jobs.callback(report(job, None, 1)) is CallbackOutcome.EARLIER
    assert not await jobs.release(armed)
    after = await read(jobs, job)
    assert (after.state, after.epoch, after.evidence) == (JobState.UNKNOWN, 2, "callback")


async def test_a_callback_of_the_submission_before_is_a_second_task_once_the_newer_was_paid(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await resubmitted(redis, jobs, accept)
    again = await jobs.claim(await held(redis, Role.SUBMIT, job.id), "run 2")
    assert again
    assert await jobs.release(again)
    await jobs.apply(again, Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask("task_2"), HoldSlot()]))
    assert [await jobs.callback(report(job, "task_1", 1)) for _ in range(2)] == [CallbackOutcome.EARLIER] * 2
    after = await read(jobs, job)
    assert (after.task_id, after.earlier) == ("task_2", ["task_1"])
    assert await due(redis, job)


async def test_a_nonce_that_was_seen_before_only_makes_a_poll_due(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    first, second = [await sent(redis, jobs, accept) for _ in range(2)]
    assert await jobs.callback(report(first, nonce="n1")) is CallbackOutcome.MOVED
    assert await jobs.callback(report(second, "task_2", nonce="n1")) is CallbackOutcome.REPLAYED
    assert (await read(jobs, second)).state is JobState.SUBMITTING
    assert await due(redis, second)
    assert await owner(redis, "task_2") is None
    assert 0 < await redis.ttl("{gw}:nonce:n1") <= 900


async def test_a_distrusted_callback_only_makes_a_poll_due_and_is_kept(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await sent(redis, jobs, accept)
    before = await read(jobs, job)
    bad = report(job, distrusted=True, raw=b"{}", label="distrusted")
    assert await jobs.callback(bad) is CallbackOutcome.REPEATED
    assert await read(jobs, job) == before
    assert await due(redis, job)
    assert await quarantined(redis) == [("distrusted", "{}")]
    assert await redis.hget(keys.TALLY, "callbacks|distrusted") == "1"  # type: ignore[misc]


async def test_what_could_not_be_read_is_kept_raw_and_is_evidence_all_the_same(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await sent(redis, jobs, accept)
    await jobs.apply(job, Transition(JobEvent.OUTCOME_LOST, effects=[HoldSlot()]))
    await jobs.callback(report(job, None, terminal=False, raw=b"<html>", label="unreadable"))
    assert (await read(jobs, job)).evidence == "callback"
    assert await quarantined(redis) == [("unreadable", "<html>")]


async def test_what_a_body_reports_is_kept(redis: Redis, jobs: RedisJobStore, accept: Accept) -> None:
    job = await sent(redis, jobs, accept)
    await jobs.callback(report(job, claimed={"status": "completed", "output": []}))
    assert (await read(jobs, job)).claimed == {"status": "completed", "output": []}


async def test_the_job_history_has_the_callback(redis: Redis, jobs: RedisJobStore, accept: Accept) -> None:
    job = await sent(redis, jobs, accept)
    await jobs.callback(report(job))
    noted = await redis.lrange(keys.job_audit(job.id), 0, -1)  # type: ignore[misc]
    entries = [entry["event"] for entry in history_of(job.created_at, noted)]
    assert entries == ["accepted", "claimed", "released", "upstream_accepted", "task_named", "callback"]


async def test_an_unknown_job_that_a_callback_moved_on_is_unknown_no_more(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await sent(redis, jobs, accept)
    await jobs.apply(job, Transition(JobEvent.OUTCOME_LOST, effects=[HoldSlot()]))
    assert await redis.zrange("{gw}:unknowns", 0, -1) == [job.id]
    assert await jobs.callback(report(job)) is CallbackOutcome.MOVED
    assert await redis.zrange("{gw}:unknowns", 0, -1) == []
