"""Limits how often something is done, in the memory of this process: by GCRA, as quotas.lua meters jobs.

It is per process because a request then costs no round trip, and because it also limits while Redis is down.
What it limits may happen as often in each process.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

_MAX_NAMES: Final = 10_000


@dataclass(slots=True)
class Rate:
    """`burst` at once, and `per_second` on average, for each name. 0 per second: no limit."""

    per_second: float
    burst: int
    monotonic: Callable[[], float]
    _used_up_to: dict[str, float] = field(default_factory=dict)

    def wait(self, name: str) -> int:
        """0, and this counts; or the whole seconds until the next one is allowed, and it does not count."""
        if not self.per_second:
            return 0
        now = self.monotonic()
        interval = 1 / self.per_second
        used = max(self._used_up_to.get(name, now), now) + interval
        late = used - now - self.burst * interval
        if late > 1e-9:
            return max(1, math.ceil(late))
        if name not in self._used_up_to and len(self._used_up_to) >= _MAX_NAMES:
            self._forget(now)
        self._used_up_to[name] = used
        return 0

    def _forget(self, now: float) -> None:
        """Forgets names whose whole burst is free again, and all names if that is not enough."""
        self._used_up_to = {name: used for name, used in self._used_up_to.items() if used > now}
        if len(self._used_up_to) >= _MAX_NAMES:
            self._used_up_to.clear()
