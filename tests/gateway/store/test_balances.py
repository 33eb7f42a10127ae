"""What tenants reserved and spent, told apart by tenant, day and key; and what is left of their budgets."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from redis.asyncio import Redis

from gateway.money.budgets import Period
from gateway.store import balances as module
from gateway.store.balances import Balance, RedisBalances, TooMuch
from tests.gateway.store.accounting import add_balance, day_of, set_budgets

DEC = date(2026, 12, 1)


@pytest.fixture
def balances(redis: Redis) -> RedisBalances:
    return RedisBalances(redis)


async def test_a_report_tells_apart_what_is_asked_for_and_sums_up_the_rest(
    redis: Redis, balances: RedisBalances
) -> None:
    for tenant, day, key, charged in (
        ("acme", "2026-12-01", "a", 1),
        ("acme", "2026-12-02", "a", 20),
        ("acme", "2026-12-02", "b", 300),
        ("other", "2026-12-02", "c", 4000),
        ("other", "2026-12-03", "c", 50_000),
    ):
        await add_balance(redis, tenant, day, key=key, charged=charged, jobs=1)

    async def told(*apart: str) -> list[tuple[object, ...]]:
        lines = await balances.usage(["acme", "other"], DEC, date(2026, 12, 2), apart)
        return [(*line.group, line.balance.charged, line.balance.jobs) for line in lines]

    assert await told() == [(None, None, None, 4321, 4)]
    assert await told("tenant") == [("acme", None, None, 321, 3), ("other", None, None, 4000, 1)]
    assert await told("day") == [(None, "2026-12-01", None, 1, 1), (None, "2026-12-02", None, 4320, 3)]
    assert await told("key") == [
        (None, None, "a", 21, 2), (None, None, "b", 300, 1), (None, None, "c", 4000, 1)
    ]  # fmt: skip
    assert await told("tenant", "day", "key") == [
        ("acme", "2026-12-01", "a", 1, 1),
        ("acme", "2026-12-02", "a", 20, 1),
        ("acme", "2026-12-02", "b", 300, 1),
        ("other", "2026-12-02", "c", 4000, 1),
    ]


async def test_a_report_that_would_read_too_much_is_refused_before_it_reads(
    balances: RedisBalances, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_READS", 4)
    assert await balances.usage(["acme", "other"], DEC, date(2026, 12, 2), {"day"}) == []
    with pytest.raises(TooMuch):
        await balances.usage(["acme", "other"], DEC, date(2026, 12, 3), {"day"})


async def test_a_budget_is_compared_with_what_its_running_period_reserved_charged_and_has_in_suspense(
    redis: Redis, balances: RedisBalances
) -> None:
    today, yesterday = day_of(), day_of(1)
    await add_balance(redis, "acme", today, key="a", reserved=1, charged=20, suspense=300, wasted=20)
    await add_balance(redis, "acme", yesterday, key="b", charged=5000)
    await set_budgets(
        redis, "acme", {"budget_day": "1000|hard", "budget_total": "6000|soft", "budget_day:b": "10|hard"}
    )
    await set_budgets(redis, "other", {"weight": "3"})
    found = await balances.budgets(["acme", "other", "nobody"])
    assert [
        (one.tenant, one.key, one.period, one.budget.hard, one.balance.used, one.left) for one in found
    ] == [
        ("acme", None, Period.DAY, True, 321, 679),
        ("acme", None, Period.TOTAL, False, 5321, 679),
        ("acme", "b", Period.DAY, True, 0, 10),
    ]
    day, total, _ = found
    assert day.until is not None
    assert datetime.fromtimestamp(day.until / 1000, UTC).strftime("%H:%M:%S") == "00:00:00"
    assert 0 <= day.share < 1
    assert (total.until, total.share, total.name) == (None, 0.0, "total")


async def test_a_budget_that_is_exceeded_has_nothing_left(redis: Redis, balances: RedisBalances) -> None:
    await add_balance(redis, "acme", day_of(), charged=30)
    await set_budgets(redis, "acme", {"budget_month": "20|soft"})
    [budget] = await balances.budgets(["acme"])
    assert (budget.balance.charged, budget.left, budget.name) == (30, 0, day_of()[:7])


def test_jobs_that_did_not_end_yet_are_the_rest() -> None:
    assert Balance(jobs=10, completed=3, failed=2, canceled=1).unfinished == 4


async def test_a_large_report_of_a_page_is_read_once_in_ten_seconds_and_a_small_one_each_time(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    balances = RedisBalances(redis, lambda: now[0])

    async def charged(tenants: list[str]) -> int:
        lines = await balances.recent_usage(tenants, DEC, date(2026, 12, 2), ())
        return sum(line.balance.charged for line in lines)

    async def spend() -> None:
        await add_balance(redis, "acme", "2026-12-01", charged=1)

    await spend()
    assert await charged(["acme"]) == 1
    await spend()
    assert await charged(["acme"]) == 2
    monkeypatch.setattr(module, "_AT_ONCE", 3)
    many = ["acme", "other"]
    assert await charged(many) == 2
    await spend()
    assert await charged(many) == 2
    assert await charged(["acme", "third"]) == 3  # another report
    now[0] += 10
    assert await charged(many) == 3
