"""Budgets of tenants and keys, as operators send and see them."""

from __future__ import annotations

from gateway.money.amounts import to_micros, to_text
from gateway.money.budgets import Budget, Budgets, Period, field_of
from gateway.web.schemas import budgets as schemas


def changes_of(wanted: schemas.BudgetsRequest | None, key_id: str | None = None) -> dict[str, str | None]:
    """The fields of a tenant's settings to change. None: all budgets are removed."""
    if wanted is None:
        return {field_of(period, key_id): None for period in Period}
    changes: dict[str, str | None] = {}
    for period in Period:
        if period.value in wanted.model_fields_set:
            found: schemas.BudgetRequest | None = getattr(wanted, period.value)
            budget = Budget(to_micros(found.limit), found.hard) if found else None
            changes[field_of(period, key_id)] = budget.dump() if budget else None
    return changes


def view(budgets: Budgets) -> schemas.Budgets:
    return {
        "day": _shown(budgets, Period.DAY),
        "month": _shown(budgets, Period.MONTH),
        "total": _shown(budgets, Period.TOTAL),
    }


def _shown(budgets: Budgets, period: Period) -> schemas.Budget | None:
    budget = budgets.get(period)
    return {"limit": to_text(budget.limit), "hard": budget.hard} if budget else None
