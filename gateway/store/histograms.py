"""Histograms of what the scripts time: counts per bound that only grow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

#: In seconds; the same as in scripts/lib/lanes.lua, in ms.
BOUNDS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600),
    *(1800, 3600, 7200, 21600),
)


@dataclass(frozen=True, slots=True)
class Timing:
    """`counts`: one per bucket of `BOUNDS` and one for longer times, not cumulative; `seconds`: their sum."""

    counts: tuple[int, ...]
    seconds: float

    @property
    def total(self) -> int:
        return sum(self.counts)


def timings_of(fields: Mapping[str, str]) -> dict[str, Timing]:
    """{name: timing} from the fields of a hash, `name|bound in ms`."""
    found: dict[str, dict[str, int]] = {}
    for field, number in fields.items():
        name, _, bound = field.partition("|")
        found.setdefault(name, {})[bound] = int(number)
    return {name: timing_of(counts) for name, counts in found.items()}


def timing_of(counts: Mapping[str, int]) -> Timing:
    """The timing from {bound in ms, "inf" or "sum": number}."""
    bounds = [*(str(round(seconds * 1000)) for seconds in BOUNDS), "inf"]
    return Timing(tuple(counts.get(bound, 0) for bound in bounds), counts.get("sum", 0) / 1000)


def quantile(before: Sequence[int], after: Sequence[int], part: float) -> float | None:
    """The estimated quantile `part` (0 to 1), in seconds, of what was counted between two readings; None when
    nothing was. Interpolates between bounds; longer times count as the last bound."""
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
