"""What a benchmark finds: figures with their rounds, how they spread, and what is said of them.

No I/O. A figure is judged by its median. It is not judged when its own floor moved: the machine was then busy
with something else, and the figure would be about that.
"""

from __future__ import annotations

import operator
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

#: By so much may the largest floor of the rounds exceed the smallest.
FLOOR_MAY_MOVE = 0.25
FLOOR_MOVED = "floor moved: no verdict"
_MET = {">=": operator.ge, "<=": operator.le, "<": operator.lt}


class Spread(NamedTuple):
    least: float
    median: float
    most: float


class Target(NamedTuple):
    sign: str
    value: float

    def __str__(self) -> str:
        return f"{self.sign} {self.value:,g}"

    def is_met_by(self, value: float) -> bool:
        return bool(_MET[self.sign](value, self.value))


@dataclass(frozen=True, slots=True)
class Figure:
    """`rounds`: its value in each round. `floors`: what its floor was in each round, if it has one."""

    rounds: Sequence[float]
    floors: Sequence[float] = ()

    @property
    def spread(self) -> Spread:
        return Spread(min(self.rounds), statistics.median(self.rounds), max(self.rounds))

    @property
    def floor_moved(self) -> bool:
        return bool(self.floors) and max(self.floors) > min(self.floors) * (1 + FLOOR_MAY_MOVE)

    def verdict(self, target: Target) -> str:
        if self.floor_moved:
            return FLOOR_MOVED
        return "ok" if target.is_met_by(self.spread.median) else "MISSED"


def over_floor(ours: Sequence[float], floors: Sequence[float]) -> Figure:
    """The ratio of each round to the floor of the same round."""
    return Figure([one / floor for one, floor in zip(ours, floors, strict=True)], floors)


def quantile(values: Sequence[float], p: float) -> float:
    """The smallest of the values that has at least the share `p` of them below it, else the largest."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * p))]


def p99_ms(seconds: Sequence[float]) -> float:
    return quantile(seconds, 0.99) * 1000


@dataclass(frozen=True, slots=True)
class Found:
    """What one part measured. `figures`: those with a target. `details`: numbers that explain them, one for
    each round. `notes`: lines to print below the table."""

    figures: Mapping[str, Figure]
    details: Mapping[str, Sequence[float]] = field(default_factory=dict)
    notes: Sequence[str] = ()


def found_in(measured: Mapping[str, float | Sequence[float]]) -> Found:
    """{figure: its rounds, or its only value}, all without a floor."""
    return Found(
        {
            key: Figure([rounds] if isinstance(rounds, (int, float)) else rounds)
            for key, rounds in measured.items()
        }
    )
