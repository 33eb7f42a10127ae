"""The tables that `doctor`, `status` and `top` print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from gateway.commands.doctor import Finding

_LANE_STYLES: Final = {"active": "green", "waiting": "dim"}
_MARKS: Final = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "error": ("ERROR", "bold red")}


def findings_table(findings: Sequence[Finding]) -> Table:
    table = Table("", "check", "finding", "what to do", box=None, pad_edge=False)
    for finding in findings:
        mark, style = _MARKS[finding.level]
        table.add_row(Text(mark, style), finding.check, finding.text, finding.fix)
    return table


def status_table(overview: Mapping[str, Any]) -> RenderableType:
    """The overview. `overview`: the response of GET /ops/api/overview."""
    outer = Table.grid()
    for row in (_alarms(overview["alarms"]), "", _roles(overview["roles"]), "", _counts(overview)):
        outer.add_row(row)
    return outer


def top_table(found: Mapping[str, Any]) -> RenderableType:
    """The lanes of a role. `found`: {role, lanes, overview}."""
    role = found["overview"]["roles"][found["role"]]
    oldest = _time(role["oldest_seconds"])
    slots = f"{role['slots_in_use']}/{role['slots']} slots"
    head = f"{found['role']}: {role['waiting']:,} waiting, oldest {oldest}, {slots}"
    table = Table("lane", "waiting", "oldest", "in flight", "weight", "", box=None, pad_edge=False)
    for lane in found["lanes"]:
        cap = "" if lane["cap"] is None else f"/{lane['cap']}"
        table.add_row(
            lane["lane"],
            f"{lane['waiting']:,}",
            _time(lane["oldest_seconds"]),
            f"{lane['in_flight']}{cap}",
            f"{lane['weight']}",
            "" if lane["state"] == "idle" else Text(lane["state"], _LANE_STYLES.get(lane["state"], "yellow")),
        )
    outer = Table.grid()
    for row in (
        _alarms(found["overview"]["alarms"]),
        "",
        head,
        "",
        table if found["lanes"] else "no lane is waiting",
    ):
        outer.add_row(row)
    return outer


def _alarms(alarms: Sequence[Mapping[str, Any]]) -> RenderableType:
    if not alarms:
        return Text("no alarms", "green")
    table = Table.grid(padding=(0, 2))
    for alarm in alarms:
        style = "bold red" if alarm["severity"] == "page" else "yellow"
        where = " ".join(filter(None, (alarm["page"], alarm["runbook"])))
        table.add_row(Text(alarm["code"], style), alarm["fault"], alarm["text"], Text(where, "dim"))
    return table


def _roles(roles: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table("role", "waiting", "oldest", "later", "overdue", "slots", box=None, pad_edge=False)
    for name, role in roles.items():
        table.add_row(
            name,
            f"{role['waiting']:,}",
            _time(role["oldest_seconds"]),
            f"{role['due']:,}",
            _time(role["overdue_seconds"]),
            f"{role['slots_in_use']}/{role['slots']}",
        )
    return table


def _counts(overview: Mapping[str, Any]) -> Table:
    accounts = "; ".join(map(_account, overview["accounts"]))
    redis = overview["redis"]
    rows = {
        "jobs": ", ".join(f"{number:,} {phase}" for phase, number in overview["jobs"].items() if number)
        or "none",
        "deliveries": ", ".join(
            f"{number:,} {one}" for one, number in overview["deliveries"].items() if number
        )
        or "none",
        "accounts": accounts + (", SERVICE PAUSED" if overview["paused"] else ""),
        "workers": f"{overview['workers']}"
        + (f", {overview['silent_workers']} silent" if overview["silent_workers"] else ""),
        "redis": f"{redis['version']}, {redis['memory_bytes'] / 1e6:,.0f} MB, {redis['read_ms']:.1f} ms",
    }
    table = Table.grid(padding=(0, 2))
    for name, text in rows.items():
        table.add_row(Text(name, "dim"), text)
    return table


def _account(account: Mapping[str, Any]) -> str:
    cut = f" of {account['limit']}" if account["slots"] < account["limit"] else ""
    return f"{account['name']} {account['state']}, {account['in_flight']}/{account['slots']}{cut} slots"


def _time(seconds: float) -> str:
    if seconds < 1:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
