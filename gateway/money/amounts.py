"""Amounts of money: whole micro-units inside, decimal strings at the edges."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final

from gateway.errors import ConfigurationError

#: Micro-units of one unit of the currency.
MICRO: Final = 1_000_000


def to_micros(amount: str | Decimal) -> int:
    """Exact, or ConfigurationError: not a number, or finer than a micro-unit."""
    try:
        micros = Decimal(amount) * MICRO
        whole = int(micros)
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise ConfigurationError(f"{amount!r} is not an amount such as 0.2750") from error
    if whole != micros:
        raise ConfigurationError(f"{amount!r} has more than six decimals")
    return whole


def to_text(micros: int) -> str:
    """With at least four decimals, such as "0.2750"."""
    sign, micros = "-" if micros < 0 else "", abs(micros)
    decimals = f"{micros % MICRO:06d}"
    return f"{sign}{micros // MICRO}.{decimals[:4]}{decimals[4:].rstrip('0')}"
