"""`vidu-gateway accounts`: operators' commands on upstream accounts, over the gateway's API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from gateway.commands.options import AsJson, OperatorKey, Url, call
from gateway.commands.printing import rows, show_result

_MAIN: Final = "main"

accounts = typer.Typer(help="Upstream accounts: list, pause and resume them.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the account in the settings.")]
Reason = Annotated[str, typer.Option(help="The reason, for other operators.")]


@accounts.command("list")
def list_accounts(url: Url = "", key: OperatorKey = "", as_json: AsJson = False) -> None:
    """List accounts with their state and slots."""
    found = call("GET", "accounts", url, key)
    columns = ("name", "state", "reason", "in_flight", "slots", "limit", "weight", "hold_until")
    show_result(found, as_json, lambda found: rows(found["data"], columns))


@accounts.command("show")
def show_account(name: Name = _MAIN, url: Url = "", key: OperatorKey = "", as_json: AsJson = False) -> None:
    """Show an account: whether jobs can be sent with it now, and why not."""
    show_result(call("GET", _path(name), url, key), as_json, _state)


@accounts.command("pause")
def pause_account(
    reason: Reason, name: Name = _MAIN, url: Url = "", key: OperatorKey = "", as_json: AsJson = False
) -> None:
    """Stop sending with an account, even probes, until it is resumed."""
    show_result(call("POST", f"{_path(name)}/pause", url, key, {"reason": reason}), as_json, _state)


@accounts.command("resume")
def resume_account(name: Name = _MAIN, url: Url = "", key: OperatorKey = "", as_json: AsJson = False) -> None:
    """Send with an account again."""
    show_result(call("POST", f"{_path(name)}/resume", url, key), as_json, _state)


def _path(name: str) -> str:
    return f"accounts/{quote(name, safe='')}"


def _state(found: Mapping[str, Any]) -> str:
    why = f", by {found['paused_by']}: {found['reason']}" if found["paused"] else ""
    slots = f"{found['in_flight']} of {found['slots']} slots"
    if found["slots"] < found["limit"]:
        slots += f" (of {found['limit']}, cut by a 429)"
    state = {"stopped": "not used, because the service is paused"}.get(found["state"], found["state"])
    until = f" until {found['hold_until']}" if found["state"] == "held" else ""
    return f"{found['name']} is {state}{until}, {slots}{why}"
