"""The outside world as injected functions: time, randomness, ids and named crash points.

No other module gets the time, random numbers or ids from the operating system, so a test can control all
three. `reach` is awaited before and after every effect. It does nothing, unless a fault test wants the
process to die, freeze or lose an answer at that point.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

ULID_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: digits sort before letters
_PAIRS = [high + low for high in ULID_DIGITS for low in ULID_DIGITS]  # two digits at a time
_SHIFTS = range(120, -1, -10)


async def no_crash_point(point: str) -> None:
    """The `reach` of production: does nothing."""


@dataclass(slots=True)
class Environment:
    """`clock`: seconds since the epoch; `monotonic`: seconds, never going back; `random`: in [0, 1);
    `entropy(n)`: n unpredictable bytes; `reach(name)`: a crash point, `<effect>.before` or `<effect>.after`.
    """

    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random.random
    entropy: Callable[[int], bytes] = os.urandom
    reach: Callable[[str], Awaitable[None]] = no_crash_point
    _last: int = field(default=0, repr=False)

    def now_ms(self) -> int:
        return int(self.clock() * 1000)

    def new_ulid(self) -> str:
        """26 characters: 48 bits of milliseconds, 80 bits of randomness.

        Ids increase within a process, and to the millisecond between processes, so they sort by creation
        time.
        """
        value = self.now_ms() << 80 | int.from_bytes(self.entropy(10), "big")
        if value <= self._last:
            value = self._last + 1 + int.from_bytes(self.entropy(4), "big")
        self._last = value
        return "".join([_PAIRS[value >> shift & 1023] for shift in _SHIFTS])

    def new_job_id(self) -> str:
        return f"job_{self.new_ulid()}"

    def new_upload_id(self) -> str:
        return f"upl_{self.new_ulid()}"

    def new_endpoint_id(self) -> str:
        return f"ep_{self.new_ulid()}"
