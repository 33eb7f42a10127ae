"""Identifies operators whom a proxy has signed in, as oauth2-proxy and the auth proxy of Grafana do.

The proxy names the person and the groups in two headers. They count only in requests that come from its
network directly: the address of the connection is compared, not one that a header claims. The setting has the
groups that may look, and those that may act.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from starlette.requests import Request

from gateway.errors import ScopeMissing, Unauthenticated
from gateway.settings import Settings
from gateway.tenants import Scope
from gateway.web.http.headers import headers_of, occurrences
from gateway.web.server.protocol import PEER
from gateway.web.state import state_of

#: Names that fit into the audit and into one line of a page.
_NAME: Final = re.compile(r"[^\x00-\x20\x7f]([^\x00-\x1f\x7f]{0,126}[^\x00-\x20\x7f])?\Z")
_EVERYBODY: Final = "*"


@dataclass(frozen=True, slots=True)
class Person:
    """`name`: as the proxy said it."""

    name: str
    scopes: frozenset[Scope]


def person_of(request: Request) -> Person | None:
    """The person whom the proxy named; None if there is none, or if the request did not come from such a
    proxy. Raises Unauthenticated if the headers cannot be trusted, ScopeMissing if no group of the person may
    look."""
    settings = state_of(request).resources.settings
    if not _is_from_proxy(request, settings):
        return None
    name = _value(request, settings.sso_user_header)
    if not name:
        return None
    if not _NAME.match(name):
        raise Unauthenticated(f"the proxy sent a name in {settings.sso_user_header} that is not one")
    groups = {group.strip() for group in _value(request, settings.sso_groups_header).split(",")}
    scopes = _scopes(groups | {_EVERYBODY}, settings)
    if not scopes:
        raise ScopeMissing(Scope.OPS_READ)
    return Person(name, scopes)


def _scopes(groups: set[str], settings: Settings) -> frozenset[Scope]:
    if not groups.isdisjoint(settings.sso_write_groups):
        return frozenset({Scope.OPS_READ, Scope.OPS_WRITE})
    return frozenset() if groups.isdisjoint(settings.sso_read_groups) else frozenset({Scope.OPS_READ})


def _is_from_proxy(request: Request, settings: Settings) -> bool:
    peer = request.scope.get(PEER)
    if not settings.sso_proxies or peer is None:
        return False
    try:
        address: IPv4Address | IPv6Address = ip_address(peer)
    except ValueError:  # such as a socket file
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in ip_network(network) for network in settings.sso_proxies)


def _value(request: Request, header: str) -> str:
    """The text of the header, "" if it is missing. A second one is what the client sent, and the proxy did
    not replace it."""
    name = header.encode()
    if occurrences(request.scope, name) > 1:
        raise Unauthenticated(f"{header} came twice: the proxy must replace the one that the client sends")
    raw = headers_of(request).get(name, b"")
    try:
        return raw.decode().strip()
    except UnicodeDecodeError:
        return raw.decode("latin-1").strip()
