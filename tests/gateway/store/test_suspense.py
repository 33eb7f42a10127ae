"""The list of jobs that may have been paid, page by page."""

from __future__ import annotations

from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.suspense import RedisSuspense


async def test_jobs_are_listed_longest_in_suspense_first_page_by_page_also_those_of_one_moment(
    redis: Redis,
) -> None:
    jobs = [("job_c", 1), ("job_a", 2), ("job_b", 2), ("job_d", 3)]
    for name, at in jobs:
        await redis.hset(keys.job(name), mapping={"tenant": "acme", "suspense": 275_000 + at})  # type: ignore[misc]
        await redis.zadd(keys.SUSPENSE, {name: at})
    await redis.zadd(keys.SUSPENSE, {"job_gone": 9})
    store, after, found = RedisSuspense(redis), None, list[tuple[str, int, int]]()
    for number in range(5):
        page, more = await store.page(after, 1)
        found += [(one.job_id, one.since, one.amount) for one in page]
        if not page:
            break
        assert more == (number < 4)
        after = page[-1].since, page[-1].job_id
    assert found == [(name, at, 275_000 + at) for name, at in jobs]
