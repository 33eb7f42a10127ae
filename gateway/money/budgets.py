"""Budgets: how much money a tenant, or one of its keys, may spend in a period."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Self

from gateway.errors import AmountRefused, shown
from gateway.money.amounts import to_micros, to_text

_FIELD: Final = "budget_"


class Period(StrEnum):
    DAY = "day"
    MONTH = "month"
    TOTAL = "total"


@dataclass(frozen=True, slots=True)
class Budget:
    """`limit`: in micro-units. `hard`: a job above it is refused; else operators and the tenant are told."""

    limit: int
    hard: bool

    @classmethod
    def load(cls, text: str) -> Self:
        limit, _, kind = text.partition("|")
        return cls(int(limit), kind == "hard")

    def dump(self) -> str:
        """As it is stored: "<micros>|hard" or "<micros>|soft"."""
        return f"{self.limit}|{'hard' if self.hard else 'soft'}"

    @property
    def shown(self) -> str:
        """As operators write it: "25.0000" or "25.0000:soft"."""
        return to_text(self.limit) + ("" if self.hard else ":soft")


Budgets = Mapping[Period, Budget]


def read_budget(text: str) -> Budget | None:
    """What an operator wrote: "25.00", "25.00:soft", or "none". AmountRefused if it is none of these; the
    message continues the name of the field."""
    if text == "none":
        return None
    amount, colon, kind = text.partition(":")
    if colon and kind not in ("hard", "soft"):
        raise AmountRefused(f"is {shown(text)}; send an amount, then nothing, :hard or :soft; or none")
    return Budget(to_micros(amount), kind != "soft")


def period_names(now_ms: int) -> dict[Period, str]:
    """The names of the periods to which the moment belongs, in UTC."""
    day = datetime.fromtimestamp(now_ms // 1000, UTC).date().isoformat()
    return {Period.DAY: day, Period.MONTH: day[:7], Period.TOTAL: "total"}


def field_of(period: Period, key_id: str | None = None) -> str:
    """The field of a tenant's settings that holds the budget of the tenant, or of one of its keys."""
    return f"{_FIELD}{period}" if key_id is None else f"{_FIELD}{period}:{key_id}"


def budgets_in(fields: Mapping[str, str]) -> dict[str | None, dict[Period, Budget]]:
    """All budgets in the fields of a tenant's settings: those of the tenant under None, those of a key under
    its id."""
    found: dict[str | None, dict[Period, Budget]] = {}
    for name in sorted(fields):
        if name.startswith(_FIELD):
            period, _, key_id = name.removeprefix(_FIELD).partition(":")
            found.setdefault(key_id or None, {})[Period(period)] = Budget.load(fields[name])
    return {
        owner: {one: budgets[one] for one in Period if one in budgets} for owner, budgets in found.items()
    }
