"""What the upstream said that a task cost."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final

from gateway.money.amounts import MICRO

#: What the upstream's `usage.cost` is in, if the answer does not say.
UPSTREAM_CURRENCY: Final = "USD"
_MOST: Final = 1_000_000_000 * MICRO
_TEXT: Final = re.compile(r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Told:
    """`amount`: in micro-units, None if the answer says nothing that can be used. `mismatch`: it is in
    another currency than ours."""

    amount: int | None
    mismatch: bool = False


@dataclass(frozen=True, slots=True)
class CostReader:
    """`currency`: of the installation. `credit_price`: of one of Vidu's credits, in that currency."""

    currency: str = UPSTREAM_CURRENCY
    credit_price: Decimal = Decimal("0.005")

    def read(self, usage: Mapping[str, Any] | None, metadata: Mapping[str, Any] | None) -> Told:
        """From a task: `usage.cost`, else `metadata.credits`."""
        cost = (usage or {}).get("cost")
        if cost is not None:
            currency = (usage or {}).get("currency") or UPSTREAM_CURRENCY
            if str(currency).upper() != self.currency:
                return Told(None, mismatch=True)
            return Told(_micros(cost, Decimal(1)))
        return Told(_micros((metadata or {}).get("credits"), self.credit_price))


def _micros(amount: Any, price: Decimal) -> int | None:
    """Rounded to a micro-unit; None for what is no amount of money."""
    if isinstance(amount, bool) or not isinstance(amount, int | float | str):
        return None
    try:
        text = str(amount)  # ValueError: too many digits
        if not _TEXT.fullmatch(text):
            return None
        micros = (Decimal(text) * price * MICRO).to_integral_value(ROUND_HALF_EVEN)
    except (ArithmeticError, ValueError):
        return None
    return int(micros) if micros <= _MOST else None
