"""How long to wait before trying again: for the upstream, and for a subscriber over days.

Pure: randomness and the time of day are parameters. All times are seconds.
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
"""Outcomes that say the subscriber has too much to do, rather than that it is broken."""

_SHORTEST_SECONDS: Final = 0.1
_DELTA_SECONDS: Final = re.compile(r"[0-9]{1,10}(\.[0-9]{1,9})?")


def full_jitter(attempt: int, *, base_seconds: float, cap_seconds: float, random: Random) -> float:
    """Anywhere up to min(cap, base * 2^(attempt-1)), never under 0.1 s; attempt 1 is the first failure."""
    doublings = min(max(attempt - 1, 0), 62)  # an attempt number out of bounds must not overflow
    return max(_SHORTEST_SECONDS, random() * min(cap_seconds, base_seconds * (1 << doublings)))


def delivery_delay(
    schedule: Sequence[float],
    attempts_made: int,
    outcome: str,
    retry_after_seconds: float | None,
    random: Random,
    *,
    overload_floor_seconds: float = 60.0,
    left_seconds: float = math.inf,
) -> float | None:
    """The wait after `attempts_made` (1, 2, ...) failures of a delivery; None: give up.

    The schedule's wait +-20 %. An overloaded subscriber is left alone for at least the floor (an operator
    who sets a shorter schedule sets the floor with it). Retry-After only ever makes it later, up to 10 h.
    What would come later than `left_seconds` is not tried; chance alone makes nothing come later than that.
    """
    if attempts_made > len(schedule) or outcome == "gone":
        return None
    wait = schedule[attempts_made - 1]
    delay = _roll(wait * (1 - JITTER), wait * (1 + JITTER), left_seconds, random)
    if outcome in OVERLOADED:
        # The jitter of a floor is upwards alone: a crowd that timed out together must not return together.
        floor = overload_floor_seconds
        delay = max(delay, _roll(floor, floor * (1 + JITTER), left_seconds, random))
    delay = max(delay, min(retry_after_seconds or 0.0, RETRY_AFTER_CAP_SECONDS))
    return delay if delay <= left_seconds else None


def _roll(least: float, most: float, left: float, random: Random) -> float:
    latest = max(least, min(most, left))
    return min(latest, least + (latest - least) * random())


def retry_after(value: str | None, now: float) -> float | None:
    """The seconds that a Retry-After header asks for: whole, fractional, or until a date (past: 0.0).

    `now` is in seconds since the epoch. Anything else, including a negative number, is None.
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
