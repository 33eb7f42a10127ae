"""Since when callbacks have demonstrably been able to reach us."""

from __future__ import annotations

from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.base import Callback, CallbackOutcome
from gateway.store.jobs import RedisJobStore
from tests.gateway.store.conftest import new_job

GAP_MS = 90_000


async def last_heard(redis: Redis, ms_ago: int, since_ms_ago: int) -> tuple[int, int]:
    seconds, _ = await redis.time()
    since, last = (seconds * 1000 - ago for ago in (since_ms_ago, ms_ago))
    path = {"since": since, "last": last}
    await redis.hset(keys.CALLBACK_PATH, mapping=path)  # type: ignore[misc]
    return since, last


async def test_nothing_is_known_before_the_first_word(jobs: RedisJobStore) -> None:
    witness = await jobs.witness()
    assert (witness.since, witness.last) == (None, None)


async def test_the_first_word_begins_a_stretch(jobs: RedisJobStore) -> None:
    await jobs.note_callback_path()
    witness = await jobs.witness()
    assert witness.since is not None
    assert witness.since == witness.last
    assert 0 <= witness.now - witness.since < 10_000


async def test_a_word_within_the_gap_goes_on_with_the_stretch(redis: Redis, jobs: RedisJobStore) -> None:
    since, last = await last_heard(redis, GAP_MS - 10_000, 3_600_000)
    await jobs.note_callback_path()
    witness = await jobs.witness()
    assert witness.since == since
    assert witness.last is not None
    assert witness.last > last


async def test_a_gap_begins_the_stretch_again(redis: Redis, jobs: RedisJobStore) -> None:
    await last_heard(redis, GAP_MS + 2_000, 3_600_000)
    await jobs.note_callback_path()
    witness = await jobs.witness()
    assert witness.since == witness.last


async def test_a_genuine_callback_proves_the_way_open_even_for_a_job_that_is_gone(
    jobs: RedisJobStore,
) -> None:
    assert await jobs.callback(Callback(new_job().id, "acme", 1, "completed")) is CallbackOutcome.ORPHAN
    assert (await jobs.witness()).last is not None
