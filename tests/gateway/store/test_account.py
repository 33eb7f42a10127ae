"""The upstream's account: paused when it is refused, with fewer slots when the upstream is busy."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from gateway.dispatch import ACCOUNT, CallbackLimits, Role, RoleLimits
from gateway.jobs import Job
from gateway.lifecycle import JobEvent, JobState
from gateway.store import keys
from gateway.store.accounts import RedisAccounts
from gateway.store.base import Account
from gateway.store.effects import BindTask, GiveBackSlot, HoldSlot, JudgeAccount, PollAfter
from gateway.store.jobs import RedisJobStore
from gateway.store.lanes import Lanes
from gateway.store.script_runner import Scripts
from gateway.store.transitions import Guard, Transition
from tests.gateway.store.conftest import Accept, dispatched, held

SLOTS = 4
ROLES = {
    Role.SUBMIT: RoleLimits(slots=SLOTS, lane_slots=SLOTS, lease_ms=60_000, probe_ms=30_000),
    Role.CONFIRM: RoleLimits(slots=4, lane_slots=4, lease_ms=60_000),
    Role.DELIVER: RoleLimits(slots=4, lane_slots=4, lease_ms=60_000),
}
REFUSED = JudgeAccount("refused", status=402, code="CreditInsufficient", reason="top up")
ACCEPTED = JudgeAccount("accepted")


@pytest.fixture
def jobs(redis: Redis, scripts: Scripts) -> RedisJobStore:
    return RedisJobStore(redis, scripts, ROLES, CallbackLimits(90_000, 30_000, 604_800_000))


@pytest.fixture
def lanes(scripts: Scripts) -> Lanes:
    return Lanes(scripts, ROLES)


@pytest.fixture
def accounts(redis: Redis, scripts: Scripts) -> RedisAccounts:
    return RedisAccounts(redis, scripts, ROLES)


async def begun(redis: Redis, jobs: RedisJobStore, job: Job) -> Job:
    claimed = await jobs.claim(await held(redis, Role.SUBMIT, job.id))
    assert claimed
    return claimed


async def refused(jobs: RedisJobStore, job: Job, judged: JudgeAccount = REFUSED) -> None:
    await jobs.apply(
        job, Transition(JobEvent.UPSTREAM_BUSY, effects=[GiveBackSlot(0, judged.account), judged])
    )


async def busy(jobs: RedisJobStore, job: Job, retry_after_ms: int = 0) -> None:
    judged = JudgeAccount("busy", retry_after_ms)
    await jobs.apply(job, Transition(JobEvent.UPSTREAM_BUSY, effects=[GiveBackSlot(3_600_000), judged]))


async def accepted(jobs: RedisJobStore, job: Job) -> None:
    move = Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask(f"task_{job.id}"), HoldSlot(), ACCEPTED])
    await jobs.apply(job, move)


async def end(jobs: RedisJobStore, job: Job) -> None:
    """Its slot is free again, and what waits does not follow."""
    await jobs.apply(job, Transition(JobEvent.CALLBACK_SEEN, effects=[GiveBackSlot(3_600_000)]))


async def make_probe_due(redis: Redis) -> None:
    await redis.hset(f"{{gw}}:account:{ACCOUNT}", "probe_at", "1")  # type: ignore[misc]


async def began_at(redis: Redis, job: Job, ms: int) -> None:
    await redis.hset(keys.job(job.id), "submitting_at", str(ms))  # type: ignore[misc]


async def events(redis: Redis) -> list[tuple[str, str]]:
    return [(row["kind"], row["by"]) for _, row in await redis.xrange("{gw}:ops:events")]


async def submitting(redis: Redis) -> int:
    return int(await redis.zcard(keys.slots(Role.SUBMIT)))


async def test_a_refused_account_lets_nothing_more_out_and_says_why(
    redis: Redis, jobs: RedisJobStore, accounts: RedisAccounts, accept: Accept
) -> None:
    first = await begun(redis, jobs, await accept())
    await refused(jobs, first)
    await accept()
    assert await submitting(redis) == 0
    assert await redis.zcard(keys.waiting(Role.SUBMIT)) == 2
    account, _ = await accounts.read()
    assert (account.reason, account.paused_at is not None) == ("top up", True)
    [(_, row)] = await redis.xrange("{gw}:ops:events")
    assert (row["kind"], row["status"], row["code"]) == ("account_parked", "402", "CreditInsufficient")


async def test_a_crowd_that_is_refused_pauses_the_account_once(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    crowd = [await begun(redis, jobs, await accept()) for _ in range(3)]
    for job in crowd:
        await refused(jobs, job)
    assert await events(redis) == [("account_parked", "upstream")]


async def test_one_probe_goes_out_in_an_interval_and_it_is_the_job_that_was_refused(
    redis: Redis, jobs: RedisJobStore, lanes: Lanes, accept: Accept
) -> None:
    first = await begun(redis, jobs, await accept())
    await refused(jobs, first)
    later = [await accept() for _ in range(3)]
    assert await lanes.dispatch() == 0
    await make_probe_due(redis)
    assert [await lanes.dispatch() for _ in range(3)] == [1, 0, 0]
    assert (await dispatched(redis, Role.SUBMIT))[-1] == first.id
    assert not {job.id for job in later} & set(await dispatched(redis, Role.SUBMIT))


async def test_a_probe_that_is_refused_leaves_the_account_paused_for_another_interval(
    redis: Redis, jobs: RedisJobStore, lanes: Lanes, accept: Accept
) -> None:
    first = await begun(redis, jobs, await accept())
    await refused(jobs, first)
    await make_probe_due(redis)
    await lanes.dispatch()
    await refused(jobs, await begun(redis, jobs, first))
    assert await lanes.dispatch() == 0
    assert await submitting(redis) == 0
    assert await events(redis) == [("account_parked", "upstream")]


async def test_an_accepted_probe_opens_the_account_and_what_waits_follows_in_the_same_step(
    redis: Redis, jobs: RedisJobStore, lanes: Lanes, accounts: RedisAccounts, accept: Accept
) -> None:
    first = await begun(redis, jobs, await accept())
    await refused(jobs, first)
    waiting = await accept()
    await make_probe_due(redis)
    await lanes.dispatch()
    await accepted(jobs, await begun(redis, jobs, first))
    assert await accounts.read() == (Account(slots=SLOTS, in_flight=2), None)
    assert (await dispatched(redis, Role.SUBMIT))[-1] == waiting.id
    assert await events(redis) == [("account_parked", "upstream"), ("account_resumed", "probe")]


async def test_an_answer_to_what_was_sent_before_the_pause_proves_nothing(
    redis: Redis, jobs: RedisJobStore, accounts: RedisAccounts, accept: Accept
) -> None:
    first, second = [await begun(redis, jobs, await accept()) for _ in range(2)]
    await refused(jobs, first)
    await began_at(redis, second, 1)
    await accepted(jobs, second)
    assert (await accounts.read())[0].paused_at is not None


async def test_no_probe_goes_out_while_no_slot_is_free(
    redis: Redis, jobs: RedisJobStore, lanes: Lanes, accept: Accept
) -> None:
    crowd = [await begun(redis, jobs, await accept()) for _ in range(SLOTS)]
    await accept()
    for job in crowd[1:]:
        await accepted(jobs, job)
    await jobs.apply(crowd[0], Transition(JobEvent.OUTCOME_LOST, effects=[HoldSlot(), REFUSED]))
    await make_probe_due(redis)
    assert await lanes.dispatch() == 0


async def test_what_an_operator_resumes_is_dispatched_at_once(
    redis: Redis, jobs: RedisJobStore, accounts: RedisAccounts, accept: Accept
) -> None:
    first = await begun(redis, jobs, await accept())
    await refused(jobs, first)
    await accounts.resume("key1")
    assert (await dispatched(redis, Role.SUBMIT))[-1] == first.id
    assert await events(redis) == [("account_parked", "upstream"), ("account_resumed", "key1")]


async def test_a_crowd_that_meets_a_busy_upstream_halves_the_slots_once(
    redis: Redis, jobs: RedisJobStore, accounts: RedisAccounts, accept: Accept
) -> None:
    crowd = [await begun(redis, jobs, await accept()) for _ in range(SLOTS)]
    for job in crowd:
        await began_at(redis, job, 1)
        await busy(jobs, job)
    assert (await accounts.read())[0].slots == 2
    for _ in range(3):
        await accept()
    assert await submitting(redis) == 2


async def test_what_began_after_the_cut_and_is_turned_away_cuts_again_down_to_one(
    redis: Redis, jobs: RedisJobStore, accounts: RedisAccounts, accept: Accept
) -> None:
    for slots in (1, 1):
        await busy(jobs, await begun(redis, jobs, await accept()))
        assert (await accounts.read())[0].slots == slots
    await accept()
    await accept()
    assert await submitting(redis) == 1


async def test_slots_grow_by_one_each_time_as_many_were_accepted(
    redis: Redis, jobs: RedisJobStore, accounts: RedisAccounts, accept: Accept
) -> None:
    await busy(jobs, await begun(redis, jobs, await accept()))
    seen = []
    for _ in range(7):
        job = await begun(redis, jobs, await accept())
        await accepted(jobs, job)
        await end(jobs, job)
        seen.append((await accounts.read())[0].slots)
    assert seen == [2, 2, 3, 3, 3, 4, 4]
    assert await redis.hgetall(keys.account(ACCOUNT)) == {}  # type: ignore[misc]


async def test_nothing_is_dispatched_before_the_time_that_the_upstream_named(
    redis: Redis, jobs: RedisJobStore, lanes: Lanes, accounts: RedisAccounts, accept: Accept
) -> None:
    await busy(jobs, await begun(redis, jobs, await accept()), retry_after_ms=60_000)
    waiting = await accept()
    assert await lanes.dispatch() == 0
    assert (await accounts.read())[0].hold_until is not None
    await redis.hset(keys.account(ACCOUNT), "hold_until", "1")  # type: ignore[misc]
    assert await lanes.dispatch() == 1
    assert (await dispatched(redis, Role.SUBMIT))[-1] == waiting.id


async def test_a_shorter_time_does_not_undo_a_longer_one(
    redis: Redis, jobs: RedisJobStore, accounts: RedisAccounts, accept: Accept
) -> None:
    first, second = [await begun(redis, jobs, await accept()) for _ in range(2)]
    await busy(jobs, first, retry_after_ms=60_000)
    longer = (await accounts.read())[0].hold_until
    await busy(jobs, second, retry_after_ms=1_000)
    assert (await accounts.read())[0].hold_until == longer


async def test_a_paused_account_changes_nothing_about_polls(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    first, second = [await begun(redis, jobs, await accept()) for _ in range(2)]
    await refused(jobs, first)
    move = Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask("task_1"), HoldSlot(), PollAfter(0)])
    await jobs.apply(second, move)
    assert await dispatched(redis, Role.CONFIRM) == [second.id]


async def test_an_outcome_of_a_submission_that_was_overtaken_is_ignored(
    jobs: RedisJobStore, redis: Redis, accounts: RedisAccounts, accept: Accept
) -> None:
    job = await begun(redis, jobs, await accept())
    late = Transition(
        JobEvent.UPSTREAM_BUSY, Guard({"epoch": 0}), [GiveBackSlot(0, refused_by="main"), REFUSED]
    )
    await jobs.apply(job, late)
    assert (await accounts.read())[0].paused_at is None


async def test_a_job_that_waits_for_the_account_is_still_a_job_that_waits(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await begun(redis, jobs, await accept())
    await refused(jobs, job)
    found = await jobs.read(job.id)
    assert found
    assert found.state is JobState.QUEUED
    [place] = await jobs.queue_positions([found])
    assert place
    assert place.position == 0


async def test_slots_that_a_busy_upstream_took_come_back_with_time_though_nothing_is_accepted(
    redis: Redis, jobs: RedisJobStore, lanes: Lanes, accounts: RedisAccounts, accept: Accept
) -> None:
    first = await begun(redis, jobs, await accept())
    await busy(jobs, first)
    held_by_an_unknown = await begun(redis, jobs, await accept())
    await jobs.apply(held_by_an_unknown, Transition(JobEvent.OUTCOME_LOST, effects=[HoldSlot()]))
    waiting = await accept()
    await lanes.dispatch()
    assert (await accounts.read())[0].slots == 1
    assert waiting.id not in await dispatched(redis, Role.SUBMIT)
    seconds, _ = await redis.time()
    await redis.hset(keys.account(ACCOUNT), "cut_at", str((seconds - 31) * 1000))  # type: ignore[misc]
    await lanes.dispatch()
    assert (await accounts.read())[0].slots == 2
    assert waiting.id in await dispatched(redis, Role.SUBMIT)


async def put_off(jobs: RedisJobStore, job: Job) -> None:
    """Refused, and to be tried again in an hour."""
    await jobs.apply(
        job, Transition(JobEvent.UPSTREAM_BUSY, effects=[GiveBackSlot(3_600_000, refused_by="main"), REFUSED])
    )


async def test_what_was_refused_is_sent_at_once_when_an_operator_resumes_the_account(
    redis: Redis, jobs: RedisJobStore, accounts: RedisAccounts, accept: Accept
) -> None:
    crowd = [await begun(redis, jobs, await accept()) for _ in range(3)]
    for job in crowd:
        await put_off(jobs, job)
    assert await redis.zcard(keys.due(Role.SUBMIT)) == 3
    await accounts.resume("key1")
    assert await submitting(redis) == 3
    assert await redis.zcard(keys.due(Role.SUBMIT)) == 0
    assert not await redis.exists("{gw}:submit:refused")


async def test_what_a_probe_opens_leaves_what_was_refused_to_its_time(
    redis: Redis, jobs: RedisJobStore, lanes: Lanes, accept: Accept
) -> None:
    first = await begun(redis, jobs, await accept())
    await put_off(jobs, first)
    second = await accept()
    await make_probe_due(redis)
    await lanes.dispatch()
    await accepted(jobs, await begun(redis, jobs, second))
    assert await redis.zcard(keys.due(Role.SUBMIT)) == 1  # it may have been the job that was refused
    assert not await redis.exists("{gw}:submit:refused")
