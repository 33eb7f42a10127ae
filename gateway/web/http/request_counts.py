"""Counts of the requests to this process, for /metrics. In memory: they start at zero with the process."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """`requests`: by route template and status. `callbacks`: by effect. `watchers`: operators' pages that are
    open and receive live updates."""

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    callbacks: Counter[str] = field(default_factory=Counter)
    watchers: set[object] = field(default_factory=set)
