"""The summary for metrics and alarms: who spends most, and which budgets will not last."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis.asyncio import Redis

from gateway.media.folder import FolderStore
from gateway.money.budgets import Budget, Period
from gateway.store import balances, keys, spend
from gateway.store.balances import Balance, BudgetState, RedisBalances
from gateway.store.ledger import RedisLedger
from gateway.store.ledger_check import LedgerCheck
from gateway.store.script_runner import Scripts
from gateway.store.spend import RedisSpend, SoonSpent, Spend, TenantSpend, soon_spent
from tests.gateway.store.accounting import add_balance, day_of, set_budgets, write_entry

DAY_MS = 86_400_000


@pytest.fixture
def spending(redis: Redis, scripts: Scripts, tmp_path: Path) -> RedisSpend:
    check = LedgerCheck(redis, RedisLedger(redis, scripts, FolderStore(tmp_path)))
    return RedisSpend(redis, RedisBalances(redis), check)


def state(
    used: int, share: float, period: Period = Period.DAY, *, limit: int = 100, until: int | None = DAY_MS
) -> BudgetState:
    return BudgetState(
        "acme", None, period, "x", Budget(limit, hard=True), Balance(charged=used), until, share
    )


@pytest.mark.parametrize(
    ("used", "share", "at"),
    [
        (49, 0.1, None),  # not half of it yet
        (50, 0.5, None),  # just right
        (51, 0.5, DAY_MS * 50 // 51),
        (60, 0.25, DAY_MS * 25 // 60),
        (99, 0.999, None),
        (100, 0.5, DAY_MS // 2),
        (150, 0.999, int(DAY_MS * 0.999)),
    ],
)
def test_a_budget_will_not_last_if_more_of_it_is_used_than_of_its_period(
    used: int, share: float, at: int | None
) -> None:
    found = soon_spent(state(used, share), int(share * DAY_MS))
    assert (found is None) == (at is None)
    if found is not None and at is not None:
        assert found.at is not None
        assert abs(found.at - at) < DAY_MS // 100


def test_a_budget_without_an_end_is_named_when_little_is_left() -> None:
    assert soon_spent(state(79, 0.0, Period.TOTAL, until=None), 5) is None
    assert soon_spent(state(80, 0.0, Period.TOTAL, until=None), 5) == SoonSpent(
        "acme", None, "total", 100, 80, None
    )


@pytest.mark.parametrize(("period", "until"), [(Period.DAY, DAY_MS), (Period.TOTAL, None)])
def test_a_budget_of_nothing_is_named_only_when_something_was_used(period: Period, until: int | None) -> None:
    assert soon_spent(state(0, 0.5, period, limit=0, until=until), 0) is None
    found = soon_spent(state(1, 0.0, period, limit=0, until=until), 0)
    assert found is not None
    assert found.at == (None if until is None else 0)


async def test_those_that_were_charged_most_are_named_and_all_others_are_summed_up(
    redis: Redis, spending: RedisSpend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spend, "MOST_TENANTS", 2)
    for tenant, charged in (("a", 1), ("b", 30), ("c", 20), ("d", 2), ("idle", 0)):
        await add_balance(redis, tenant, day_of(), charged=charged, reserved=charged)
    found = await spending.sum_up()
    assert found.tenants == [TenantSpend("b", 30, 30), TenantSpend("c", 20, 20), TenantSpend("", 3, 3)]
    assert (await spending.read()).spend == found


async def test_budgets_that_will_not_last_and_the_drift_of_two_days_are_in_the_summary(
    redis: Redis, spending: RedisSpend
) -> None:
    await add_balance(redis, "acme", day_of(), charged=110, dearer=10)
    await add_balance(redis, "acme", day_of(1), charged=110, dearer=10)
    await add_balance(redis, "acme", day_of(2), charged=1000, dearer=900)
    await set_budgets(redis, "acme", {"budget_day": "100|hard", "budget_total": "100000|soft"})
    found = await spending.sum_up()
    assert [(one.tenant, one.period, one.used) for one in found.soon] == [("acme", "day", 110)]
    assert (found.soon_total, found.drift) == (1, 0.1)
    assert Spend.load(found.dump().decode()) == found


async def test_the_days_of_more_tenants_than_one_report_takes_are_summed_up(
    redis: Redis, spending: RedisSpend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(balances, "MOST_READS", 4)
    for tenant in ("a", "b", "c"):
        await add_balance(redis, tenant, day_of(), charged=5)
        await add_balance(redis, tenant, day_of(1), charged=2)
    assert (await spending.sum_up()).charged == 21


async def test_the_last_comparison_and_the_suspense_are_read_with_it(
    redis: Redis, scripts: Scripts, spending: RedisSpend
) -> None:
    assert (await spending.read()).check is None
    await write_entry(redis, "reserve", 5)
    await redis.zadd(keys.TENANTS, {"acme": 0})
    today = await RedisLedger(redis, scripts, FolderStore(Path("/nowhere"))).today()
    checked = await spending.check(today)
    assert checked.different == 4  # of the tenant and its key, in a day and a month
    now = (await redis.time())[0] * 1000
    await redis.set(keys.LEDGER_CHECKED, f'{{"at": {now - 90_000}, "different": 4}}')
    await redis.zadd(keys.SUSPENSE, {"job_1": now - 90_000, "job_2": now})
    found = await spending.read()
    assert found.check is not None
    assert (found.check.different, found.suspended) == (4, 2)
    assert 89 < found.checked_seconds < 200
    assert 89 < found.suspense_seconds < 200
