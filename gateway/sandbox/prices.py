"""The price of a task. The figures are invented, but have the form and size of the real ones.

The first second is dear, the second one less, and each further one is cheap: a price by the second is wrong.
A task is charged when it is created, for the seconds that its video will last. A failed task is not refunded,
unless its owner cancelled it before it was started. `prices.toml` says the same to a gateway.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final, NamedTuple


class Tiers(NamedTuple):
    """Credits for the first second, the second one and each further one."""

    first: int
    second: int
    further: int


PEAK: Final = {"540p": Tiers(10, 8, 6), "720p": Tiers(15, 13, 9), "1080p": Tiers(55, 18, 14)}
OFF_PEAK: Final = {"540p": Tiers(5, 4, 3), "720p": Tiers(8, 7, 5), "1080p": Tiers(28, 9, 7)}
#: More credits for a task with clips, however many.
CLIPS: Final = 10
_DOLLARS_A_CREDIT: Final = Decimal("0.0050")


def cost_of(resolution: str, seconds: int, *, with_clips: bool = False, off_peak: bool = False) -> str:
    """US dollars with four decimals, in the form of the upstream's `usage.cost`: "0.2750"."""
    tiers = (OFF_PEAK if off_peak else PEAK)[resolution]
    number = CLIPS * with_clips + sum(tiers[:2][:seconds]) + tiers.further * max(0, seconds - 2)
    return str(_DOLLARS_A_CREDIT * number)


def credits_of(cost: str) -> int:
    """The cost in credits, which the vidu dialect uses."""
    return int(Decimal(cost) / _DOLLARS_A_CREDIT)
