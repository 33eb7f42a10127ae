"""The rate of polls, and the typical duration that the first of them waits for."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from gateway.dispatch import CallbackLimits, Role, RoleLimits
from gateway.jobs import Job, confirm_ticket, submit_ticket
from gateway.lifecycle import JobEvent
from gateway.store import keys
from gateway.store.effects import BindTask, Finish, HoldSlot, LearnDuration, PollAfter
from gateway.store.jobs import RedisJobStore
from gateway.store.lanes import Lanes
from gateway.store.script_runner import Scripts
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import Accept, held

LIMITS = CallbackLimits(90_000, 30_000, 604_800_000)


def limited(per_second: float) -> dict[Role, RoleLimits]:
    return {
        Role.SUBMIT: RoleLimits(slots=50, lane_slots=50, lease_ms=60_000),
        Role.CONFIRM: RoleLimits(slots=50, lane_slots=50, lease_ms=60_000, per_second=per_second),
        Role.DELIVER: RoleLimits(slots=4, lane_slots=2, lease_ms=60_000),
    }


async def all_due(redis: Redis, count: int) -> None:
    await redis.zadd(keys.due(Role.CONFIRM), {f"main|job_{n}": 1 for n in range(count)})


async def test_no_more_polls_are_dispatched_than_the_rate_allows(redis: Redis, scripts: Scripts) -> None:
    lanes = Lanes(scripts, limited(0.1))
    await all_due(redis, 10)
    assert [await lanes.dispatch() for _ in range(3)] == [1, 0, 0]
    assert await redis.zcard(keys.waiting(Role.CONFIRM)) == 9


async def test_what_the_rate_held_back_goes_when_its_time_has_come(redis: Redis, scripts: Scripts) -> None:
    lanes = Lanes(scripts, limited(0.1))
    await all_due(redis, 3)
    await lanes.dispatch()
    await redis.set("{gw}:confirm:tat", "1")
    assert await lanes.dispatch() == 1


@pytest.mark.parametrize("per_second", [0.5, 0.1])
async def test_a_rate_of_less_than_one_a_second_still_lets_polls_out(
    redis: Redis, scripts: Scripts, per_second: float
) -> None:
    lanes = Lanes(scripts, limited(per_second))
    await all_due(redis, 3)
    assert [await lanes.dispatch() for _ in range(3)] == [1, 0, 0]


async def test_a_second_s_worth_may_go_at_once(redis: Redis, scripts: Scripts) -> None:
    lanes = Lanes(scripts, limited(5))
    await all_due(redis, 15)
    assert 5 <= await lanes.dispatch() <= 6


async def test_without_a_rate_as_many_go_as_there_are_slots(redis: Redis, scripts: Scripts) -> None:
    lanes = Lanes(scripts, limited(0))
    await all_due(redis, 15)
    assert await lanes.dispatch() == 15


async def accepted(redis: Redis, jobs: RedisJobStore, job: Job, *, typical: int | None = 4) -> None:
    claimed = await jobs.claim(await held(redis, Role.SUBMIT, job.id))
    assert claimed
    poll = PollAfter(30_000, typical)
    move = Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask(f"task_{job.id}"), HoldSlot(), poll])
    await jobs.apply(claimed, move)


async def took(redis: Redis, jobs: RedisJobStore, job: Job, ms: int) -> None:
    """The upstream took so long for it."""
    await accepted(redis, jobs, job)
    done = [submit_ticket(job), confirm_ticket(job)]
    await jobs.apply(job, Transition(JobEvent.UPSTREAM_SUCCEEDED, effects=[LearnDuration(ms), Finish(done)]))


async def due_in(redis: Redis, job: Job) -> float:
    at: float | None = await redis.zscore(keys.due(Role.CONFIRM), str(confirm_ticket(job)))
    assert at is not None
    now = await redis.time()
    return at / 1000 - float(now[0]) - float(now[1]) / 1e6


@pytest.fixture
def jobs(redis: Redis, scripts: Scripts) -> RedisJobStore:
    return RedisJobStore(redis, scripts, limited(50), LIMITS)


async def test_the_first_poll_waits_as_long_as_was_said_until_something_is_learned(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await accept()
    await accepted(redis, jobs, job)
    assert await due_in(redis, job) == pytest.approx(30, abs=5)


@pytest.mark.parametrize(("deviations", "seconds"), [(0, 200), (4, 600)])
async def test_the_first_poll_waits_for_what_is_typical_of_that_kind_of_video(
    redis: Redis, jobs: RedisJobStore, accept: Accept, deviations: int, seconds: float
) -> None:
    await took(redis, jobs, await accept(), 200_000)
    job = await accept()
    await accepted(redis, jobs, job, typical=deviations)
    assert await due_in(redis, job) == pytest.approx(seconds, abs=5)


async def test_videos_of_another_kind_are_learned_apart(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    await took(redis, jobs, await accept(params={"resolution": "1080p", "duration": 8}), 200_000)
    other = await accept(params={"resolution": "540p", "duration": 8})
    await accepted(redis, jobs, other)
    assert await due_in(redis, other) == pytest.approx(30, abs=5)


async def test_videos_made_off_peak_are_learned_apart(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    await took(redis, jobs, await accept(params={"duration": 8, "off_peak": True}), 80_000_000)
    other = await accept(params={"duration": 8})
    await accepted(redis, jobs, other)
    assert await due_in(redis, other) == pytest.approx(30, abs=5)


async def test_one_odd_duration_moves_the_mean_by_an_eighth(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    await took(redis, jobs, await accept(), 80_000)
    await took(redis, jobs, await accept(), 160_000)
    found = await redis.hgetall("{gw}:durations")  # type: ignore[misc]
    assert found == {"720p:0:mean": "90000", "720p:0:deviation": "50000"}


async def test_a_job_that_is_settled_again_teaches_nothing(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await accept()
    await took(redis, jobs, job, 80_000)
    await jobs.apply(job, Transition(JobEvent.UPSTREAM_SUCCEEDED, effects=[LearnDuration(160_000)]))
    assert await redis.hget("{gw}:durations", "720p:0:mean") == "80000"  # type: ignore[misc]
