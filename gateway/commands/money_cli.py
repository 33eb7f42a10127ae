"""`vidu-gateway usage` and `ledger`: what jobs cost, and the ledger behind it, over the gateway's API."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.options import AsJson, OperatorKey, Url, operator
from gateway.commands.printing import blocks, fields, rows, show_result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.commands.options import Gateway
    from gateway.commands.printing import Lines

ledger = typer.Typer(help="The ledger: compare the balances with it, and export it.", no_args_is_help=True)

From = Annotated[
    str | None,
    typer.Option("--from", help="First day (UTC), such as 2026-12-01 (default: the first of the month)."),
]
To = Annotated[str | None, typer.Option("--to", help="Last day (UTC; default: today).")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
_CHECK_SECONDS = 1800.0
_EXPORT_SECONDS = 60.0
_AMOUNTS = ("jobs", "completed", "failed", "canceled", "charged", "wasted", "reserved", "suspense")


def usage(
    since: From = None,
    until: To = None,
    by: Annotated[
        str, typer.Option(help="What is told apart: some of tenant, day, key, separated by commas.")
    ] = "tenant",
    tenant: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    url: Url = "",
    key: OperatorKey = "",
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Show what jobs cost, by the day on which they were accepted, of all tenants or one."""
    gateway = operator(url, key)
    query = _query(since, until) | {"group_by": by} | ({"tenant": tenant} if tenant else {})
    if as_csv:
        _copy(gateway, "usage", query | {"format": "csv"})
        return
    found = gateway.ask("GET", f"/ops/api/usage?{_encoded(query)}")
    groups = tuple(name for name in ("tenant", "day", "key") if name in by.split(","))
    show_result(found, as_json, lambda found: _usage_lines(found, groups))


def _usage_lines(found: Mapping[str, Any], groups: tuple[str, ...]) -> Lines:
    total = found["sum"]
    shown = {
        "from": f"{found['from']} to {found['to']}, in {found['currency']}",
        "charged": f"{total['charged']}, of it {total['wasted']} for jobs that did not complete",
        "reserved": f"{total['reserved']}; in suspense {total['suspense']}",
        "drift": f"{total['unsaid']} only estimated, {total['dearer']} dearer and {total['cheaper']} cheaper",
    }
    return blocks(fields(shown), rows(found["data"], (*groups, *_AMOUNTS), empty="no jobs"))


@ledger.command("check")
def check(
    since: From = None, until: To = None, url: Url = "", key: OperatorKey = "", as_json: AsJson = False
) -> None:
    """Compare the balances with the ledger, for the jobs of these days. The exit code is 1 if any differ."""
    query = _encoded(_query(since, until))
    found = operator(url, key).ask("GET", f"/ops/api/ledger/check?{query}", seconds=_CHECK_SECONDS)
    show_result(found, as_json, _check_lines)
    if found["different"]:
        raise typer.Exit(1)


def _check_lines(found: Mapping[str, Any]) -> Lines | str:
    read = f"{found['balances']:,} balances, {found['entries']:,} entries, {found['from']} to {found['to']}"
    if not found["different"]:
        return f"{read}: none differ"
    columns = ("tenant", "key", "period", "field", "ledger", "balance")
    return blocks(fields({read: f"{found['different']} differ"}), rows(found["differences"], columns))


@ledger.command("export")
def export(
    since: From = None,
    until: To = None,
    url: Url = "",
    key: OperatorKey = "",
    as_csv: AsCsv = False,
) -> None:
    """Print the entries that were written on these days, oldest first, as JSON Lines or CSV."""
    query = _query(since, until) | ({"format": "csv"} if as_csv else {})
    _copy(operator(url, key), "ledger", query)


def _query(since: str | None, until: str | None) -> dict[str, str]:
    return {name: day for name, day in (("from", since), ("to", until)) if day}


def _encoded(query: Mapping[str, str]) -> str:
    from urllib.parse import urlencode

    return urlencode(query)


def _copy(gateway: Gateway, what: str, query: Mapping[str, str]) -> None:
    from gateway.commands.calls import calling

    with calling(gateway.url, gateway.key, seconds=_EXPORT_SECONDS) as asked:
        for piece in asked.stream(f"/ops/api/{what}", query=query):
            sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
