"""Classifies IP addresses: public or special, our own or not, and which IPv4 addresses they contain.

The lists are our own: Python's `is_global` differs between releases and lets many special addresses pass.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from gateway.environment import Environment

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
#: From a name and a port to the addresses of the name. OSError: it has none, or the lookup failed.
Lookup = Callable[[str, int], Awaitable[list[str]]]


def networks(*texts: str) -> tuple[Network, ...]:
    """Networks in CIDR form. ValueError for any other text."""
    return tuple(ip_network(text) for text in texts)


#: Always forbidden, even if the operator allows them.
NEVER: Final = networks(
    *("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4"),
    *("100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32"),  # metadata: Alibaba, Azure, Oracle
    *("::/128", "64:ff9b:1::/48", "fe80::/10", "fec0::/10", "ff00::/8"),
    *("fd00:ec2::/32", "fd20:ce::254/128"),  # metadata: Amazon, Google
    *("fd00:42::42/128", "fd00:a9fe:a9fe::1/128"),  # metadata: Scaleway, Akamai
)
_NOT_PUBLIC: Final = networks(
    *("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
    *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
)
#: Ports of well-known services that are not web servers, or that must never get a POST from a stranger.
CLOSED_PORTS: Final = frozenset(
    [
        *(7, 9, 13, 17, 19),  # echo, discard, daytime, quotes, characters
        *(20, 21, 22, 23, 69, 115),  # ftp, ssh, telnet, tftp, sftp
        *(25, 110, 143, 465, 587, 993, 995),  # mail
        *(53, 88, 123, 161, 162, 389, 636, 853),  # dns, kerberos, time, snmp, ldap
        *(111, 135, 137, 138, 139, 445, 512, 513, 514, 515, 548, 873, 2049, 3389, 5900),  # files, screens
        *(1433, 1521, 3306, 5432, 9042, 27017, 27018, 27019),  # databases
        *(6379, 6380, 11211, 26379),  # Redis, its TLS and Sentinel, memcached
        *(1883, 4222, 5671, 5672, 8883, 9092, 61616),  # queues
        *(2181, 2379, 2380, 9300),  # members of clusters among themselves
        *(2375, 2376, 6443, 10250, 10255),  # Docker, Kubernetes
    ]
)
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_CARRYING_LAST: Final = (IPv6Network("::/96"), IPv6Network("::ffff:0:0:0/96"))  # v4-compatible, v4-translated
_ISATAP: Final = (0x00005EFE, 0x02005EFE)
_LOOPBACK: Final = IPv6Address("::1")
_LOOKUP_SECONDS: Final = 60.0
_RETRY_LOOKUP_SECONDS: Final = 1.0
_VERDICT_SECONDS: Final = 5.0
_MONOTONIC: Final = Environment().monotonic


def within(address: Address, some: Iterable[Network]) -> bool:
    return any(address in network for network in some)


def is_public(address: Address) -> bool:
    """Whether the address is on the public Internet. Does not check `NEVER`."""
    return (address.version == 4 or address in _GLOBAL_UNICAST) and not within(address, _NOT_PUBLIC)


def read_address(text: str) -> Address:
    """The address that is really dialled. ValueError for a text that is not an address.

    A v4-mapped or NAT64 address is only another spelling of the IPv4 address in its last 32 bits. The zone
    (`%1`) is removed: it names the interface, not the address, and would make equal addresses differ.
    """
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        return address
    if address in _MAPPED or address in _NAT64:
        return IPv4Address(address.packed[-4:])
    return IPv6Address(int(address))


def carried(address: Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses inside a tunnel address: 6to4, Teredo, ISATAP, v4-compatible, v4-translated.

    They must all be permitted as well: the outer address would hide them.
    """
    if isinstance(address, IPv4Address) or address == _LOOPBACK:
        return ()
    inner: list[IPv4Address] = list(address.teredo or ())
    if address.sixtofour:
        inner.append(address.sixtofour)
    if within(address, _CARRYING_LAST) or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        inner.append(IPv4Address(address.packed[-4:]))
    return tuple(inner)


def is_of_this_machine(address: Address) -> bool:
    """Whether packets to the address stay on this machine. The answer is cached for some seconds."""
    return address.is_loopback or _stays_here(address, _MONOTONIC() // _VERDICT_SECONDS)


@lru_cache(maxsize=1024)
def _stays_here(address: Address, _: float) -> bool:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        # If the target is this machine, the system uses the target as the source address too. Connecting a
        # UDP socket sends nothing.
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))
            return ip_address(probe.getsockname()[0]) == address
    except OSError:  # there is no route, or this machine does not have the address family
        return False


#: Hosts and ports of the store that are known so far.
Places = Callable[[], Sequence[tuple[str, int]]]


class OwnAddresses:
    """Hosts and ports where this service and its Redis listen. No webhook may go there.

    `addresses`: compared by the addresses of the host; if one of these is this machine, any address of this
    machine counts. `names`: compared by name only. Until the name of a place was looked up, every address
    with its port counts as ours: a late webhook is better than a webhook to our own Redis. `found`: places
    that become known while the process runs, such as the next primary; only ever more of them.
    """

    def __init__(
        self,
        addresses: Iterable[tuple[str, int]] = (),
        names: Iterable[tuple[str, int]] = (),
        found: Places = list,
    ) -> None:
        self._places = [_Place(host, port) for host, port in addresses]
        self._found = found
        self._number_found = 0
        self._names = frozenset((_plain(host), port) for host, port in names)

    def includes_name(self, host: str, port: int) -> bool:
        return (_plain(host), port) in self._names

    def includes(self, address: Address, port: int) -> bool:
        self._add_found()
        return any(place.port == port and place.holds(address) for place in self._places)

    async def learn(self, port: int, look_up: Lookup) -> None:
        """Looks up the names of the places with this port, each at most once a minute. Never raises."""
        self._add_found()
        for place in self._places:
            if place.port == port:
                await place.learn(look_up)

    def _add_found(self) -> None:
        found = self._found()
        if len(found) != self._number_found:
            self._number_found = len(found)
            known = {(place.host, place.port) for place in self._places}
            self._places += [_Place(host, port) for host, port in found if (host, port) not in known]

    async def learn_all(self, look_up: Lookup) -> None:
        await asyncio.gather(*(place.learn(look_up) for place in self._places))


class _Place:
    def __init__(self, host: str, port: int) -> None:
        self.port = port
        self.host = host
        self._addresses = _literal(host)
        self._is_a_name = self._addresses is None
        self._next_lookup = 0.0

    def holds(self, address: Address) -> bool:
        if self._addresses is None or address in self._addresses:
            return True
        here = any(own.is_unspecified or is_of_this_machine(own) for own in self._addresses)
        return here and is_of_this_machine(address)

    async def learn(self, look_up: Lookup) -> None:
        now = asyncio.get_running_loop().time()
        if not self._is_a_name or now < self._next_lookup:
            return
        # Set before the wait, so that only one of many callers asks.
        self._next_lookup = now + _RETRY_LOOKUP_SECONDS
        try:
            found = await look_up(self.host, self.port)
        except OSError:  # keep the addresses that were known before
            return
        if not found:
            return
        self._addresses = frozenset(map(read_address, found))
        self._next_lookup = now + _LOOKUP_SECONDS


def _literal(host: str) -> frozenset[Address] | None:
    try:
        return frozenset([read_address(host.strip("[]") or "0.0.0.0")])  # noqa: S104 - compared, not bound
    except ValueError:
        return None


def _plain(host: str) -> str:
    return host.rstrip(".").lower()
