"""The deadlines of a job, in whatever state they meet it, and a worker's death that ends it for good."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dispatch import Role
from gateway.events import EventType
from gateway.jobs import Job, Spend, confirm_ticket, submit_ticket
from gateway.lifecycle import JobState, OnUnknown
from gateway.store import keys
from gateway.store.base import CallbackOutcome
from gateway.upstream.base import Accepted, AccountRefused, Busy, Found, Unknown, UpstreamError
from tests.workers.conftest import Rig
from tests.workers.scripted import VIDEO, completed, working
from tests.workers.test_evidence import AFTER_GRACE, code, under

HOUR_MS = 3_600_000
HOOK = "https://client.example.com/hook"


async def accept(rig: Rig, *, start_in: int = HOUR_MS, end_in: int = 2 * HOUR_MS, **fields: Any) -> Job:
    now = rig.resources.environment.now_ms()
    return await rig.accept(start_by=now + start_in, end_by=now + end_in, callback_url=HOOK, **fields)


async def pass_deadline(rig: Rig, job: Job, hours: float) -> Job:
    """What the job is after a sweep so much later."""
    rig.clock.ahead = hours * 3600
    await rig.redis.zadd(keys.DEADLINES, {job.id: 1}, xx=True)
    await rig.sweep()
    return await rig.read(job)


async def places(rig: Rig, job: Job) -> list[str]:
    """The sorted sets of roles in which the job still stands."""
    sets = [
        (name, str(ticket))
        for ticket in (submit_ticket(job), confirm_ticket(job))
        for name in (keys.slots(ticket.role), keys.due(ticket.role), keys.lane(ticket.role, ticket.lane))
    ]
    return [name for name, ticket in sets if await rig.redis.zscore(name, ticket) is not None]


async def deadline(rig: Rig, job: Job) -> float | None:
    found: float | None = await rig.redis.zscore(keys.DEADLINES, job.id)
    return found


# -- to have been sent by then


async def test_a_job_that_waits_in_its_lane_is_given_up_for_free_at_its_start_deadline(rig: Rig) -> None:
    job = await accept(rig)
    assert (await pass_deadline(rig, job, 0.9)).state is JobState.QUEUED
    after = await pass_deadline(rig, job, 1.1)
    assert (after.state, code(after), after.spend) == (
        JobState.FAILED,
        "start_deadline_passed",
        Spend.NONE,
    )
    assert await places(rig, job) == []
    assert await deadline(rig, job) is None
    [delivery] = await rig.deliveries(job)
    assert delivery.event_type is EventType.FAILED


async def test_a_worker_that_has_not_let_go_of_the_last_byte_is_fenced_by_the_start_deadline(
    rig: Rig,
) -> None:
    job = await accept(rig)

    async def be_late() -> None:
        assert (await pass_deadline(rig, job, 1.1)).state is JobState.FAILED

    rig.upstream.before_gate = be_late
    after = await rig.submit(job, Accepted("never"))
    assert rig.upstream.released == []
    assert (after.state, code(after)) == (JobState.FAILED, "start_deadline_passed")
    assert await places(rig, job) == []


async def test_a_job_that_waits_for_a_paused_account_still_has_its_start_deadline(rig: Rig) -> None:
    job = await rig.submit(await accept(rig), AccountRefused(UpstreamError("NoCredit", "top up"), 402))
    after = await pass_deadline(rig, job, 1.1)
    assert (code(after), after.spend) == ("start_deadline_passed", Spend.NONE)
    assert await places(rig, job) == []


async def test_a_total_deadline_that_comes_first_ends_a_job_that_waits(rig: Rig) -> None:
    job = await accept(rig, end_in=HOUR_MS)
    after = await pass_deadline(rig, job, 1.1)
    assert code(after) == "total_deadline_passed"
    assert after.error is not None
    assert "nothing was paid" in after.error["error_message"]


async def test_a_job_that_was_sent_in_time_has_no_start_deadline_any_more(rig: Rig) -> None:
    job = await rig.submit(await accept(rig), Accepted("task_1"))
    assert (await pass_deadline(rig, job, 1.1)).state is JobState.SUBMITTED
    assert await deadline(rig, job) == job.end_by


@pytest.mark.usefixtures("open_way")
async def test_a_job_that_is_to_be_sent_again_is_never_said_to_be_free(rig: Rig) -> None:
    job = await accept(rig, on_unknown=OnUnknown.RESUBMIT)
    await rig.submit(job, Unknown("reset"))
    rig.clock.ahead = AFTER_GRACE
    assert (await rig.confirm(job)).state is JobState.QUEUED
    after = await pass_deadline(rig, job, 1.1)
    assert (code(after), after.spend) == ("start_deadline_passed", Spend.POSSIBLE)
    assert after.error is not None
    assert "may have been charged" in after.error["error_message"]
    assert await rig.callback(job, "task_1") is CallbackOutcome.LATE
    late = await rig.confirm(job, Found(completed()))
    assert late.late is not None


@pytest.fixture
async def open_way(rig: Rig) -> None:
    await rig.callbacks_can_come()


# -- to be over by then


async def test_the_total_deadline_ends_a_job_whose_task_is_at_work_and_watches_it(rig: Rig) -> None:
    job = await rig.submit(await accept(rig), Accepted("task_1"))
    after = await pass_deadline(rig, job, 2.1)
    assert (after.state, code(after)) == (JobState.FAILED, "total_deadline_passed")
    assert after.watch_until is not None
    assert await rig.lease(job) is None
    assert await deadline(rig, job) is None
    assert await rig.due_in(Role.CONFIRM, confirm_ticket(job)) is not None
    late = await rig.confirm(job, Found(completed()))
    assert late.late is not None
    assert (late.late["output"], late.state) == (VIDEO, JobState.FAILED)


@pytest.mark.parametrize("policy", list(OnUnknown))
async def test_the_total_deadline_ends_an_unknown_job_whatever_its_policy(
    rig: Rig, policy: OnUnknown
) -> None:
    job = await rig.submit(await accept(rig, on_unknown=policy), Unknown("reset"))
    assert (await pass_deadline(rig, job, 1.1)).state is JobState.UNKNOWN
    after = await pass_deadline(rig, job, 2.1)
    assert (after.state, code(after), after.spend) == (
        JobState.FAILED,
        "submission_unknown",
        Spend.POSSIBLE,
    )
    assert await places(rig, job) == []
    assert await deadline(rig, job) is None
    assert await rig.redis.zcard(keys.UNKNOWNS) == 0


async def test_a_submission_that_is_under_way_is_awaited_before_the_deadline_judges(rig: Rig) -> None:
    job = await accept(rig)

    async def be_late() -> None:
        assert (await pass_deadline(rig, job, 2.1)).state is JobState.SUBMITTING

    rig.upstream.after_gate = be_late
    assert (await rig.submit(job, Accepted("task_1"))).state is JobState.SUBMITTED
    assert (await pass_deadline(rig, job, 2.1)).state is JobState.FAILED


async def test_a_poll_that_was_under_way_at_the_deadline_changes_nothing_of_the_end(rig: Rig) -> None:
    job = await rig.submit(await accept(rig), Accepted("task_1"))
    await rig.make_due(Role.CONFIRM, str(confirm_ticket(job)))
    looking = await rig.ticket(Role.CONFIRM, job.id)
    ended = await pass_deadline(rig, job, 2.1)
    await rig.resources.jobs.postpone(looking, 1000, {"progress": 0.9, "polls": 7})
    assert await rig.read(job) == ended
    assert await rig.due_in(Role.CONFIRM, confirm_ticket(job)) is not None


async def test_a_finished_job_has_no_deadline_left(rig: Rig) -> None:
    job = await rig.submit(await accept(rig), Accepted("task_1"))
    assert await deadline(rig, job) is not None
    await rig.confirm(job, Found(completed()))
    assert await deadline(rig, job) is None


async def test_a_deadline_of_a_job_that_is_gone_is_forgotten(rig: Rig) -> None:
    await rig.redis.zadd(keys.DEADLINES, {"job_gone": 1})
    await rig.sweep()
    assert await rig.redis.zcard(keys.DEADLINES) == 0


@pytest.mark.parametrize("field", ["params", "start_by"])
async def test_a_record_that_cannot_be_read_does_not_keep_others_from_their_deadlines(
    rig: Rig, field: str
) -> None:
    bad, good = await accept(rig), await accept(rig)
    await rig.redis.hset(keys.job(bad.id), field, "{")  # type: ignore[misc]
    await rig.redis.zadd(keys.DEADLINES, {bad.id: 1})
    assert (await pass_deadline(rig, good, 1.1)).state is JobState.FAILED


async def test_an_off_peak_task_may_take_two_days(rig: Rig) -> None:
    params = {"prompt": "a fox", "images": [], "off_peak": True}
    job = await rig.submit(await accept(rig, end_in=100 * HOUR_MS, params=params), Accepted("task_1"))
    rig.clock.ahead = 49 * 3600
    assert (await rig.confirm(job, Found(working()))).state is JobState.SUBMITTED
    rig.clock.ahead = 51 * 3600
    assert code(await rig.confirm(job, Found(working()))) == "upstream_timeout"


# -- workers that die with it


async def die(rig: Rig, job: Job) -> None:
    """A worker claims the job and is not heard of again."""
    await rig.make_due(Role.SUBMIT, str(submit_ticket(job)))
    assert await rig.resources.jobs.claim(await rig.ticket(Role.SUBMIT, job.id), "run")
    await rig.redis.hdel(keys.job(job.id), "run")  # type: ignore[misc]
    await rig.let_lease_run_out(Role.SUBMIT, submit_ticket(job))
    await rig.sweep()


async def test_a_job_with_which_too_many_workers_died_fails_for_free(rig: Rig) -> None:
    rig = under(rig, poison_limit=3)
    job = await accept(rig)
    for lost in (1, 2):
        await die(rig, job)
        after = await rig.read(job)
        assert (after.state, after.lost) == (JobState.QUEUED, lost)
    await die(rig, job)
    after = await rig.read(job)
    assert (after.state, code(after), after.spend) == (JobState.FAILED, "submission_poison", Spend.NONE)
    assert await places(rig, job) == []
    assert (await rig.tally())["submissions|poison"] == "1"


async def test_a_busy_upstream_poisons_no_job(rig: Rig) -> None:
    rig = under(rig, poison_limit=1)
    job = await accept(rig)
    for _ in range(3):
        await rig.submit(job, Busy("429"))
        await rig.make_due(Role.SUBMIT, str(submit_ticket(job)))
    assert (await rig.read(job)).lost == 0


async def test_a_worker_that_dies_after_the_last_byte_makes_the_job_unknown_not_poisoned(rig: Rig) -> None:
    rig = under(rig, poison_limit=1)
    job = await accept(rig)
    claimed = await rig.resources.jobs.claim(await rig.ticket(Role.SUBMIT, job.id), "run")
    assert claimed
    assert await rig.resources.jobs.release(claimed)
    await rig.let_lease_run_out(Role.SUBMIT, submit_ticket(job))
    await rig.sweep()
    assert (await rig.read(job)).state is JobState.UNKNOWN


# -- the slot of a task that may be at work


async def test_a_task_that_is_given_up_early_keeps_its_slot_while_it_may_be_at_work(rig: Rig) -> None:
    job = await rig.submit(await accept(rig, end_in=HOUR_MS), Accepted("task_1"))
    after = await pass_deadline(rig, job, 1.1)
    assert code(after) == "total_deadline_passed"
    lease = await rig.lease(job)
    assert after.released_at is not None
    # two hours from the release, of which the process' clock, but not that of Redis, has passed 1.1
    assert lease == pytest.approx(after.released_at + 0.9 * HOUR_MS, abs=60_000)
    await rig.confirm(job, Found(working()))
    assert await rig.lease(job) == lease
    await rig.confirm(job, Found(completed()))
    assert await rig.lease(job) is None


async def test_the_sweep_frees_a_slot_whose_task_nobody_heard_of_again(rig: Rig) -> None:
    job = await rig.submit(await accept(rig, end_in=HOUR_MS), Accepted("task_1"))
    await pass_deadline(rig, job, 1.1)
    await rig.let_lease_run_out(Role.SUBMIT, submit_ticket(job))
    await rig.sweep()
    assert await rig.lease(job) is None
