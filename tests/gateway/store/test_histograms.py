"""How long things take: counted in the scripts, shown as histograms and as parts of all."""

from __future__ import annotations

import re
from importlib import resources

import pytest
from redis.asyncio import Redis

from gateway.dispatch import Role
from gateway.jobs import confirm_ticket, submit_ticket
from gateway.lifecycle import JobEvent
from gateway.store import keys
from gateway.store.effects import Finish
from gateway.store.histograms import BOUNDS, quantile, timing_of, timings_of
from gateway.store.jobs import RedisJobStore
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import Accept, held

ZERO = (0,) * (len(BOUNDS) + 1)


def counts(**at: int) -> tuple[int, ...]:
    """`s5=3`: three that took up to 5 s; `more=1`: longer than all bounds."""
    found = list(ZERO)
    for name, number in at.items():
        found[-1 if name == "more" else BOUNDS.index(float(name[1:]))] = number
    return tuple(found)


def test_the_scripts_count_by_the_same_bounds() -> None:
    text = (resources.files("gateway.store") / "scripts" / "lib" / "log.lua").read_text()
    listed = re.search(r"local BOUNDS = \{[^\n]*\n(.*?)\}", text, re.DOTALL)
    assert listed
    assert [int(number) / 1000 for number in re.findall(r"\d+", listed[1])] == list(BOUNDS)


async def test_the_wait_of_what_is_dispatched_is_counted(redis: Redis, accept: Accept) -> None:
    for _ in range(3):  # two of them have a slot at once
        await accept()
    waits = timings_of(await redis.hgetall(keys.TIMINGS))[f"wait:{Role.SUBMIT}"]  # type: ignore[misc]
    assert (waits.total, waits.seconds) == (2, 0)


async def test_a_job_s_time_is_counted_once_when_it_ends(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await accept()
    await redis.hset(keys.job(job.id), "created_at", str(job.created_at - 4000))  # type: ignore[misc]
    await held(redis, Role.SUBMIT, job.id)
    end = Transition(JobEvent.CANCEL_REQUESTED, effects=[Finish([submit_ticket(job), confirm_ticket(job)])])
    for _ in range(2):
        await jobs.apply(job, end)
    told = timings_of(await redis.hgetall(keys.TIMINGS))["job"]  # type: ignore[misc]
    assert told.total == 1
    assert told.seconds == pytest.approx(4, abs=0.9)
    assert told.counts[BOUNDS.index(5)] == 1


def test_a_timing_is_read_as_it_is_written() -> None:
    found = timing_of({"5": 2, "21600000": 1, "inf": 4, "sum": 1500})
    assert (found.counts[0], found.counts[-2:], found.total, found.seconds) == (2, (1, 4), 7, 1.5)


@pytest.mark.parametrize(
    ("after", "part", "seconds"),
    [
        (ZERO, 0.5, None),
        (counts(s5=4), 0.5, 3.75),
        (counts(s5=4), 1.0, 5.0),
        (counts(s1=9, s60=1), 0.95, 45.0),
        (counts(s1=9, s60=1), 0.5, 0.5 + 0.5 * 5 / 9),
        (counts(more=3), 0.5, BOUNDS[-1]),
    ],
)
def test_a_part_of_all_is_over_within_so_many_seconds(
    after: tuple[int, ...], part: float, seconds: float | None
) -> None:
    assert quantile(ZERO, after, part) == (None if seconds is None else pytest.approx(seconds))


def test_only_what_came_between_two_readings_counts() -> None:
    assert quantile(counts(s5=100), counts(s5=100, s60=1), 0.5) == pytest.approx(45)
    assert quantile(counts(s5=1), counts(s5=1), 0.5) is None
