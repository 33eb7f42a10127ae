"""What the scripts time: how many took up to each bound, as counts that only grow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

#: Seconds; as scripts/lib/lanes.lua has them in ms.
BOUNDS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600),
    *(1800, 3600, 7200, 21600),
)


@dataclass(frozen=True, slots=True)
class Timing:
    """`counts`: how many took up to each of `BOUNDS`, and longer, each in one place alone; `seconds`: their
    sum."""

    counts: tuple[int, ...]
    seconds: float

    @property
    def total(self) -> int:
        return sum(self.counts)


def timings_of(fields: Mapping[str, str]) -> dict[str, Timing]:
    """By name, of what a hash holds as `name|bound in ms`."""
    found: dict[str, dict[str, int]] = {}
    for field, number in fields.items():
        name, _, bound = field.partition("|")
        found.setdefault(name, {})[bound] = int(number)
    return {name: timing_of(counts) for name, counts in found.items()}


def timing_of(counts: Mapping[str, int]) -> Timing:
    """Of {bound in ms, "inf" or "sum": number}."""
    bounds = [*(str(round(seconds * 1000)) for seconds in BOUNDS), "inf"]
    return Timing(tuple(counts.get(bound, 0) for bound in bounds), counts.get("sum", 0) / 1000)


def quantile(before: Sequence[int], after: Sequence[int], part: float) -> float | None:
    """About the seconds within which this part was over, of those that came between; None when none did.
    Between two bounds it is taken to be even; what took longer than all bounds counts as the last."""
    counts = [later - earlier for earlier, later in zip(before, after, strict=True)]
    total = sum(counts)
    if total <= 0:
        return None
    wanted, seen = part * total, 0
    for at, count in enumerate(counts):
        if count and seen + count >= wanted:
            if at >= len(BOUNDS):
                break
            low = BOUNDS[at - 1] if at else 0.0
            return low + (BOUNDS[at] - low) * (wanted - seen) / count
        seen += count
    return float(BOUNDS[-1])
