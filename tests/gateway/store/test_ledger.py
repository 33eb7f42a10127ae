"""The ledger is read whole, wherever its days are, and while they move."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.environment import Environment
from gateway.errors import ArchiveLost, MediaStoreUnavailable
from gateway.media.folder import FolderStore
from gateway.store import keys, ledger_archive, ledger_check
from gateway.store.ledger import RedisLedger
from gateway.store.ledger_archive import LedgerArchive
from gateway.store.ledger_check import Difference, LedgerCheck
from gateway.store.ledger_parts import Manifest, Stored
from gateway.store.script_runner import Scripts
from tests.gateway.store.accounting import add_balance, day_of, write_entry

KEPT = 70
KEY = "00000000000a"


@pytest.fixture
def media(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "media")


@pytest.fixture
def ledger(redis: Redis, scripts: Scripts, media: FolderStore) -> RedisLedger:
    return RedisLedger(redis, scripts, media)


@pytest.fixture
def archive(redis: Redis, scripts: Scripts, media: FolderStore) -> LedgerArchive:
    return LedgerArchive(redis, scripts, media, Environment(), KEPT)


@pytest.fixture
def check(redis: Redis, ledger: RedisLedger) -> LedgerCheck:
    return LedgerCheck(redis, ledger)


async def all_of(ledger: RedisLedger, days_ago: int) -> list[Stored]:
    since = date.fromisoformat(day_of(days_ago))
    return [one async for batch in ledger.entries(since, date.fromisoformat(day_of())) for one in batch]


async def write_days(redis: Redis, *days_ago: int, entries: int = 3) -> None:
    for ago in days_ago:
        for number in range(entries):
            await write_entry(redis, "reserve", number, day=day_of(ago), job=f"job_{ago}_{number}")


async def test_a_closed_day_moves_and_is_read_as_before(
    redis: Redis, ledger: RedisLedger, archive: LedgerArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_archive, "PART_ENTRIES", 1000)
    await write_days(redis, 5, 4, 0)
    await write_days(redis, 5, entries=2500)
    before = await all_of(ledger, 5)
    assert len(before) == 2509
    closed = await archive.closed()
    assert closed == [day_of(5), day_of(4)]
    assert [await archive.move(day) for day in closed] == [True, True]
    assert await archive.closed() == []
    assert await redis.exists(keys.ledger(day_of(5)), keys.ledger(day_of(4))) == 0
    assert await redis.exists(keys.ledger(day_of())) == 1
    assert await all_of(ledger, 5) == before
    assert Manifest.load(str(await redis.hget(keys.LEDGER_MOVED, day_of(5)))).entries == 2503  # type: ignore[misc]


async def test_a_part_is_zlib_and_one_json_object_a_line(
    redis: Redis, media: FolderStore, archive: LedgerArchive
) -> None:
    await write_days(redis, 3)
    await archive.move(day_of(3))
    [part] = await media.entries(f"ledger/{day_of(3)}")
    assert part.name.startswith("00000-")
    lines = zlib.decompress(await media.read(f"ledger/{day_of(3)}/{part.name}")).splitlines()
    assert len(lines) == 3
    assert all(line.startswith(b'{"id":') and b'"kind":"reserve"' in line for line in lines)


async def test_a_day_that_moves_while_it_is_read_is_read_once_and_whole(
    redis: Redis, ledger: RedisLedger, archive: LedgerArchive
) -> None:
    await write_days(redis, 3, entries=2500)
    found: list[Stored] = []
    async for batch in ledger.of_day(day_of(3)):
        if not found:
            await archive.move(day_of(3))
        found += batch
    assert [fields["amount"] for _, fields in found] == [str(number) for number in range(2500)]


async def test_a_day_that_got_an_entry_meanwhile_stays_and_moves_the_next_time(
    redis: Redis, ledger: RedisLedger, media: FolderStore
) -> None:
    await write_days(redis, 3)
    late = ["charge"]

    async def reach(point: str) -> None:
        if point == "move_ledger.before" and late:
            await write_entry(redis, late.pop(), 9, day=day_of(3))

    archive = LedgerArchive(redis, Scripts(redis, reach), media, Environment(), KEPT)
    assert not await archive.move(day_of(3))
    assert len(await all_of(ledger, 3)) == 4
    assert await archive.move(day_of(3))
    assert len(await all_of(ledger, 3)) == 4


async def test_without_a_media_store_closed_days_stay_in_redis_and_are_read(
    redis: Redis, ledger: RedisLedger, archive: LedgerArchive, media: FolderStore
) -> None:
    await write_days(redis, 3)

    async def away(key: str, raw: bytes) -> None:
        raise MediaStoreUnavailable("no connection to the bucket")

    media.put = away  # type: ignore[method-assign]
    with pytest.raises(MediaStoreUnavailable):
        await archive.move(day_of(3))
    assert len(await all_of(ledger, 3)) == 3


@pytest.mark.parametrize("damage", [b"", b"something else"])
async def test_a_part_that_is_lost_or_damaged_is_said_and_never_an_empty_day(
    redis: Redis, ledger: RedisLedger, archive: LedgerArchive, media: FolderStore, damage: bytes
) -> None:
    await write_days(redis, 3)
    await archive.move(day_of(3))
    [part] = await media.entries(f"ledger/{day_of(3)}")
    if damage:
        await media.put(f"ledger/{day_of(3)}/{part.name}", damage)
    else:
        await media.drop(f"ledger/{day_of(3)}/{part.name}")
    with pytest.raises(ArchiveLost, match=day_of(3)):
        await all_of(ledger, 5)


async def test_days_whose_retention_has_passed_go_with_their_balances_and_months_stay(
    redis: Redis, ledger: RedisLedger, archive: LedgerArchive, media: FolderStore
) -> None:
    await redis.set(keys.LEDGER_SINCE, day_of(KEPT + 3))
    await write_days(redis, KEPT + 2, KEPT + 1, KEPT)
    for ago in (KEPT + 2, KEPT + 1, KEPT):
        await add_balance(redis, "acme", day_of(ago), charged=1)
    await archive.move(day_of(KEPT + 2))
    assert await archive.forget(2) == 2
    assert await ledger.since() == date.fromisoformat(day_of(KEPT + 1))
    assert await archive.forget(40) == 1
    assert await archive.forget(40) == 0
    assert await ledger.since() == date.fromisoformat(day_of(KEPT))
    assert [one async for batch in ledger.of_day(day_of(KEPT + 1)) for one in batch] == []
    assert await media.entries("ledger") == []
    assert await redis.hlen(keys.LEDGER_MOVED) == 0  # type: ignore[misc]
    kept = [await redis.exists(keys.balance("acme", day_of(ago))) for ago in (KEPT + 2, KEPT + 1, KEPT)]
    assert kept == [0, 0, 1]
    assert await redis.exists(keys.balance("acme", day_of(KEPT + 1)[:7])) == 1
    assert len(await all_of(ledger, KEPT)) == 3


async def test_the_present_day_is_not_closed_nor_is_one_that_is_just_over(
    redis: Redis, archive: LedgerArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write_days(redis, 2, 1, 0)
    now = datetime.now(UTC)
    over = (now - datetime(now.year, now.month, now.day, tzinfo=UTC)).total_seconds()
    monkeypatch.setattr(ledger_archive, "CLOSED_AFTER_SECONDS", over + 60)
    assert await archive.closed() == [day_of(2)]
    monkeypatch.setattr(ledger_archive, "CLOSED_AFTER_SECONDS", 0)
    assert await archive.closed() == [day_of(2), day_of(1)]


async def write_job(redis: Redis, day: str, amount: int, *, charged: bool) -> None:
    """A job whose balances are as its entries say."""
    await write_entry(redis, "reserve", amount, day=day)
    if charged:
        await write_entry(redis, "charge", amount + 1, day=day, taken=str(amount))
        await add_balance(redis, "acme", day, charged=amount + 1, jobs=1, completed=1)
    else:
        await add_balance(redis, "acme", day, reserved=amount, jobs=1)


async def test_balances_that_are_what_the_ledger_says_do_not_differ(
    redis: Redis, check: LedgerCheck, archive: LedgerArchive
) -> None:
    for ago in (4, 3, 0):
        await write_job(redis, day_of(ago), 100, charged=True)
        await write_job(redis, day_of(ago), 50, charged=False)
    await archive.move(day_of(4))
    today = date.fromisoformat(day_of())
    found = await check.run(today - timedelta(40), today)
    assert (found.different, found.differences, found.entries) == (0, [], 9)
    assert found.balances >= 4  # three days, and their months


async def test_others_go_on_between_the_batches_of_a_check(
    redis: Redis, check: LedgerCheck, archive: LedgerArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write_days(redis, 3, entries=3500)
    await archive.move(day_of(3))
    turns, seen = 0, list[int]()
    add = ledger_check._Recomputed.add

    def seeing(found: ledger_check._Recomputed, entries: Sequence[Stored]) -> None:
        seen.append(turns)
        add(found, entries)

    async def other() -> None:
        nonlocal turns
        while len(seen) < 4:
            turns += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(ledger_check._Recomputed, "add", seeing)
    task = asyncio.create_task(other())
    await check.run(date.fromisoformat(day_of(3)), date.fromisoformat(day_of()))
    await task
    assert len(set(seen)) == len(seen) == 4


async def test_a_balance_that_is_off_by_one_micro_unit_is_named(redis: Redis, check: LedgerCheck) -> None:
    today = day_of()
    await write_job(redis, today, 100, charged=True)
    await redis.hincrby(keys.balance("acme", today), f"{KEY}|charged", 1)  # type: ignore[misc]
    await redis.hdel(keys.balance("acme", today[:7]), "*|charged")  # type: ignore[misc]
    await add_balance(redis, "other", today, key=None, reserved=7)
    day = date.fromisoformat(today)
    found = await check.run(day.replace(day=1), day)
    assert set(found.differences) == {
        Difference("acme", KEY, today, "charged", 101, 102),
        Difference("acme", None, today[:7], "charged", 101, 0),
        Difference("other", None, today, "reserved", 0, 7),
        Difference("other", None, today[:7], "reserved", 0, 7),
    }


async def test_jobs_that_go_on_while_balances_are_compared_make_no_difference(
    redis: Redis, ledger: RedisLedger, check: LedgerCheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the reading of the ledger and that of the balances, and between two tenants."""
    today = day_of()
    await write_job(redis, today, 100, charged=True)
    at_once, written = ledger.at_once, list[int]()

    async def busy(*asked: Any) -> Any:
        if len(written) < 20:
            written.append(1)
            await write_job(redis, today, len(written), charged=len(written) % 2 == 0)
        return await at_once(*asked)

    monkeypatch.setattr(ledger, "at_once", busy)
    for name in ("one", "two", "three"):
        await redis.zadd(keys.TENANTS, {name: 0})
    day = date.fromisoformat(today)
    found = await check.run(day, day)
    assert len(written) > 3
    assert found.differences == []
