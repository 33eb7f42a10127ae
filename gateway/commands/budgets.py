"""Budgets on the command line: how they are given and shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import AmountRefused, ConfigurationError

if TYPE_CHECKING:
    from gateway.money.budgets import Budgets
    from gateway.tenants import Tenant

HELP: Final = (
    "What may be spent: day=25.00, month=500, total=1000 (UTC, repeatable). A job above it is refused; with "
    "day=25.00:soft operators and the tenant are only notified. day=none removes it."
)


def changes_of(given: Sequence[str], key_id: str | None = None) -> dict[str, str | None]:
    """The settings to change for `--budget day=25.00`. Raises ConfigurationError."""
    from gateway.money.budgets import Period, field_of, read_budget

    changes: dict[str, str | None] = {}
    for text in given:
        name, equals, limit = text.partition("=")
        if not equals or name not in list(Period):
            known = ", ".join(f"{period}=25.00" for period in Period)
            raise ConfigurationError(f"--budget {text}: send one of {known}, or day=none")
        try:
            budget = read_budget(limit)
        except AmountRefused as error:
            raise ConfigurationError(f"--budget {name}: {error}") from None
        changes[field_of(Period(name), key_id)] = budget.dump() if budget else None
    return changes


def shown(budgets: Budgets) -> str:
    """As they are given: "day=25.0000 month=500.0000:soft"."""
    return " ".join(f"{period}={budget.shown}" for period, budget in budgets.items()) or "none"


def document(tenant: Tenant) -> dict[str, Any]:
    """The tenant for JSON, with its budgets as in the API."""
    from gateway.money.amounts import to_text

    def plain(budgets: Budgets) -> dict[str, Any]:
        return {
            period.value: {"limit": to_text(one.limit), "hard": one.hard} for period, one in budgets.items()
        }

    of_keys = {key_id: plain(budgets) for key_id, budgets in tenant.key_budgets.items()}
    return {**asdict(tenant), "budgets": plain(tenant.budgets), "key_budgets": of_keys}
