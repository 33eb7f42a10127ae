"""`vidu-gateway endpoints`: a tenant manages its endpoints with its own key, over the gateway's API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.commands.options import AsJson, ClientKey, Url, client
from gateway.commands.printing import rows, show_result

app = typer.Typer(
    help="A tenant's endpoints: show, switch, test and recover them.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(metavar="ENDPOINT", help="Id of the endpoint, ep_...")]


@app.command("list")
def show_all(url: Url = "", key: ClientKey = "", as_json: AsJson = False) -> None:
    """List endpoints with their health."""
    found = _call("GET", "endpoints", url, key)
    show_result(found, as_json, lambda found: rows([_row(one) for one in found["data"]], _COLUMNS))


@app.command("show")
def show(endpoint: Name, url: Url = "", key: ClientKey = "", as_json: AsJson = False) -> None:
    """Show an endpoint with its health."""
    found = _call("GET", f"endpoints/{quote(endpoint, safe='')}", url, key)
    show_result(found, as_json, lambda found: rows([_row(found)], _COLUMNS))


@app.command("enable")
def enable(endpoint: Name, url: Url = "", key: ClientKey = "", as_json: AsJson = False) -> None:
    """Send to an endpoint again. `recover` redelivers what was held meanwhile."""
    _switch(endpoint, url, key, as_json, disabled=False)


@app.command("disable")
def disable(endpoint: Name, url: Url = "", key: ClientKey = "", as_json: AsJson = False) -> None:
    """Stop sending to an endpoint. Its deliveries are held."""
    _switch(endpoint, url, key, as_json, disabled=True)


@app.command("test")
def send_test(endpoint: Name, url: Url = "", key: ClientKey = "", as_json: AsJson = False) -> None:
    """Send a signed test event, and show the outcome."""
    found = _call("POST", f"endpoints/{quote(endpoint, safe='')}/test", url, key)
    show_result(found, as_json, lambda found: rows([found["attempt"]], ("outcome", "status", "duration_ms")))


@app.command("recover")
def recover(
    endpoint: Name,
    since: Annotated[str, typer.Option(help="Start of the time range, such as 2026-11-22T08:00:00Z.")],
    until: Annotated[str | None, typer.Option(help="End of the time range (default: now).")] = None,
    url: Url = "",
    key: ClientKey = "",
    as_json: AsJson = False,
) -> None:
    """Redeliver the events of a time range."""
    body = {"since": since} | ({"until": until} if until else {})
    found = _call("POST", f"endpoints/{quote(endpoint, safe='')}/recover", url, key, body)
    show_result(found, as_json, lambda found: rows([found], ("id", "state", "total", "done")))


_COLUMNS = ("id", "url", "status", "waiting", "failed", "held", "dead")


def _row(endpoint: Mapping[str, Any]) -> dict[str, Any]:
    return {**endpoint["health"], "id": endpoint["id"], "url": endpoint["url"]}


def _switch(endpoint: str, url: str, key: str, as_json: bool, *, disabled: bool) -> None:
    found = _call("PATCH", f"endpoints/{quote(endpoint, safe='')}", url, key, {"disabled": disabled})
    show_result(found, as_json, lambda found: rows([_row(found)], _COLUMNS))


def _call(method: str, path: str, url: str, key: str, body: Any = None) -> dict[str, Any]:
    return client(url, key).ask(method, f"/v1/{path}", body)
