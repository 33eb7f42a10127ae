"""`vidu-gateway status` and `top`: show the whole service, or its busiest lanes, once or repeatedly."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live

from gateway.commands import printing
from gateway.commands.tables import status_table, top_table

if TYPE_CHECKING:
    from gateway.commands.options import Gateway
    from gateway.commands.printing import Lines

_LANES = 20


def show(gateway: Gateway, *, watch: float | None, as_json: bool) -> None:
    """Show the overview. `watch`: seconds between updates; None: print once. Raises GatewayError."""
    _print(lambda: gateway.ask("GET", "/ops/api/overview"), status_table, watch=watch, as_json=as_json)


def top(gateway: Gateway, role: str, *, watch: float | None, as_json: bool) -> None:
    """Show the lanes of a role with the longest wait. `watch`: as for `show`."""

    def found() -> dict[str, Any]:
        lanes = gateway.ask("GET", f"/ops/api/lanes?role={role}&limit={_LANES}")["data"]
        return {"overview": gateway.ask("GET", "/ops/api/overview"), "role": role, "lanes": lanes}

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
    with Live(Group(*table(find())), console=printing.console(), screen=False) as live:
        try:
            while True:
                time.sleep(watch)
                live.update(Group(*table(find())))
        except KeyboardInterrupt:
            return
