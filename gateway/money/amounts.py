"""Amounts of money: whole micro-units inside, decimal strings at the edges."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from gateway.errors import AmountRefused, shown

#: Micro-units of one unit of the currency.
MICRO: Final = 1_000_000
#: The largest amount. A million times as much is still exact in a number of Lua.
MAX_MICROS: Final = 1_000_000_000 * MICRO
#: What an amount must be, for messages and the schema.
EXPECTED: Final = 'an amount such as "0.2750": from 0 to 1000000000, with at most six decimals'
PATTERN: Final = r"^[0-9]{1,10}(\.[0-9]{1,6})?$"
_FORM: Final = re.compile(r"[0-9]{1,10}(\.[0-9]{1,24})?")


def to_micros(amount: str | Decimal) -> int:
    """Exact. Raises AmountRefused for what is not a number, negative, too large, or finer than a micro-unit;
    its message continues the name of a field."""
    text = amount if isinstance(amount, str) else _plain(amount)
    if not _FORM.fullmatch(text):
        raise AmountRefused(f"is {shown(text)}; send {EXPECTED}")
    whole, _, decimals = text.partition(".")
    if decimals[6:].strip("0"):
        raise AmountRefused(f"is {shown(text)}, which has more than six decimals; send {EXPECTED}")
    micros = int(whole) * MICRO + int(decimals[:6].ljust(6, "0"))
    if micros > MAX_MICROS:
        raise AmountRefused(f"is {shown(text)}; send {EXPECTED}")
    return micros


def _plain(amount: Decimal) -> str:
    """Without an exponent, unless that would need many digits."""
    return f"{amount:f}" if abs(amount.adjusted()) < 30 else str(amount)


def to_text(micros: int) -> str:
    """With at least four decimals, such as "0.2750"."""
    sign, micros = "-" if micros < 0 else "", abs(micros)
    decimals = f"{micros % MICRO:06d}"
    return f"{sign}{micros // MICRO}.{decimals[:4]}{decimals[4:].rstrip('0')}"
