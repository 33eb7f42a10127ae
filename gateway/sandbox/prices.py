"""What a task costs: invented figures, in the shape and of the size of the real ones.

A task is charged when it is created, for the seconds that it will last. A failed task is not
refunded, unless its owner cancelled it before anybody worked on it.
"""

from __future__ import annotations

from decimal import Decimal

DOLLARS_A_SECOND = {"540p": Decimal("0.0350"), "720p": Decimal("0.0550"), "1080p": Decimal("0.1100")}
_DOLLARS_A_CREDIT = Decimal("0.005")


def cost_of(resolution: str, seconds: int) -> str:
    """US dollars with four decimals, as the upstream writes `usage.cost`: "0.2750"."""
    return str(DOLLARS_A_SECOND[resolution] * seconds)


def credits_of(cost: str) -> int:
    """The same in the credits of the vidu dialect."""
    return int(Decimal(cost) / _DOLLARS_A_CREDIT)
