"""Checks how and to which host requests are addressed, and adds security headers to responses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv6Address
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.types import Scope

from gateway.errors import Problem
from gateway.settings import Settings
from gateway.web.http.headers import Headers, gather

#: Requested by orchestrators and monitoring, with any host name or address.
PROBES: Final = frozenset({"/livez", "/readyz", "/metrics"})
#: A name or an address, and a port (RFC 3986, 3.2.2). URLs are built from it, which fails for anything else.
_HOST: Final = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._~%!$&'()*+,;=-]*))(?::[0-9]{0,5})?\Z"
)
_MALFORMED: Final = Problem(
    "Host", "wrong_form", "is not a host name or an address; send the name of this service"
)
_MISDIRECTED: Final = Problem(
    "Host", "not_one_of", "is not a name of this service; use the address that its operator gave you"
)
_WEBSOCKET: Final = Problem(
    "Upgrade",
    "not_supported",
    "there are no WebSockets here; to follow jobs, GET /v1/events, which is a stream of server-sent events",
)
_NOTHING: Final = b"default-src 'none'; frame-ancestors 'none'"
Header = tuple[bytes, bytes]
_ALWAYS: Final[tuple[Header, ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
_DEFAULTS: Final[tuple[Header, ...]] = (
    (b"content-security-policy", _NOTHING),
    (b"referrer-policy", b"no-referrer"),
)


class SecurityPolicy:
    def __init__(self, settings: Settings) -> None:
        hosts = {host for host in settings.allowed_hosts if not host.startswith("*.")}
        self._suffixes = tuple(host[1:] for host in settings.allowed_hosts if host.startswith("*."))
        own = urlsplit(settings.public_url).hostname
        self._hosts = frozenset(hosts | ({own} if own else set()))
        self._any = not settings.allowed_hosts
        self._hsts = f"max-age={settings.hsts_seconds}".encode() if settings.hsts_seconds else None

    def fault_of(self, scope: Scope) -> Problem | None:
        """Why the request is not for this service: its Host is malformed or not allowed, or it offers to
        become a WebSocket. Other upgrades are ignored."""
        headers = gather(scope)
        found = _HOST.match(headers.get(b"host", b"").decode("latin-1"))
        if found is None or not _is_address(found["ipv6"]):
            return _MALFORMED
        if b"websocket" in headers.get(b"upgrade", b"").lower() and _is_offered(headers):
            return _WEBSOCKET
        if self._any or scope["path"] in PROBES:
            return None
        host = (found["ipv6"] or found["name"]).lower()
        return None if host in self._hosts or host.endswith(self._suffixes or ("\0",)) else _MISDIRECTED

    def headers(self, scope: Scope, given: list[Any]) -> Iterator[Header]:
        """The security headers to add to a response that has the headers `given`."""
        yield from _ALWAYS
        names = {name for name, _ in given}
        for header in _DEFAULTS:
            if header[0] not in names:
                yield header
        if self._hsts and scope.get("scheme") == "https":
            yield (b"strict-transport-security", self._hsts)


def own_base(scope: Scope, settings: Settings) -> str | None:
    """The base URL by which clients reach this service, without a slash at its end: that of the settings, or
    else that of this request. None if any host is allowed, because then a client may name any.

    The public URL counts for requests to its host: it knows the scheme and the path behind a proxy."""
    if settings.client_url:
        return settings.client_url
    if settings.public_url and _host(scope) in ("", *_hosts_of(settings.public_url)):
        return settings.public_url
    return asked_base(scope) if settings.allowed_hosts else None


def asked_base(scope: Scope) -> str:
    """The scheme and the host that the request used; empty if it names no host. Any client can name any host:
    only the answer to this request may have it, and nothing secret beside it."""
    host = _host(scope)
    return f"{scope['scheme']}://{host}" if host else ""


def _host(scope: Scope) -> str:
    """The host that the request names, which `fault_of` has judged."""
    return gather(scope).get(b"host", b"").decode("latin-1").lower()


def _hosts_of(url: str) -> tuple[str, str]:
    """How requests to this URL name its host: with the usual port of its scheme, and without."""
    parts = urlsplit(url.lower())
    usual = ":443" if parts.scheme == "https" else ":80"
    host = parts.netloc.removesuffix(usual)
    return host, host + usual


def _is_offered(headers: Headers) -> bool:
    """Whether the client, and not a proxy for itself, asks for an upgrade."""
    return b"upgrade" in headers.get(b"connection", b"").lower()


def _is_address(text: str | None) -> bool:
    """Whether this is an IPv6 address, or nothing."""
    if text is None:
        return True
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True
