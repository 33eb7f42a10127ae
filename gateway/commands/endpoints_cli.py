"""`vidu-gateway endpoints`: a tenant manages its endpoints with its own key, over the gateway's API."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.options import AsJson, ClientKey, Url, client
from gateway.commands.printing import rows, show_result

if TYPE_CHECKING:
    from gateway.client.endpoints import Endpoints
    from gateway.client.steps import Blocks

app = typer.Typer(
    help="A tenant's endpoints: show, switch, test and recover them.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(metavar="ENDPOINT", help="Id of the endpoint, ep_...")]


@app.command("list")
def show_all(url: Url = "", key: ClientKey = "", as_json: AsJson = False) -> None:
    """List endpoints with their health."""
    with _endpoints(url, key) as endpoints:
        found = [dict(one.raw) for one in endpoints.list()]
    _show({"object": "list", "data": found}, as_json, found)


@app.command("show")
def show(endpoint: Name, url: Url = "", key: ClientKey = "", as_json: AsJson = False) -> None:
    """Show an endpoint with its health."""
    with _endpoints(url, key) as endpoints:
        found = dict(endpoints.get(endpoint).raw)
    _show(found, as_json, [found])


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
    with _endpoints(url, key) as endpoints:
        found = dict(endpoints.test(endpoint).raw)
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
    with _endpoints(url, key) as endpoints:
        found = dict(endpoints.recover(endpoint, since, until=until or None).raw)
    show_result(found, as_json, lambda found: rows([found], ("id", "state", "total", "done")))


_COLUMNS = ("id", "url", "status", "waiting", "failed", "held", "dead")


def _switch(endpoint: str, url: str, key: str, as_json: bool, *, disabled: bool) -> None:
    with _endpoints(url, key) as endpoints:
        found = dict(endpoints.update(endpoint, disabled=disabled).raw)
    _show(found, as_json, [found])


def _show(found: dict[str, Any], as_json: bool, endpoints: Sequence[Mapping[str, Any]]) -> None:
    shown = [{**one["health"], "id": one["id"], "url": one["url"]} for one in endpoints]
    show_result(found, as_json, lambda _: rows(shown, _COLUMNS))


@contextlib.contextmanager
def _endpoints(url: str, key: str) -> Iterator[Endpoints[Blocks]]:
    """The endpoints of the named gateway. GatewayError if it refuses something."""
    gateway = client(url, key)
    from gateway.commands.calls import calling  # it loads httpx

    with calling(gateway.url, gateway.key, retries=2) as made:
        yield made.endpoints
