"""Checks which hosts requests may be addressed to, and adds security headers to responses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.types import Scope

from gateway.settings import Settings
from gateway.web.http.headers import gather

#: Requested by orchestrators and monitoring, with any host name or address.
PROBES: Final = frozenset({"/livez", "/readyz", "/metrics"})
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

    def refuses(self, scope: Scope) -> bool:
        """Whether the request is addressed to a host that is not allowed."""
        if self._any or scope["path"] in PROBES:
            return False
        given = gather(scope).get(b"host", b"").decode("latin-1").lower()
        host = given[: given.index("]") + 1].strip("[]") if given.startswith("[") else given.partition(":")[0]
        return host not in self._hosts and not host.endswith(self._suffixes or ("\0",))

    def headers(self, scope: Scope, given: list[Any]) -> Iterator[Header]:
        """The security headers to add to a response that has the headers `given`."""
        yield from _ALWAYS
        names = {name for name, _ in given}
        for header in _DEFAULTS:
            if header[0] not in names:
                yield header
        if self._hsts and scope.get("scheme") == "https":
            yield (b"strict-transport-security", self._hsts)
