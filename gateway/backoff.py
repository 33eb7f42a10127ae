"""How long to wait before the next attempt: for the upstream, and for a subscriber over several days.

No I/O and no clock: randomness and the current time are parameters. All times are in seconds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

Random = Callable[[], float]

DELIVERY_SCHEDULE: Final = (5.0, 30.0, 120.0, 600.0, 1800.0, 7200.0, 21600.0, 43200.0, 86400.0, 86400.0)
"""Waits before attempts 2, 3, ... of a delivery: eleven attempts over 68.7 hours."""

JITTER: Final = 0.2
RETRY_AFTER_CAP_SECONDS: Final = 36_000.0
OVERLOADED: Final = frozenset({"throttled", "timeout"})
"""Outcomes that mean that the subscriber is overloaded, not broken."""

_SHORTEST_SECONDS: Final = 0.1
_DELTA_SECONDS: Final = re.compile(r"[0-9]{1,10}(\.[0-9]{1,9})?")


def full_jitter(attempt: int, *, base_seconds: float, cap_seconds: float, random: Random) -> float:
    """A random wait up to min(cap, base * 2^(attempt-1)), at least 0.1 s. Attempt 1 is the first failure."""
    doublings = min(max(attempt - 1, 0), 62)  # an extreme attempt number must not overflow
    return max(_SHORTEST_SECONDS, random() * min(cap_seconds, base_seconds * (1 << doublings)))


def delivery_delay(
    schedule: Sequence[float],
    attempts_made: int,
    outcome: str,
    retry_after_seconds: float | None,
    random: Random,
    *,
    overload_floor_seconds: float = 60.0,
    remaining_seconds: float = math.inf,
) -> float | None:
    """The wait after `attempts_made` (1, 2, ...) failed attempts of a delivery; None: give up.

    The wait is that of the schedule, +-20 %. For an overloaded subscriber it is at least the floor (an
    operator who sets a shorter schedule lowers the floor too). Retry-After can only make it longer, up to
    10 h. Returns None if the attempt would come after `remaining_seconds`; the random part alone never
    exceeds them.
    """
    if attempts_made > len(schedule) or outcome == "gone":
        return None
    wait = schedule[attempts_made - 1]
    delay = _random_wait(wait * (1 - JITTER), wait * (1 + JITTER), remaining_seconds, random)
    if outcome in OVERLOADED:
        # The floor needs jitter too, but only upwards: many attempts that timed out together must not all
        # come back together.
        floor = overload_floor_seconds
        delay = max(delay, _random_wait(floor, floor * (1 + JITTER), remaining_seconds, random))
    delay = max(delay, min(retry_after_seconds or 0.0, RETRY_AFTER_CAP_SECONDS))
    return delay if delay <= remaining_seconds else None


def _random_wait(shortest: float, longest: float, remaining: float, random: Random) -> float:
    """Between `shortest` and `longest`; not above `remaining`, unless `shortest` is."""
    latest = max(shortest, min(longest, remaining))
    return min(latest, shortest + (latest - shortest) * random())


def retry_after(value: str | None, now: float) -> float | None:
    """The seconds that a Retry-After header asks for: a number, or a date (0.0 if it has passed).

    `now`: seconds since the epoch. None for any other value, such as a negative number.
    """
    text = (value or "").strip()
    if _DELTA_SECONDS.fullmatch(text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (aware - datetime.fromtimestamp(now, UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
