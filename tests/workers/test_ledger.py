"""The care for the ledger goes on by itself, and one step that fails does not hinder the others."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from gateway.errors import MediaStoreUnavailable
from gateway.money.amounts import to_text
from gateway.store import keys
from gateway.store.spend import Spend
from gateway.upstream.base import Found
from tests.books import PRICE, PRICED
from tests.gateway.store.accounting import add_balance, day_of, write_entry
from tests.workers.conftest import Rig, end, eventually
from tests.workers.scripted import completed
from workers import ledger
from workers.ledger import LedgerKeeper


@pytest.fixture
def keeper(rig: Rig) -> LedgerKeeper:
    r = rig.resources
    return LedgerKeeper(r.spend, r.ledger, r.ledger_archive, r.scripts)


async def test_closed_days_move_while_it_runs(
    rig: Rig, keeper: LedgerKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "PAUSE_SECONDS", 0.01)
    redis = rig.resources.redis
    await rig.resources.media.mark()
    await write_entry(redis, "reserve", 1, day=day_of(3))
    task = asyncio.create_task(keeper.run())

    async def moved() -> bool:
        return bool(await redis.hexists(keys.LEDGER_MOVED, day_of(3)))  # type: ignore[misc]

    await eventually(moved)
    await end(task)


async def test_without_a_media_store_figures_are_summed_up_and_old_days_removed_all_the_same(
    rig: Rig, keeper: LedgerKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "PAUSE_SECONDS", 0.01)
    redis, media = rig.resources.redis, rig.resources.media

    async def away(key: str, raw: bytes) -> None:
        raise MediaStoreUnavailable("no connection to the bucket")

    monkeypatch.setattr(type(media), "put", lambda _, key, raw: away(key, raw))
    await write_entry(redis, "reserve", 1, day=day_of(3))
    await add_balance(redis, "acme", day_of(), charged=5)

    await redis.set(keys.LEDGER_SINCE, day_of(rig.resources.settings.ledger_days + 1))
    await write_entry(redis, "reserve", 1, day=day_of(rig.resources.settings.ledger_days + 1))

    async def waits() -> bool:
        return any(one["event"] == "ledger_waits" for one in logs)

    async def old_is_removed() -> bool:
        return not await redis.exists(keys.ledger(day_of(rig.resources.settings.ledger_days + 1)))

    with capture_logs() as logs:
        task = asyncio.create_task(keeper.run())
        await eventually(lambda: redis.exists(keys.SPEND, keys.LEDGER_CHECKED))
        await eventually(waits)
        await eventually(old_is_removed)
        await end(task)
    assert Spend.load(str(await redis.get(keys.SPEND))).tenants[0].charged == 5
    assert await redis.exists(keys.ledger(day_of(3)))


async def test_each_step_is_done_by_one_process_at_a_time(keeper: LedgerKeeper, rig: Rig) -> None:
    await keeper.sum_up()
    await rig.resources.redis.delete(keys.SPEND)
    await keeper.sum_up()
    assert not await rig.resources.redis.exists(keys.SPEND)


async def test_balances_that_differ_from_the_ledger_are_logged_each_by_name(
    keeper: LedgerKeeper, rig: Rig
) -> None:
    await add_balance(rig.resources.redis, "acme", day_of(), key=None, charged=5)
    with capture_logs() as logs:
        await keeper.check()
    told = [one for one in logs if one["event"] == "ledger_differs"]
    assert {(one["tenant"], one["field"], one["ledger"], one["balance"]) for one in told} == {
        ("acme", "charged", 0, 5)
    }


@pytest.mark.parametrize(
    ("cost", "drift"),
    [
        (PRICE, (0, 0, 0)),
        (PRICE + 25_000, (0, 25_000, 0)),
        (PRICE - 100_000, (0, 0, 100_000)),
        (None, (PRICE, 0, 0)),
    ],
)
async def test_how_far_the_bill_is_from_the_estimate_is_counted_by_direction(
    rig: Rig, keeper: LedgerKeeper, cost: int | None, drift: tuple[int, int, int]
) -> None:
    usage = None if cost is None else {"cost": to_text(cost)}
    await rig.confirm(await rig.submitted(**PRICED), Found(completed(task_id="task_1", usage=usage)))
    today = await rig.resources.ledger.today()
    [line] = await rig.resources.balances.usage(["acme"], today, today, ())
    assert (line.balance.unsaid, line.balance.dearer, line.balance.cheaper) == drift
    assert (line.balance.charged, line.balance.jobs, line.balance.completed) == (cost or PRICE, 1, 1)
    assert (await keeper.spend.check(today)).different == 0


async def test_a_job_without_a_price_is_no_drift(rig: Rig) -> None:
    usage = {"cost": "0.2750"}
    await rig.confirm(await rig.submitted(), Found(completed(task_id="task_1", usage=usage)))
    today = await rig.resources.ledger.today()
    [line] = await rig.resources.balances.usage(["acme"], today, today, ())
    assert (line.balance.charged, line.balance.dearer, line.balance.cheaper) == (275_000, 0, 0)
