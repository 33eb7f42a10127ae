"""What `doctor`, `status` and `top` print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

from gateway.commands.printing import blocks, fields, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.commands.doctor import Finding
    from gateway.commands.printing import Lines

_LANE_STYLES: Final = {"active": "green", "waiting": "dim"}
_MARKS: Final = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "error": ("ERROR", "bold red")}


def findings_table(findings: Sequence[Finding]) -> Lines:
    data = [
        (Text(*_MARKS[one.level]), one.check, f"{one.text} -> {one.fix}" if one.fix else one.text)
        for one in findings
    ]
    return table(("", "check", "finding -> what to do"), data)


def status_table(overview: Mapping[str, Any]) -> Lines:
    """The overview. `overview`: the response of GET /ops/api/overview."""
    return blocks(_alarms(overview["alarms"]), _roles(overview["roles"]), _counts(overview))


def top_table(found: Mapping[str, Any]) -> Lines:
    """The lanes of a role. `found`: {role, lanes, overview}."""
    role = found["overview"]["roles"][found["role"]]
    oldest = _time(role["oldest_seconds"])
    slots = f"{role['slots_in_use']}/{role['slots']} slots"
    head = f"{found['role']}: {role['waiting']:,} waiting, oldest {oldest}, {slots}"
    data = [
        (
            lane["lane"],
            f"{lane['waiting']:,}",
            _time(lane["oldest_seconds"]),
            f"{lane['in_flight']}{'' if lane['cap'] is None else '/' + str(lane['cap'])}",
            f"{lane['weight']}",
            "" if lane["state"] == "idle" else Text(lane["state"], _LANE_STYLES.get(lane["state"], "yellow")),
        )
        for lane in found["lanes"]
    ]
    lanes = table(("lane", "waiting", "oldest", "in flight", "weight", ""), data)
    return blocks(
        _alarms(found["overview"]["alarms"]), [Text(head)], lanes if data else [Text("no lane is waiting")]
    )


def _alarms(alarms: Sequence[Mapping[str, Any]]) -> Lines:
    if not alarms:
        return [Text("no alarms", "green")]
    data = [
        (
            Text(alarm["code"], "bold red" if alarm["severity"] == "page" else "yellow"),
            alarm["fault"],
            alarm["page"] or "",
            alarm["runbook"],
            alarm["text"],
        )
        for alarm in alarms
    ]
    return table(("alarm", "fault", "page", "runbook", "what it says"), data)


def _roles(roles: Mapping[str, Mapping[str, Any]]) -> Lines:
    data = [
        (
            name,
            f"{role['waiting']:,}",
            _time(role["oldest_seconds"]),
            f"{role['due']:,}",
            _time(role["overdue_seconds"]),
            f"{role['slots_in_use']}/{role['slots']}",
        )
        for name, role in roles.items()
    ]
    return table(("role", "waiting", "oldest", "later", "overdue", "slots"), data)


def _counts(overview: Mapping[str, Any]) -> Lines:
    redis = overview["redis"]
    silent = overview["silent_workers"]
    shown: dict[str, object] = {
        "jobs": _numbers(overview["jobs"]),
        "deliveries": _numbers(overview["deliveries"]),
        "accounts": "; ".join(map(_account, overview["accounts"])),
        "workers": f"{overview['workers']}{f', {silent} silent' if silent else ''}",
        "redis": f"{redis['version']}, {redis['memory_bytes'] / 1e6:,.0f} MB, {redis['read_ms']:.1f} ms",
    }
    if overview["paused"]:
        shown["service"] = Text("PAUSED; vidu-gateway service show says why", "bold red")
    return fields(shown)


def _numbers(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in counts.items() if number) or "none"


def _account(account: Mapping[str, Any]) -> str:
    cut = f" of {account['limit']}" if account["slots"] < account["limit"] else ""
    return f"{account['name']} {account['state']}, {account['in_flight']}/{account['slots']}{cut} slots"


def _time(seconds: float) -> str:
    if seconds < 1:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
