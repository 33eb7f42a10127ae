"""The price of a task. The figures are invented, but have the form and size of the real ones.

A task is charged when it is created, for the seconds that its video will last. A failed task is not refunded,
unless its owner cancelled it before it was started.
"""

from __future__ import annotations

from decimal import Decimal

DOLLARS_A_SECOND = {"540p": Decimal("0.0350"), "720p": Decimal("0.0550"), "1080p": Decimal("0.1100")}
_DOLLARS_A_CREDIT = Decimal("0.005")


def cost_of(resolution: str, seconds: int) -> str:
    """US dollars with four decimals, in the form of the upstream's `usage.cost`: "0.2750"."""
    return str(DOLLARS_A_SECOND[resolution] * seconds)


def credits_of(cost: str) -> int:
    """The cost in credits, which the vidu dialect uses."""
    return int(Decimal(cost) / _DOLLARS_A_CREDIT)
