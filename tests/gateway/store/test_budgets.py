"""Budgets of money, as accept.lua keeps them: by tenant and key, for a day, a month and in all."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from gateway.environment import Environment
from gateway.errors import BudgetExceeded, PriceUnknown
from gateway.jobs import Job
from gateway.money.budgets import Period
from gateway.store import keys
from gateway.store.base import AdmissionLimits
from gateway.store.jobs import RedisJobStore
from gateway.store.script_library import parts, tables
from tests.books import PRICE, PRICED, amounts, balances, check, entries, set_budget, today
from tests.gateway.store.conftest import Accept, new_job

LIMITS = AdmissionLimits(queue_max=1000)


async def notices(redis: Redis) -> list[dict[str, str]]:
    """The thresholds of which operators were told, oldest first."""
    found = await redis.xrange(keys.OPS_EVENTS)
    return [fields for _, fields in found if fields["kind"] == "budget_threshold"]


@pytest.mark.parametrize("period", Period)
@pytest.mark.parametrize("key", ["", "k1"])
async def test_a_hard_budget_is_kept_to_the_last_micro_unit(
    redis: Redis, accept: Accept, period: str, key: str
) -> None:
    await set_budget(redis, 3 * PRICE, period, key=key)
    for _ in range(3):
        await accept(**PRICED)
    with pytest.raises(BudgetExceeded) as refused:
        await accept(**PRICED)
    error = refused.value
    assert error.budget == f"{'key' if key else 'tenant'} {period}"
    assert (error.limit, error.spent, error.reserved, error.estimate) == (
        "0.8250",
        "0.0000",
        "0.8250",
        "0.2750",
    )
    assert await amounts(redis) == {"reserved": 3 * PRICE}
    assert await redis.zcard(keys.tenant_jobs("acme", new_job().state)) == 3
    await check(redis)


async def test_a_budget_of_one_key_does_not_bind_the_others(redis: Redis, accept: Accept) -> None:
    await set_budget(redis, PRICE, key="k1")
    await accept(**PRICED)
    with pytest.raises(BudgetExceeded):
        await accept(**PRICED)
    await accept(**{**PRICED, "key": "k2"})
    assert await amounts(redis, whose="k2") == {"reserved": PRICE}


async def test_a_budget_of_one_tenant_does_not_bind_the_others(redis: Redis, accept: Accept) -> None:
    await set_budget(redis, 0)
    with pytest.raises(BudgetExceeded):
        await accept(**PRICED)
    await accept("globex", **PRICED)


async def test_a_limit_below_what_is_spent_refuses_and_a_higher_one_works_at_once(
    redis: Redis, accept: Accept
) -> None:
    for _ in range(2):
        await accept(**PRICED)
    await set_budget(redis, PRICE)
    with pytest.raises(BudgetExceeded) as refused:
        await accept(**PRICED)
    assert (refused.value.limit, refused.value.reserved) == ("0.2750", "0.5500")
    await set_budget(redis, 3 * PRICE)
    await accept(**PRICED)
    await check(redis)


async def test_a_hard_budget_refuses_a_job_without_a_price(redis: Redis, accept: Accept) -> None:
    await set_budget(redis, 100 * PRICE, "month")
    with pytest.raises(PriceUnknown) as refused:
        await accept(key="k1")
    assert refused.value.budget == "tenant month"
    await set_budget(redis, 0, "month", hard=False)
    await accept(key="k1")


async def test_a_soft_budget_refuses_nothing_and_tells_each_threshold_once(
    redis: Redis, accept: Accept
) -> None:
    await set_budget(redis, 10 * PRICE, hard=False)
    for _ in range(12):
        await accept(**PRICED)
    assert [one["percent"] for one in await notices(redis)] == ["50", "80", "100"]
    day = (await today(redis))[Period.DAY]
    first, *_ = await notices(redis)
    assert {**first, "at": ""} == {
        "kind": "budget_threshold",
        "at": "",
        "tenant": "acme",
        "budget": "tenant day",
        "key": "*",
        "period": day,
        "limit": str(10 * PRICE),
        "used": str(5 * PRICE),
        "percent": "50",
    }


async def test_a_raised_budget_tells_its_own_thresholds(redis: Redis, accept: Accept) -> None:
    for limit in (2 * PRICE, 4 * PRICE):
        await set_budget(redis, limit)
        for _ in range(2):
            await accept(**PRICED)
    found = [(one["limit"], one["percent"]) for one in await notices(redis)]
    low, high = str(2 * PRICE), str(4 * PRICE)
    assert found == [(low, "50"), (low, "100"), (high, "50"), (high, "100")]


async def test_a_budget_of_0_has_no_thresholds(redis: Redis, accept: Accept) -> None:
    await set_budget(redis, 0)
    with pytest.raises(BudgetExceeded):
        await accept(**PRICED)
    await set_budget(redis, 0, hard=False)
    await accept(**PRICED)
    assert await notices(redis) == []


async def test_a_threshold_that_is_jumped_over_is_not_told(redis: Redis, accept: Accept) -> None:
    await set_budget(redis, PRICE, key="k1", hard=False)
    await accept(**PRICED)
    [told] = await notices(redis)
    assert (told["percent"], told["key"]) == ("100", "k1")


async def test_a_refused_job_silences_no_threshold(redis: Redis, accept: Accept) -> None:
    """It spends nothing, however dear it would have been."""
    await set_budget(redis, 2 * PRICE)
    for _ in range(3):
        with pytest.raises(BudgetExceeded):
            await accept(**{**PRICED, "estimate": 9 * PRICE})
    assert await notices(redis) == []
    for _ in range(2):
        await accept(**PRICED)
    assert [one["percent"] for one in await notices(redis)] == ["50", "100"]
    assert await redis.hget(keys.TALLY, "budget_refusals|tenant day") == "3"  # type: ignore[misc]


async def test_a_refusal_below_a_new_limit_tells_that_the_budget_is_used_up(
    redis: Redis, accept: Accept
) -> None:
    for _ in range(2):
        await accept(**PRICED)
    await set_budget(redis, PRICE)
    for _ in range(2):
        with pytest.raises(BudgetExceeded):
            await accept(**PRICED)
    assert [(one["percent"], one["used"]) for one in await notices(redis)] == [("100", str(2 * PRICE))]


async def test_a_check_reserves_nothing_and_refuses_the_same(redis: Redis, jobs: RedisJobStore) -> None:
    await set_budget(redis, PRICE)
    await jobs.accept(new_job(**PRICED), None, "f", LIMITS, check_only=True)
    assert (await entries(redis), await notices(redis)) == ([], [])
    await jobs.accept(new_job(**PRICED), None, "f", LIMITS)
    with pytest.raises(BudgetExceeded):
        await jobs.accept(new_job(**PRICED), None, "f", LIMITS, check_only=True)


async def test_a_refusal_before_the_media_are_stored_is_counted(redis: Redis, jobs: RedisJobStore) -> None:
    await set_budget(redis, 0)
    with pytest.raises(BudgetExceeded):
        await jobs.accept(new_job(**PRICED), None, "f", LIMITS, check_only=True)
    assert await redis.hget(keys.TALLY, "budget_refusals|tenant day") == "1"  # type: ignore[misc]


async def test_a_replay_costs_nothing_even_when_the_budget_is_used_up(
    redis: Redis, jobs: RedisJobStore
) -> None:
    await set_budget(redis, PRICE)
    job = new_job(idempotency="digest", **PRICED)
    await jobs.accept(job, None, "f", LIMITS)
    for repeated in (job, new_job(idempotency="digest", **PRICED)):
        assert (await jobs.accept(repeated, None, "f", LIMITS)).job_id == job.id
    assert await amounts(redis) == {"reserved": PRICE}


async def test_a_refused_job_leaves_nothing_behind(redis: Redis, jobs: RedisJobStore) -> None:
    await set_budget(redis, PRICE - 1)
    before = {key async for key in redis.scan_iter("*")}
    job = new_job(idempotency="digest", **PRICED)
    with pytest.raises(BudgetExceeded):
        await jobs.accept(job, "payload", "f", LIMITS)
    after = {key async for key in redis.scan_iter("*")}
    assert after - before == {keys.TALLY}


async def test_the_clock_of_the_store_says_to_which_day_a_job_belongs(redis: Redis, accept: Accept) -> None:
    """Gateways whose clocks jump over midnight, in both directions, share one budget of the day."""
    await set_budget(redis, 3 * PRICE)
    now = Environment().now_ms()
    for ahead in (-86_400_000, 0, 86_400_000):
        await accept(**PRICED, created_at=now + ahead)
    with pytest.raises(BudgetExceeded):
        await accept(**PRICED, created_at=now + 40 * 86_400_000)
    day = (await today(redis))[Period.DAY]
    assert {entry.period for entry in await entries(redis)} == {day}
    await check(redis)


async def test_jobs_are_counted_in_the_day_of_their_acceptance(redis: Redis, accept: Accept) -> None:
    await accept(**PRICED)
    await accept()
    found = await balances(redis, "jobs")
    day = (await today(redis))[Period.DAY]
    assert found == {("acme", "*", day, "jobs"): 2, ("acme", "k1", day, "jobs"): 1}


async def test_many_posts_at_once_never_exceed_a_budget(redis: Redis, jobs: RedisJobStore) -> None:
    await set_budget(redis, 10 * PRICE)

    async def post() -> Job | None:
        job = new_job(**PRICED)
        try:
            await jobs.accept(job, None, "f", LIMITS)
        except BudgetExceeded:
            return None
        return job

    found = await asyncio.gather(*(post() for _ in range(60)))
    assert sum(job is not None for job in found) == 10
    await check(redis)


async def test_a_budget_of_a_total_is_not_renewed_by_another_day(redis: Redis, accept: Accept) -> None:
    names = await today(redis)
    await set_budget(redis, 2 * PRICE, "total")
    await redis.hset(keys.balance("acme", "total"), "*|charged", str(PRICE))  # type: ignore[misc]
    await accept(**PRICED)
    with pytest.raises(BudgetExceeded) as refused:
        await accept(**PRICED)
    assert (refused.value.spent, refused.value.reserved) == ("0.2750", "0.2750")
    assert names[Period.TOTAL] == "total"


@pytest.mark.parametrize(
    ("ms", "day"),
    [
        (0, "1970-01-01"),
        (951_782_399_999, "2000-02-28"),
        (951_782_400_000, "2000-02-29"),
        (951_868_800_000, "2000-03-01"),
        (1_735_689_599_999, "2024-12-31"),
        (1_735_689_600_000, "2025-01-01"),
        (1_798_761_599_999, "2026-12-31"),
        (4_107_542_400_000, "2100-03-01"),
    ],
)
async def test_days_begin_at_midnight_utc(redis: Redis, ms: int, day: str) -> None:
    """A job that was lost is rebuilt on the day of its own id, so the day is computed in Lua."""
    text = f"{tables(parts())}call.begin()\nreturn money.day_of({ms})"
    assert await redis.eval(text, 0) == day  # type: ignore[misc]
