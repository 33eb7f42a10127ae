"""Callbacks that our own record cannot explain: of lost writes, forgotten jobs and other jobs' tasks."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.dispatch import Role
from gateway.environment import Environment
from gateway.jobs import Spend, submit_ticket
from gateway.lifecycle import JobEvent, JobState
from gateway.store import keys
from gateway.store.base import CallbackOutcome
from gateway.store.effects import BindTask, HoldSlot
from gateway.store.jobs import RedisJobStore
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import Accept, held, new_job
from tests.gateway.store.test_callback import accepted, due, noted, owner, quarantined, read, report, sent

DAY = 86_400


async def test_a_callback_of_a_submission_yet_to_come_is_a_rollback_and_the_job_is_adopted(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await accept()
    assert await jobs.callback(report(job, "task_1", 3)) is CallbackOutcome.AHEAD
    after = await read(jobs, job)
    assert (after.state, after.epoch, after.task_id) == (JobState.SUBMITTED, 3, "task_1")
    assert after.released_at is not None
    assert await jobs.claim(await held(redis, Role.SUBMIT, job.id), "run") is None
    assert await noted(redis) == ["rollback_seen"]
    assert await quarantined(redis) == [("ahead", "")]
    assert await redis.hget(keys.TALLY, "rollback_seen|ahead") == "1"  # type: ignore[misc]
    assert await jobs.callback(report(job, "task_1", 3)) is CallbackOutcome.REPEATED
    assert await read(jobs, job) == after
    assert await noted(redis) == ["rollback_seen"]


@pytest.mark.parametrize(("task", "state"), [("task_1", JobState.SUBMITTED), (None, JobState.UNKNOWN)])
async def test_a_callback_of_a_submission_that_was_never_released_fences_it(
    redis: Redis, jobs: RedisJobStore, accept: Accept, task: str | None, state: JobState
) -> None:
    job = await accept()
    armed = await jobs.claim(await held(redis, Role.SUBMIT, job.id), "run")
    assert armed
    effects = [await jobs.callback(report(job, task)) for _ in range(2)]
    assert effects == [CallbackOutcome.AHEAD, CallbackOutcome.REPEATED]
    assert not await jobs.release(armed)
    after = await read(jobs, job)
    assert (after.state, after.task_id) == (state, task)
    assert after.spend is Spend.CERTAIN
    assert await redis.zscore(keys.slots(Role.SUBMIT), str(submit_ticket(job))) == float("inf")


async def test_an_orphan_that_names_its_task_is_built_up_again(redis: Redis, jobs: RedisJobStore) -> None:
    job = new_job()
    assert await jobs.callback(report(job, raw=b"raw")) is CallbackOutcome.ORPHAN
    after = await read(jobs, job)
    assert (after.state, after.tenant, after.task_id) == (JobState.SUBMITTED, "acme", "task_1")
    assert await quarantined(redis) == [("orphan", "raw")]
    assert await noted(redis) == ["rollback_seen"]
    assert await due(redis, job)
    assert await redis.hget(keys.COUNTS, "job:submitted") == "1"  # type: ignore[misc]
    assert await jobs.callback(report(job)) is CallbackOutcome.REPEATED
    assert await read(jobs, job) == after


@pytest.mark.parametrize("changes", [{"task": None}, {"distrusted": True}], ids=["unnamed", "distrusted"])
async def test_an_orphan_that_proves_no_task_is_only_quarantined(
    redis: Redis, jobs: RedisJobStore, changes: dict[str, Any]
) -> None:
    job = new_job()
    assert [await jobs.callback(report(job, **changes)) for _ in range(2)] == [CallbackOutcome.ORPHAN] * 2
    assert await jobs.read(job.id) is None
    assert await quarantined(redis) == [("orphan", "")] * 2


async def test_an_orphan_that_names_another_job_s_task_is_not_built_up(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    await accepted(redis, jobs, accept)
    job = new_job()
    assert await jobs.callback(report(job)) is CallbackOutcome.ORPHAN
    assert await jobs.read(job.id) is None
    assert "task_claimed_twice" in await noted(redis)


async def test_a_callback_for_a_job_that_was_forgotten_by_now_is_no_alarm(
    redis: Redis, jobs: RedisJobStore
) -> None:
    old = Environment(clock=lambda: Environment().clock() - 8 * DAY)
    job = new_job(id=old.new_job_id())
    assert [await jobs.callback(report(job)) for _ in range(2)] == [CallbackOutcome.EXPIRED] * 2
    assert await jobs.read(job.id) is None
    assert (await quarantined(redis), await noted(redis)) == ([], [])


async def test_a_callback_that_names_another_job_s_task_makes_polls_of_both_due(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    first = await accepted(redis, jobs, accept)
    second = await sent(redis, jobs, accept)
    crossing = report(second, "task_1", claimed={"status": "completed"})
    assert [await jobs.callback(crossing) for _ in range(2)] == [CallbackOutcome.CROSSED] * 2
    after = await read(jobs, second)
    assert (after.task_id, after.claimed, after.called_back_at) == (None, None, None)
    assert after.evidence == "callback"  # its token proves that there is a task, if not which
    assert await owner(redis, "task_1") == first.id
    assert (await read(jobs, first)).task_id == "task_1"
    assert await due(redis, first)
    assert await due(redis, second)
    assert await quarantined(redis) == [("crossed", "")] * 2
    assert await noted(redis) == ["task_claimed_twice"] * 2


async def test_a_task_that_a_callback_took_goes_to_the_job_that_the_upstream_s_answer_gives_it_to(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    thief, rightful = [await sent(redis, jobs, accept) for _ in range(2)]
    await jobs.callback(report(thief, "task_1"))
    await jobs.apply(
        rightful, Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask("task_1"), HoldSlot()])
    )
    assert (await read(jobs, thief)).task_id is None
    assert (await read(jobs, rightful)).task_id == "task_1"
    assert await owner(redis, "task_1") == rightful.id
    assert await noted(redis) == ["task_taken_back"]


async def test_a_job_whose_task_is_known_takes_no_other_task_even_if_nobody_has_it_yet(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await accepted(redis, jobs, accept, "task_1")
    assert await jobs.callback(report(job, "task_2")) is CallbackOutcome.CROSSED
    after = await read(jobs, job)
    assert (after.task_id, after.earlier) == ("task_1", [])
    assert await redis.get("{gw}:task:task_2") is None


async def test_a_submission_that_redis_lost_keeps_the_reports_of_others_from_being_believed(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    lost = await accept()
    assert await jobs.callback(report(lost, None, 1)) is CallbackOutcome.AHEAD
    other = await sent(redis, jobs, accept)
    await jobs.callback(report(other, "task_2"))
    assert not await jobs.trust_report(await read(jobs, other))
    await jobs.callback(report(lost, "task_1", 1))
    assert not await jobs.trust_report(await read(jobs, lost))  # it may have lost others too
    bound = Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask("task_1")])
    await jobs.apply(await read(jobs, lost), bound)
    assert await jobs.trust_report(await read(jobs, other))
