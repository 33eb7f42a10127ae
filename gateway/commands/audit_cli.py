"""`vidu-gateway audit`: list and export the audit, over the gateway's API."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gateway.commands.options import AsJson, OperatorKey, Url, call, operator
from gateway.commands.printing import rows, show_result

app = typer.Typer(help="The audit: what operators did, and exports of job history.", no_args_is_help=True)

Since = Annotated[
    str | None, typer.Option(help="Start of the time range, such as 2026-11-22 (default: one day ago).")
]
Until = Annotated[str | None, typer.Option(help="End of the time range (default: now).")]


@app.command("list")
def show(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Maximum number of entries.")] = 50,
    url: Url = "",
    key: OperatorKey = "",
    as_json: AsJson = False,
) -> None:
    """List what operators did, newest first."""
    found = call("GET", f"audit?limit={limit}", url, key)
    show_result(found, as_json, lambda found: rows(found["data"], ("at", "act", "by"), rest="more"))


@app.command("export")
def export(
    jobs: Annotated[
        bool,
        typer.Option(
            "--jobs", help="Export the history of the jobs that finished in the time range instead."
        ),
    ] = False,
    since: Since = None,
    until: Until = None,
    url: Url = "",
    key: OperatorKey = "",
) -> None:
    """Print the audit entries of a time range as JSON Lines."""
    gateway = operator(url, key)
    from gateway.commands.calls import calling

    what = "jobs" if jobs else "audit"
    with calling(gateway.url, gateway.key, seconds=60.0) as asked:
        for piece in asked.stream(f"/ops/api/{what}.jsonl", query={"since": since, "until": until}):
            sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
