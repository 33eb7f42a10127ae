"""Where a job waits and for how long, and how fast a tenant may post."""

from __future__ import annotations

import json
import math

import pytest
from redis.asyncio import Redis

from gateway.dispatch import RoleLimits
from gateway.errors import LimitReached, RateLimited
from gateway.store import keys
from gateway.store.admission import allowance_of, queue_position_of
from gateway.store.base import AdmissionLimits, Allowance, QueuePosition
from gateway.store.jobs import RedisJobStore
from tests.gateway.store.conftest import Accept, new_job
from tests.gateway.store.test_fairness import Line, line

__all__ = ["line"]
SUBMIT = RoleLimits(slots=4, lane_slots=2, lease_ms=60_000)


def counted(**more: object) -> str:
    found: dict[str, object] = {
        "rank": 0, "in_lane": 1, "weight": 1, "waiting": 1, "lanes": 0, "idle_ms": 0, "stopped": False
    }  # fmt: skip
    return json.dumps(found | more)


def test_a_job_that_does_not_wait_has_no_queue_position() -> None:
    assert queue_position_of("", SUBMIT) is None


def test_nothing_is_said_of_the_time_before_anything_is_known() -> None:
    assert queue_position_of(counted(), SUBMIT) == QueuePosition(0, 0, None)


@pytest.mark.parametrize(
    ("more", "ahead"),
    [
        ({"rank": 3, "in_lane": 5, "waiting": 5}, 3),
        ({"rank": 3, "in_lane": 5, "waiting": 1005, "lanes": 1}, 7),
        ({"rank": 3, "in_lane": 5, "waiting": 6, "lanes": 1}, 4),
        ({"rank": 3, "in_lane": 5, "waiting": 1005, "lanes": 10, "weight": 4}, 13),
    ],
    ids=["alone", "another", "another that has one", "ten, of which it weighs four"],
)
def test_of_others_about_as_many_are_ahead_as_take_turns_meanwhile(more: dict[str, int], ahead: int) -> None:
    place = queue_position_of(counted(**more), SUBMIT)
    assert place
    assert place.ahead == ahead


@pytest.mark.parametrize(
    ("more", "seconds"),
    [
        ({"rank": 9, "in_lane": 10, "waiting": 10, "pace_ms": 2000}, 20),
        ({"rank": 9, "in_lane": 10, "waiting": 10, "pace_ms": 2000, "idle_ms": 1500}, 19),
        ({"rank": 9, "in_lane": 10, "waiting": 10, "pace_ms": 2000, "idle_ms": 40000}, 180),
        ({"rank": 0, "pace_ms": 2000, "idle_ms": 2000}, 0),
        ({"rank": 9, "in_lane": 10, "waiting": 10, "mean_ms": 60000}, 270),
        ({"rank": 9, "in_lane": 10, "waiting": 10, "mean_ms": 60000, "slots": 1}, 540),
        ({"rank": 9, "in_lane": 10, "waiting": 10, "pace_ms": 2000, "mean_ms": 60000, "slots": 1}, 540),
    ],
    ids=["pace_ms", "on its way", "nothing moves", "any moment", "durations", "own cap", "cap before pace"],
)
def test_the_time_until_it_is_sent_follows_from_what_was_learned(more: dict[str, int], seconds: int) -> None:
    place = queue_position_of(counted(**more), SUBMIT)
    assert place
    assert place.eta_seconds == seconds


def test_while_nothing_is_sent_no_time_is_promised() -> None:
    assert queue_position_of(counted(pace_ms=2000, stopped=True), SUBMIT) == QueuePosition(0, 0, None)


async def test_a_job_learns_its_queue_position_when_it_is_accepted_and_later(
    line: Line, redis: Redis
) -> None:
    first = await line.post("acme")
    await line.post("zeta")
    waiting = new_job("acme")
    accepted = await line.jobs.accept(waiting, None, "", AdmissionLimits(queue_max=10))
    assert accepted.queue_position == QueuePosition(0, 1, None)
    assert await line.jobs.queue_positions([first, waiting]) == [None, QueuePosition(0, 1, None)]


