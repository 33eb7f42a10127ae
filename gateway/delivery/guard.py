"""Which addresses a webhook may be sent to, judged on the address that is about to be dialled.

`TCPConnector(socket_factory=Guard(...))`: aiohttp asks the factory for a socket after every name lookup
and for every literal, so a name that changes its mind between a check and the dial (rebinding) gains
nothing. Of a name with good and bad addresses the bad ones are skipped.

* internal mode (default): the allowed networks and nothing else.
* public mode: addresses of the public Internet, and the allowed networks.
* Link-local and metadata addresses in neither, whatever the allowed networks say.

The lists are our own: Python's `is_global` differs between releases and lets many special addresses pass.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.errors import AddressRefused, ConfigurationError
from gateway.urls import url_fault

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
MAX_WEBHOOK_URL_CHARACTERS: Final = 2_048

AddrInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


_NEVER: Final = _networks(
    *("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4"),
    *("100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32"),  # metadata: Alibaba, Azure, Oracle
    *("::/128", "64:ff9b:1::/48", "fe80::/10", "fec0::/10", "ff00::/8"),
    *("fd00:ec2::/32", "fd20:ce::254/128"),  # metadata: Amazon, Google
)
_NOT_PUBLIC: Final = _networks(
    *("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
    *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
)
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_CARRYING_LAST: Final = (IPv6Network("::/96"), IPv6Network("::ffff:0:0:0/96"))  # v4-compatible, v4-translated
_LOOPBACK: Final = IPv6Address("::1")


class Guard:
    """A socket factory that raises AddressRefused for what may not be dialled.

    `allowed_networks`: CIDRs; `allowed_ports`: None for all. Raises ConfigurationError for a bad CIDR.
    """

    def __init__(
        self,
        allowed_networks: Sequence[str],
        public: bool = False,
        allowed_ports: Collection[int] | None = None,
    ) -> None:
        try:
            self._allowed = _networks(*allowed_networks)
        except ValueError as error:
            raise ConfigurationError(f"a network is not in CIDR form: {error}") from None
        self._public = public
        self._ports = None if allowed_ports is None else frozenset(allowed_ports)

    def __call__(self, info: AddrInfo) -> socket.socket:
        family, kind, proto, _, (host, port, *_) = info
        if not self.permits(host, port):
            # One text for every address: the dialler loses the type of errors whose texts differ.
            raise AddressRefused("this address may not be dialled")
        return socket.socket(family, kind, proto)

    def permits(self, address: str, port: int) -> bool:
        """Whether this literal address and port may be dialled."""
        if self._ports is not None and port not in self._ports:
            return False
        plain = _without_translation(ip_address(address))
        carried = _carried(plain)
        return self._permits(plain) and (carried is None or self._permits(carried))

    def check_literal(self, url: str) -> str | None:
        """What is wrong with a subscriber's URL as far as can be told without a lookup; None: nothing.

        For a quick refusal at registration, worded to follow the field's name. The addresses of a name are
        judged when they are dialled.
        """
        if fault := url_fault(url, max_characters=MAX_WEBHOOK_URL_CHARACTERS):
            return fault[1]
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if self._ports is not None and port not in self._ports:
            return f"names port {port}, which is not one of the ports that webhooks may go to"
        if _is_address(host) and not self.permits(host, port):
            return f"points to {host}, which is not in the networks that webhooks may go to"
        return None

    def _permits(self, address: Address) -> bool:
        if _within(address, _NEVER):
            return False
        return _within(address, self._allowed) or (self._public and _is_public(address))


def _is_address(host: str) -> bool:
    try:
        return bool(ip_address(host))
    except ValueError:
        return False


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _is_public(address: Address) -> bool:
    return (address.version == 4 or address in _GLOBAL_UNICAST) and not _within(address, _NOT_PUBLIC)


def _without_translation(address: Address) -> Address:
    """A v4-mapped or NAT64 address is but a spelling of the IPv4 address in its last 32 bits."""
    if address in _MAPPED or address in _NAT64:
        return IPv4Address(address.packed[-4:])
    return address


def _carried(address: Address) -> IPv4Address | None:
    """The IPv4 address that a tunnel would unpack (6to4, Teredo, v4-compatible, v4-translated).

    Both must be permitted then: the outer one alone would hide the inner.
    """
    if isinstance(address, IPv4Address) or address == _LOOPBACK:
        return None
    if address.sixtofour:
        return address.sixtofour
    if address.teredo:
        return address.teredo[1]
    return IPv4Address(address.packed[-4:]) if _within(address, _CARRYING_LAST) else None
