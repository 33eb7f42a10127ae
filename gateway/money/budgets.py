"""Budgets: how much money a tenant, or one of its keys, may spend in a period."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self


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


def period_names(now_ms: int) -> dict[Period, str]:
    """The names of the periods to which the moment belongs, in UTC."""
    day = datetime.fromtimestamp(now_ms / 1000, UTC).date().isoformat()
    return {Period.DAY: day, Period.MONTH: day[:7], Period.TOTAL: "total"}
