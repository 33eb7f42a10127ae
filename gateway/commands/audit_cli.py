"""How operators look back from the command line: what was done by whom, and exports."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gateway.commands.ops_cli import LOCAL, AsJson, Key, Url, call, print_result, rows

app = typer.Typer(help="What operators did, and what happened to jobs.", no_args_is_help=True)

Since = Annotated[
    str | None, typer.Option(help="From this time on, such as 2026-11-22 (default: a day ago).")
]
Until = Annotated[str | None, typer.Option(help="Up to this time (default: now).")]


@app.command("list")
def show(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The newest so many.")] = 50,
    url: Url = LOCAL,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """What operators did, newest first."""
    found = call("GET", f"audit?limit={limit}", url, key)
    print_result(found, as_json, lambda: rows(found["data"], ("at", "act", "by"), rest=True))


@app.command("export")
def export(
    jobs: Annotated[
        bool, typer.Option("--jobs", help="What happened to jobs that ended then, instead.")
    ] = False,
    since: Since = None,
    until: Until = None,
    url: Url = LOCAL,
    key: Key = "",
) -> None:
    """Print one JSON object a line, as long as it may be."""
    if not key:
        raise typer.BadParameter("a key is needed: --key, or VIDU_GATEWAY_OPS_KEY")
    from gateway.commands.api import lines

    what = "jobs" if jobs else "audit"
    given = {name: value for name, value in (("since", since), ("until", until)) if value}
    for piece in lines(f"{url.rstrip('/')}/ops/api/{what}.jsonl", key, given):
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
