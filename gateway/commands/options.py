"""What the sub-commands that call a gateway have in common: its address, the key, and JSON output.

There is no default address: a key is sent only to a server that the user named.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import typer

from gateway import variables

#: Names of the variables.
URL: Final = "VIDU_GATEWAY_URL"
CLIENT_KEY: Final = "VIDU_GATEWAY_KEY"
OPERATOR_KEY: Final = "VIDU_GATEWAY_OPS_KEY"

Url = Annotated[str, typer.Option(envvar=URL, help="URL of the gateway; required.", show_default=False)]
ClientKey = Annotated[
    str, typer.Option(envvar=CLIENT_KEY, help="A key of the tenant; required.", show_default=False)
]
OperatorKey = Annotated[
    str, typer.Option(envvar=OPERATOR_KEY, help="An operator's key; required.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the response as JSON.")]

_KEY: Final = re.compile(r"[!-~]+")
_MAX_URL_CHARACTERS: Final = 2048


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that the user named. `url`: without a slash at its end."""

    url: str
    key: str = field(repr=False)

    def ask(self, method: str, path: str, body: Any = None, seconds: float = 15.0) -> dict[str, Any]:
        """The JSON object of the response. Raises GatewayError with the gateway's message if it refuses."""
        from gateway.commands import calls  # it loads httpx

        return calls.ask(method, self.url, path, self.key, body, seconds)


def client(url: str, key: str) -> Gateway:
    """The named gateway, for a tenant. Raises BadParameter if the URL or the key is missing or invalid."""
    return _named(url, key, CLIENT_KEY)


def operator(url: str, key: str) -> Gateway:
    """The named gateway, for an operator. Raises as `client` does."""
    return _named(url, key, OPERATOR_KEY)


def call(method: str, path: str, url: str, key: str, body: Any = None) -> dict[str, Any]:
    """Call the operators' API. Raises as `operator` and `Gateway.ask` do."""
    return operator(url, key).ask(method, f"/ops/api/{path}", body)


def _named(url: str, key: str, variable: str) -> Gateway:
    if not url:
        raise typer.BadParameter(
            f"the gateway's URL is required: --url, or {URL}; `vidu-gateway up` has http://127.0.0.1:8080"
        )
    key = variables.secret(variable, key)
    if not key:
        raise typer.BadParameter(f"a key is required: --key, or {variable}")
    from gateway.urls import url_fault

    if fault := url_fault(url, max_characters=_MAX_URL_CHARACTERS, fragment=False):
        raise typer.BadParameter(f"the gateway's URL (--url, or {URL}) {fault[1]}")
    if "?" in url:
        raise typer.BadParameter(f"the gateway's URL (--url, or {URL}) has a query; leave it out")
    if not _KEY.fullmatch(key):
        raise typer.BadParameter(
            f"the key (--key, or {variable}) has invalid characters: a key looks like vgw_..._..."
        )
    return Gateway(url.rstrip("/"), key)
