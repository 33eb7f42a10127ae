"""`vidu-gateway status`: the whole service in one look, once or again and again."""

from __future__ import annotations

import json
import time

from rich.console import Console
from rich.live import Live

from gateway.commands.api import ask
from gateway.commands.tables import status_table


def show(url: str, key: str, *, watch: float | None, as_json: bool) -> None:
    """GatewayError when the gateway refuses or does not answer."""
    where = f"{url.rstrip('/')}/ops/api/overview"
    if as_json:
        print(json.dumps(ask("GET", where, key)))  # noqa: T201  # for programs
        return
    console = Console()
    if watch is None:
        console.print(status_table(ask("GET", where, key)))
        return
    with Live(status_table(ask("GET", where, key)), console=console, screen=False) as live:
        try:
            while True:
                time.sleep(watch)
                live.update(status_table(ask("GET", where, key)))
        except KeyboardInterrupt:
            return
