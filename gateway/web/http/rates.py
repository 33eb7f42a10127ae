"""Limits how often something is done, in all processes of this gateway: by GCRA, as quotas.lua meters jobs.

It is in memory because a request then costs no round trip, and because it also limits while Redis is down.
What it limits may happen as often in each gateway.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.local.shared_memory import Shared, Times


@dataclass(slots=True)
class Rate:
    """`burst` at once, and `per_second` on average, for each name. 0 per second: no limit. `what`: tells it
    from other rates in the same `times`."""

    per_second: float
    burst: int
    monotonic: Callable[[], float]
    what: str = ""
    times: Times = field(default_factory=lambda: Shared().times)

    def wait(self, name: str, *, counts: bool = True) -> int:
        """0, and this counts; or the whole seconds until the next one is allowed, and it does not count.
        `counts`: False only asks."""
        if not self.per_second:
            return 0
        now = self.monotonic()
        interval = 1 / self.per_second
        with self.times.changing(f"{self.what} {name}", now) as used_up_to:
            used = max(used_up_to[0], now) + interval
            late = used - now - self.burst * interval
            if late > 1e-9:
                return max(1, math.ceil(late))
            if counts:
                used_up_to[0] = used
        return 0
