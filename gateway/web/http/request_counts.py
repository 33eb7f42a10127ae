"""Counts of the requests to all processes of this gateway, for /metrics. They start at zero with it."""

from __future__ import annotations

from collections import Counter

from gateway.local.shared_memory import Counts

_REQUEST, _CALLBACK = "request", "callback"


class RequestCounts:
    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def add_request(self, route: str, status: int) -> None:
        """`route`: the template of its path."""
        self._counts.add(_REQUEST, route, str(status))

    def add_callback(self, effect: str) -> None:
        self._counts.add(_CALLBACK, effect)

    @property
    def requests(self) -> Counter[tuple[str, int]]:
        """By route template and status."""
        found: Counter[tuple[str, int]] = Counter()
        for name, number in self._counts.sums().items():
            match name:
                case (kind, route, status) if kind == _REQUEST and status.isdecimal():
                    found[route, int(status)] = number
        return found

    @property
    def callbacks(self) -> Counter[str]:
        """By effect."""
        sums = self._counts.sums().items()
        return Counter({name[1]: number for name, number in sums if name[0] == _CALLBACK and len(name) == 2})
