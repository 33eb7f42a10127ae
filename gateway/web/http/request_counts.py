"""Counts of what this process answered, for /metrics. In memory: they start at zero with the process."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """`requests`: by route (its template) and status; `callbacks`: by what became of them; `watchers`: the
    pages of operators that are kept fresh."""

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    callbacks: Counter[str] = field(default_factory=Counter)
    watchers: set[object] = field(default_factory=set)
