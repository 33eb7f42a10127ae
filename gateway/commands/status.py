"""`vidu-gateway status` and `top`: show the whole service, or its busiest lanes, once or repeatedly."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live

from gateway.commands.api import ask
from gateway.commands.tables import status_table, top_table

if TYPE_CHECKING:
    from rich.console import RenderableType

_LANES = 20


def show(url: str, key: str, *, watch: float | None, as_json: bool) -> None:
    """Show the overview. `watch`: seconds between updates; None: print once. Raises GatewayError."""
    where = f"{url.rstrip('/')}/ops/api/overview"
    _print(lambda: ask("GET", where, key), status_table, watch=watch, as_json=as_json)


def top(url: str, key: str, role: str, *, watch: float | None, as_json: bool) -> None:
    """Show the lanes of a role with the longest wait. `watch`: seconds between updates; None, or output that
    is not a terminal: print once."""
    stem = f"{url.rstrip('/')}/ops/api"

    def found() -> dict[str, Any]:
        lanes = ask("GET", f"{stem}/lanes?role={role}&limit={_LANES}", key)["data"]
        return {"overview": ask("GET", f"{stem}/overview", key), "role": role, "lanes": lanes}

    _print(found, top_table, watch=watch if sys.stdout.isatty() else None, as_json=as_json)


def _print(
    find: Callable[[], dict[str, Any]],
    table: Callable[[dict[str, Any]], RenderableType],
    *,
    watch: float | None,
    as_json: bool,
) -> None:
    if as_json:
        print(json.dumps(find()))  # noqa: T201
        return
    console = Console()
    if watch is None:
        console.print(table(find()))
        return
    with Live(table(find()), console=console, screen=False) as live:
        try:
            while True:
                time.sleep(watch)
                live.update(table(find()))
        except KeyboardInterrupt:
            return
