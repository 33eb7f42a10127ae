"""`vidu-gateway status` and `top`: show the whole service, or its busiest lanes, once or repeatedly.

A thread of its own asks for repeated figures, so that their age is shown while the gateway does not answer.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from rich.console import Group
from rich.live import Live
from rich.text import Text

from gateway.commands import printing
from gateway.commands.tables import status_table, top_table
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from gateway.commands.options import Gateway
    from gateway.commands.printing import Lines

_LANES: Final = 20
_ASK_SECONDS: Final = 5.0
_DRAW_SECONDS: Final = 0.5
_SLACK_SECONDS: Final = 2.0  # figures that are this much older than an update should make them are stale


@dataclass(slots=True)
class Feed:
    """Asks for figures every `every` seconds. `found`: the newest; `since`: when they were asked for;
    `failure`: of the last attempt, or None."""

    find: Callable[[], dict[str, Any]]
    every: float
    found: dict[str, Any] = field(default_factory=dict)
    since: float = 0.0
    failure: str | None = None

    def update(self) -> None:
        """Raises GatewayError."""
        asked = time.monotonic()
        self.found = self.find()
        self.since, self.failure = asked, None

    def run(self) -> None:
        """Runs for ever."""
        while True:
            time.sleep(self.every)
            try:
                self.update()
            except (GatewayError, ValueError) as error:  # a ValueError: what answers is no gateway
                self.failure = str(error)

    def headline(self) -> Text:
        """How old the figures are, and whether they still hold."""
        age = time.monotonic() - self.since
        old = f"figures are {age:.0f} s old"
        if self.failure is not None:
            return Text(f"STALE: {old}; {self.failure}", "bold red")
        if age > self.every + _SLACK_SECONDS:
            return Text(f"STALE: {old}; the gateway does not answer", "bold red")
        return Text(old, "dim")


def show(gateway: Gateway, *, watch: float | None, as_json: bool) -> None:
    """Show the overview. `watch`: seconds between updates; None: print once. Raises GatewayError."""

    def find() -> dict[str, Any]:
        return gateway.ask("GET", "/ops/api/overview", seconds=_ASK_SECONDS)

    _print(find, status_table, watch=watch, as_json=as_json)


def top(gateway: Gateway, role: str, *, watch: float | None, as_json: bool) -> None:
    """Show the lanes of a role with the longest wait. `watch`: as for `show`."""

    def found() -> dict[str, Any]:
        path = f"/ops/api/lanes?role={role}&limit={_LANES}"
        lanes = gateway.ask("GET", path, seconds=_ASK_SECONDS)["data"]
        overview = gateway.ask("GET", "/ops/api/overview", seconds=_ASK_SECONDS)
        return {"overview": overview, "role": role, "lanes": lanes}

    _print(found, top_table, watch=watch if sys.stdout.isatty() else None, as_json=as_json)


def _print(
    find: Callable[[], dict[str, Any]],
    table: Callable[[Mapping[str, Any]], Lines],
    *,
    watch: float | None,
    as_json: bool,
) -> None:
    if as_json or watch is None:
        printing.show_result(find(), as_json, table)
        return
    feed = Feed(find, watch)
    feed.update()
    threading.Thread(target=feed.run, daemon=True).start()
    with Live(console=printing.console(), screen=False, auto_refresh=False) as live:
        try:
            while True:
                live.update(Group(feed.headline(), *table(feed.found)), refresh=True)
                time.sleep(_DRAW_SECONDS)
        except KeyboardInterrupt:
            return
