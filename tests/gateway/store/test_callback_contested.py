"""A task that callbacks name for two jobs: one of them is wrong, and nobody can tell which."""

from __future__ import annotations

from redis.asyncio import Redis

from gateway.jobs import Job, Spend
from gateway.lifecycle import JobEvent, JobState
from gateway.settings import Settings
from gateway.store import keys
from gateway.store.base import CallbackOutcome
from gateway.store.effects import BindTask, ChooseTask, HoldSlot
from gateway.store.jobs import RedisJobStore
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import Accept
from tests.gateway.store.test_callback import (
    accepted,
    due,
    failed_as_unknown,
    noted,
    owner,
    quarantined,
    read,
    report,
    sent,
)


async def contested(redis: Redis, jobs: RedisJobStore, accept: Accept) -> tuple[Job, Job]:
    """Two jobs whose answers are out, and whose callbacks both name task_1."""
    first, second = [await sent(redis, jobs, accept) for _ in range(2)]
    assert await jobs.callback(report(first, claimed={"status": "completed"})) is CallbackOutcome.MOVED
    assert await jobs.callback(report(second)) is CallbackOutcome.CROSSED
    return first, second


async def test_it_is_neither_job_s_and_both_are_polled(
    redis: Redis, jobs: RedisJobStore, accept: Accept, settings: Settings
) -> None:
    first, second = await contested(redis, jobs, accept)
    for job in (first, second):
        after = await read(jobs, job)
        assert (after.task_id, after.earlier, after.claimed) == (None, [], None)
        assert after.evidence == "callback"  # each has a task, and neither may be paid for again
        assert after.spend is Spend.CERTAIN
        assert await due(redis, job)
    assert await owner(redis, "task_1") == "-"
    assert 0 < await redis.pttl("{gw}:task:task_1") <= settings.retention_seconds * 1000
    assert await noted(redis) == ["task_claimed_twice", "task_contested"]


async def test_more_callbacks_of_either_job_change_nothing(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    pair = await contested(redis, jobs, accept)
    before = [await read(jobs, job) for job in pair]
    for job in pair:
        assert await jobs.callback(report(job)) is CallbackOutcome.CROSSED
    assert [await read(jobs, job) for job in pair] == before
    assert await quarantined(redis) == [("crossed", "")] * 3


async def test_it_goes_to_the_job_whose_answer_names_it_and_stays_there(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    first, second = await contested(redis, jobs, accept)
    await jobs.apply(second, Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask("task_1"), HoldSlot()]))
    assert (await read(jobs, second)).task_id == "task_1"
    assert await jobs.callback(report(first)) is CallbackOutcome.CROSSED
    assert await owner(redis, "task_1") == second.id
    assert (await read(jobs, first)).task_id is None


async def test_a_job_takes_another_task_when_a_callback_names_one(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    first, second = await contested(redis, jobs, accept)
    assert await jobs.callback(report(first, "task_2")) in (CallbackOutcome.MOVED, CallbackOutcome.REPEATED)
    assert (await read(jobs, first)).task_id == "task_2"
    assert (await read(jobs, second)).task_id is None


async def test_a_task_beside_it_is_kept(redis: Redis, jobs: RedisJobStore, accept: Accept) -> None:
    first, second = [await sent(redis, jobs, accept) for _ in range(2)]
    for task in ("task_1", "task_2"):
        await jobs.callback(report(first, task))
    await jobs.callback(report(second, "task_2"))
    after = await read(jobs, first)
    assert (after.task_id, after.earlier) == ("task_1", [])


async def test_a_task_that_an_answer_named_cannot_be_contested_even_by_an_earlier_submission_s(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    owner_of_it = await accepted(redis, jobs, accept)
    await redis.hset(keys.job(owner_of_it.id), mapping={"epoch": 2, "answered:2": "task_9"})  # type: ignore[misc]
    other = await sent(redis, jobs, accept)
    assert await jobs.callback(report(other)) is CallbackOutcome.CROSSED
    assert await owner(redis, "task_1") == owner_of_it.id
    assert await noted(redis) == ["task_claimed_twice"]


async def test_a_job_with_an_answer_of_its_own_contests_nothing(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    unanswered = await sent(redis, jobs, accept)
    await jobs.callback(report(unanswered, "task_1"))
    answered = await accepted(redis, jobs, accept, "task_2")
    assert await jobs.callback(report(answered, "task_1")) is CallbackOutcome.CROSSED
    assert (await read(jobs, unanswered)).task_id == "task_1"


async def test_a_result_that_was_published_stays_its_job_s(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    first, second = [await sent(redis, jobs, accept) for _ in range(2)]
    await jobs.callback(report(first))
    await jobs.apply(first, Transition(JobEvent.UPSTREAM_SUCCEEDED, effects=[ChooseTask("task_1")]))
    assert await jobs.callback(report(second)) is CallbackOutcome.CROSSED
    after = await read(jobs, first)
    assert (after.state, after.task_id) == (JobState.COMPLETED, "task_1")
    assert await owner(redis, "task_1") == first.id


async def test_a_job_that_is_only_watched_loses_it(redis: Redis, jobs: RedisJobStore, accept: Accept) -> None:
    watched = await failed_as_unknown(redis, jobs, accept, watch_ms=60_000)
    assert await jobs.callback(report(watched)) is CallbackOutcome.LATE
    await jobs.callback(report(await sent(redis, jobs, accept)))
    assert (await read(jobs, watched)).task_id is None
    assert await owner(redis, "task_1") == "-"


async def test_the_job_s_own_submissions_do_not_hide_that_another_waits_for_its_answer(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await sent(redis, jobs, accept)
    [(_, released_at)] = await redis.zrange(keys.UNANSWERED, 0, -1, withscores=True)
    await redis.zadd(keys.UNANSWERED, {f"{job.id}|2": released_at})  # it was sent again
    await redis.hset(keys.job(job.id), "epoch", "2")  # type: ignore[misc]
    other = await sent(redis, jobs, accept)
    await jobs.callback(report(job, epoch=1))
    reported = await read(jobs, job)
    assert (reported.task_id, reported.claimed_at is None) == ("task_1", False)
    assert not await jobs.trust_report(reported)
    await redis.zrem(keys.UNANSWERED, f"{other.id}|1")
    assert await jobs.trust_report(reported)
