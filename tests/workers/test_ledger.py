"""The care for the ledger goes on by itself, and one step that fails does not hinder the others."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from gateway.errors import MediaStoreUnavailable
from gateway.store import keys
from gateway.store.spend import Spend
from tests.gateway.store.accounting import add_balance, day_of, write_entry
from tests.workers.conftest import Rig, end, eventually
from workers import ledger
from workers.ledger import LedgerKeeper


@pytest.fixture
def keeper(rig: Rig) -> LedgerKeeper:
    r = rig.resources
    return LedgerKeeper(r.spend, r.ledger, r.ledger_archive)


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


async def test_without_a_media_store_the_figures_are_summed_up_all_the_same(
    rig: Rig, keeper: LedgerKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "PAUSE_SECONDS", 0.01)
    redis, media = rig.resources.redis, rig.resources.media

    async def away(key: str, raw: bytes) -> None:
        raise MediaStoreUnavailable("no connection to the bucket")

    monkeypatch.setattr(type(media), "put", lambda _, key, raw: away(key, raw))
    await write_entry(redis, "reserve", 1, day=day_of(3))
    await add_balance(redis, "acme", day_of(), charged=5)

    async def waits() -> bool:
        return any(one["event"] == "ledger_waits" for one in logs)

    with capture_logs() as logs:
        task = asyncio.create_task(keeper.run())
        await eventually(lambda: redis.exists(keys.SPEND, keys.LEDGER_CHECKED))
        await eventually(waits)
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