async def test_the_pace_is_that_of_hand_outs_while_others_wait(line: Line, redis: Redis) -> None:
    for _ in range(12):
        await line.post("acme")
    for _ in range(10):  # as if one had been sent each second
        at = int((await redis.hget("{gw}:submit:pace", "at")) or 0)  # type: ignore[misc]
        await redis.hset("{gw}:submit:pace", "at", str(at - 1000))  # type: ignore[misc]
        await line.sent(1)
    learned = float((await redis.hget("{gw}:submit:pace", "ms")) or 0)  # type: ignore[misc]
    assert learned == pytest.approx(1000, rel=0.2)


async def test_the_time_in_which_nothing_waited_or_all_was_paused_is_no_pace(
    line: Line, redis: Redis
) -> None:
    await line.post("acme")
    await line.sent(1)
    await redis.hset("{gw}:submit:pace", "at", "0")  # type: ignore[misc]
    for _ in range(3):
        await line.post("acme")
    assert await redis.hget("{gw}:submit:pace", "ms") is None  # type: ignore[misc]
    await line.lanes.pause_all("a while", "key1")
    await redis.hset("{gw}:submit:pace", "at", "0")  # type: ignore[misc]
    await line.sent(1)
    await line.lanes.resume_all("key1")
    assert await redis.hget("{gw}:submit:pace", "ms") is None  # type: ignore[misc]


# -- what a tenant may post


async def test_a_tenant_that_posts_too_fast_hears_when_the_next_may_come(
    redis: Redis, jobs: RedisJobStore
) -> None:
    left = []
    for _ in range(3):
        accepted = await jobs.accept(new_job(), None, "", AdmissionLimits(queue_max=100, rate=0.1, burst=3))
        assert accepted.allowance
        left.append(accepted.allowance.left)
    assert left == [2, 1, 0]
    late = new_job()
    with pytest.raises(RateLimited) as refused:
        await jobs.accept(late, None, "", AdmissionLimits(queue_max=100, rate=0.1, burst=3))
    assert 9 <= refused.value.retry_after_seconds <= 10
    assert refused.value.allowance == Allowance(3, 30, 0, 30, refused.value.retry_after_seconds)
    assert await jobs.read(late.id) is None
    await jobs.accept(new_job("zeta"), None, "", AdmissionLimits(queue_max=100, rate=0.1, burst=3))


async def test_a_refusal_costs_nothing_and_time_gives_the_allowance_back(
    redis: Redis, jobs: RedisJobStore
) -> None:
    for _ in range(2):
        await jobs.accept(new_job(), None, "", AdmissionLimits(queue_max=100, rate=1, burst=2))
    for _ in range(20):
        with pytest.raises(RateLimited):
            await jobs.accept(new_job(), None, "", AdmissionLimits(queue_max=100, rate=1, burst=2))
    key = "{gw}:tenant:acme:tat"
    await redis.set(key, str(float((await redis.get(key)) or 0) - 1000))
    await jobs.accept(new_job(), None, "", AdmissionLimits(queue_max=100, rate=1, burst=2))


async def test_the_same_request_again_is_never_too_fast(jobs: RedisJobStore) -> None:
    first = new_job(idempotency="key")
    await jobs.accept(first, None, "f", AdmissionLimits(queue_max=100, rate=0.001, burst=1))
    again = await jobs.accept(
        new_job(idempotency="key"), None, "f", AdmissionLimits(queue_max=100, rate=0.001, burst=1)
    )
    assert (again.job_id, again.replayed) == (first.id, True)


async def test_what_a_tenant_was_given_goes_before_what_all_have(
    redis: Redis, accept: Accept, jobs: RedisJobStore
) -> None:
    await redis.hset(  # type: ignore[misc]
        keys.tenant_settings("acme"), mapping={"queue_max": "1", "rate": "0.001", "burst": "4"}
    )
    for _ in range(3):  # two are sent at once
        await accept()
    with pytest.raises(LimitReached, match="1 of this tenant's jobs are waiting, and 1 are allowed"):
        await jobs.accept(new_job(), None, "", AdmissionLimits(queue_max=100))
    await redis.hset(keys.tenant_settings("acme"), "queue_max", "100")  # type: ignore[misc]
    await accept()
    with pytest.raises(RateLimited):
        await jobs.accept(new_job(), None, "", AdmissionLimits(queue_max=100))


def test_an_allowance_is_shown_in_whole_seconds_upwards() -> None:
    assert allowance_of("") is None
    known = {"rate": 0.3, "burst": 10, "left": 4, "reset_ms": 20_001, "wait_ms": 1}
    assert allowance_of(json.dumps(known)) == Allowance(10, math.ceil(10 / 0.3), 4, 21, 1)
