"""A request that a client sends again without an idempotency key finds the job of an earlier attempt."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from gateway.errors import LimitReached
from gateway.jobs import Job
from gateway.store.attempt import Attempt
from gateway.store.base import Admission, AdmissionLimits
from gateway.store.jobs import RedisJobStore
from tests.gateway.store.conftest import new_job

LIMITS = AdmissionLimits(queue_max=100)
ATTEMPTS = "{gw}:tenant:acme:attempts:*"


async def post(
    jobs: RedisJobStore, number: int, digest: str = "d", job: Job | None = None, for_ms: int = 900_000
) -> Admission:
    attempt = Attempt(digest, number, for_ms)
    return await jobs.accept(job or new_job(), None, "", LIMITS, attempt=attempt)


async def test_first_attempts_are_never_folded(jobs: RedisJobStore) -> None:
    made = [await post(jobs, 0) for _ in range(3)]
    assert not any(one.replayed for one in made)
    assert len({one.job_id for one in made}) == 3


async def test_every_further_attempt_finds_the_same_job(jobs: RedisJobStore) -> None:
    first = await post(jobs, 0)
    for number in (1, 2, 5):
        again = await post(jobs, number)
        assert (again.job_id, again.replayed) == (first.job_id, True)


async def test_a_retry_whose_first_attempt_never_arrived_makes_a_job_that_the_next_one_finds(
    jobs: RedisJobStore,
) -> None:
    second = await post(jobs, 1)
    assert not second.replayed
    assert (await post(jobs, 2)).job_id == second.job_id


async def test_one_job_is_found_by_one_retry_of_each_number(jobs: RedisJobStore) -> None:
    made = {(await post(jobs, 0)).job_id for _ in range(4)}
    found = await asyncio.gather(*(post(jobs, 1) for _ in range(4)))
    assert {one.job_id for one in found} == made
    assert not (await post(jobs, 1)).replayed


async def test_of_several_jobs_the_newest_is_found(jobs: RedisJobStore) -> None:
    """A client that posts one after the other has read the answers before the last."""
    older = [await post(jobs, 0) for _ in range(2)]
    await asyncio.sleep(0.005)  # scores are milliseconds
    newest = await post(jobs, 0)
    assert (await post(jobs, 1)).job_id == newest.job_id
    assert newest.job_id not in {one.job_id for one in older}


async def test_the_job_of_the_attempt_before_comes_first(jobs: RedisJobStore) -> None:
    mine = await post(jobs, 0)
    assert (await post(jobs, 1)).job_id == mine.job_id
    await post(jobs, 0)  # newer, but of another request
    assert (await post(jobs, 2)).job_id == mine.job_id


@pytest.mark.parametrize("other", ["digest", "tenant"])
async def test_another_request_or_tenant_is_another_job(jobs: RedisJobStore, other: str) -> None:
    await post(jobs, 0)
    digest, tenant = ("other", "acme") if other == "digest" else ("d", "zeta")
    assert not (await post(jobs, 1, digest, new_job(tenant))).replayed


async def test_an_attempt_that_is_asked_again_has_the_same_answer(jobs: RedisJobStore) -> None:
    """The store's answer may be lost, and then the same call is made again."""
    first = await post(jobs, 0)
    retry = new_job()
    for _ in range(2):
        assert (await post(jobs, 1, job=retry)).job_id == first.job_id
    fresh = new_job()
    for _ in range(2):
        assert (await post(jobs, 1, "other", fresh)).job_id == fresh.id


async def test_a_check_finds_it_too_and_a_full_queue_does_not_hide_it(jobs: RedisJobStore) -> None:
    first = await post(jobs, 0)
    full, attempt = AdmissionLimits(queue_max=0), Attempt("d", 1)
    found = await jobs.accept(new_job(), None, "", full, check_only=True, attempt=attempt)
    assert (found.job_id, found.replayed) == (first.job_id, True)
    with pytest.raises(LimitReached):
        await jobs.accept(new_job(), None, "", full, check_only=True, attempt=Attempt("other", 1))


async def test_a_check_alone_is_no_attempt(jobs: RedisJobStore) -> None:
    await jobs.accept(new_job(), None, "", LIMITS, check_only=True, attempt=Attempt("d", 0))
    assert not (await post(jobs, 1)).replayed


async def test_what_is_too_old_is_not_found_and_not_kept(jobs: RedisJobStore, redis: Redis) -> None:
    first = await post(jobs, 0, for_ms=60_000)
    [key] = await redis.keys(ATTEMPTS)
    assert 0 < await redis.pttl(key) <= 60_000
    await redis.zincrby(key, -60_001, first.job_id)
    assert not (await post(jobs, 1, for_ms=60_000)).replayed
    await post(jobs, 0, for_ms=60_000)
    assert first.job_id not in await redis.zrange(key, 0, -1)
