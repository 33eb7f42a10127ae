"""Prices on a real server: versions, the audit, and what processes report."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.money.price_document import read
from gateway.money.prices import PriceBook
from gateway.resources import Resources
from gateway.store import keys
from gateway.store.prices import (
    FROM_FILE,
    SETTLED_MS,
    SILENT_MS,
    PriceGauges,
    RedisPrices,
    StoredPrices,
    price_gauges,
)
from tests.gateway.money.books import document, row


def book(**changes: Any) -> PriceBook:
    return read(document(row(**changes)), "USD")


@pytest.fixture
def prices(resources: Resources, empty_redis: None) -> RedisPrices:
    return resources.prices


async def audit(resources: Resources) -> list[tuple[str, str]]:
    entries = await resources.redis.xrange(keys.AUDIT)
    assert {fields["act"] for _, fields in entries} <= {"prices_changed"}
    return [(fields["by"], fields["changes"]) for _, fields in entries]


async def test_prices_that_were_seen_are_replaced_and_audited(
    resources: Resources, prices: RedisPrices
) -> None:
    assert await prices.read() == StoredPrices()
    assert await prices.change(book(), 0, "key1", {"changes": "first"}) == 1
    assert await prices.change(book(first_second="9"), 1, "key2", {"changes": "dearer"}) == 2
    found = await prices.read()
    assert (found.version, found.document, found.by) == (2, book(first_second="9").document(), "key2")
    assert found.at is not None
    assert await audit(resources) == [("key1", "first"), ("key2", "dearer")]


async def test_a_change_of_prices_that_were_not_seen_changes_nothing(
    resources: Resources, prices: RedisPrices
) -> None:
    await prices.change(book(), 0, "key1", {"changes": "first"})
    assert await prices.change(book(first_second="9"), 0, "key2", {"changes": "lost"}) is None
    assert (await prices.read()).document == book().document()
    assert await audit(resources) == [("key1", "first")]


async def test_a_repeated_change_is_done_once(resources: Resources, prices: RedisPrices) -> None:
    for _ in range(2):  # the answer may have been lost
        assert await prices.change(book(), 0, "key1", {"changes": "first"}) == 1
    assert await audit(resources) == [("key1", "first")]


async def test_a_process_gets_the_prices_once(prices: RedisPrices) -> None:
    assert await prices.report("a", PriceBook(), 5, 0, fault=False) == (0, None)
    await prices.change(book(), 0, "key1", {"changes": ""})
    assert await prices.report("a", PriceBook(), 5, 0, fault=False) == (1, book().document())
    assert await prices.report("a", book(), 6, 1, fault=False) == (1, None)
    assert await prices.report("b", book(), 7, FROM_FILE, fault=True) == (1, None)
    shown = [(one.process, one.digest, one.since, one.fault) for one in await prices.in_use()]
    assert shown == [("a", book().digest, 6, False), ("b", book().digest, 7, True)]
    await prices.leave("a")
    assert [one.process for one in await prices.in_use()] == ["b"]


async def test_a_silent_process_does_not_count_and_is_forgotten(
    resources: Resources, prices: RedisPrices
) -> None:
    await resources.redis.hset(keys.PRICE_BOOKS, "dead", "ab|1||1000")  # type: ignore[misc]
    assert await prices.in_use() == []
    await prices.report("a", book(), 6, 1, fault=False)
    assert await resources.redis.hkeys(keys.PRICE_BOOKS) == ["a"]  # type: ignore[misc]


async def test_a_changed_price_file_is_audited_by_the_first_process_that_has_it(
    resources: Resources, prices: RedisPrices
) -> None:
    for process in ("a", "b"):
        await prices.report(process, book(), 6, FROM_FILE, fault=False, file_change="1 price")
        await prices.report(process, book(), 6, FROM_FILE, fault=False)
    dearer = book(first_second="9")
    for process in ("b", "a"):
        await prices.report(process, dearer, 7, FROM_FILE, fault=False, file_change="dearer")
    assert await audit(resources) == [("price file", "1 price"), ("price file", "dearer")]


def test_books_differ_when_processes_have_had_different_ones_for_a_while() -> None:
    now = 10_000_000
    old, fresh = now - SETTLED_MS - 1, now - SETTLED_MS
    silent = now - SILENT_MS - 1
    assert price_gauges({}, now) == PriceGauges(0, 0)
    same = {"a": f"x|{old}||{now}", "b": f"x|{old}||{now}"}
    assert price_gauges(same, now) == PriceGauges(1, 0)
    assert price_gauges({**same, "c": f"y|{old}|1|{now}"}, now) == PriceGauges(2, 1)
    assert price_gauges({**same, "c": f"y|{fresh}||{now}"}, now) == PriceGauges(1, 0)
    assert price_gauges({**same, "c": f"y|{old}|1|{silent}"}, now) == PriceGauges(1, 0)
