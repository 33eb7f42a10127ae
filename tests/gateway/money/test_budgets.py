"""Budgets as they are stored, and the periods that a moment belongs to."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.money.budgets import Budget, Period, budgets_in, field_of, period_names


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def test_a_period_begins_at_midnight_utc() -> None:
    assert period_names(at("2026-12-01T00:00:00")) == {
        Period.DAY: "2026-12-01",
        Period.MONTH: "2026-12",
        Period.TOTAL: "total",
    }
    assert period_names(at("2026-12-01T00:00:00") - 1)[Period.DAY] == "2026-11-30"
    assert period_names(at("2026-12-01T00:00:00") - 1)[Period.MONTH] == "2026-11"


def test_a_budget_survives_its_text() -> None:
    for budget, text in ((Budget(275_000, True), "275000|hard"), (Budget(0, False), "0|soft")):
        assert budget.dump() == text
        assert Budget.load(text) == budget


def test_budgets_of_a_tenant_and_of_its_keys_are_told_apart() -> None:
    day, month = Budget(1, True), Budget(2, False)
    fields = {
        field_of(Period.MONTH): month.dump(),
        field_of(Period.DAY): day.dump(),
        field_of(Period.TOTAL, "0a1b2c3d4e5f"): day.dump(),
        "burst": "3",
    }
    assert set(fields) == {"budget_day", "budget_month", "budget_total:0a1b2c3d4e5f", "burst"}
    found = budgets_in(fields)
    assert found == {None: {Period.DAY: day, Period.MONTH: month}, "0a1b2c3d4e5f": {Period.TOTAL: day}}
    assert list(found[None]) == [Period.DAY, Period.MONTH]
    assert budgets_in({"title": "Acme"}) == {}
