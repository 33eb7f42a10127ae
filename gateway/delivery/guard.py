"""Decides which addresses a webhook may be sent to. It checks the address that is about to be dialled.

`TCPConnector(socket_factory=guard, resolver=VettingResolver(guard, ...))`: aiohttp asks the factory for a
socket after every name lookup and for every literal address. So a name that resolves differently between a
check and the dial (DNS rebinding) gains nothing. All addresses of a name must be permitted, or none of them
is dialled.

* Internal mode (default): only the allowed networks; for a tenant also its own (`allowing`).
* Public mode: addresses of the public Internet over https, and the allowed networks.
* Never, even inside an allowed network: link-local, multicast, unspecified and metadata addresses, and the
  places where the gateway and its Redis listen. If an address contains another, both must be permitted.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextvars import ContextVar
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.delivery import addresses
from gateway.delivery.addresses import Address, Lookup, Network, OwnAddresses, Places
from gateway.delivery.names import NameService, on_behalf_of
from gateway.errors import AddressRefused, ConfigurationError
from gateway.settings import Settings
from gateway.settings.redis_url import read_redis_url
from gateway.urls import split_url, url_fault

MAX_WEBHOOK_URL_CHARACTERS: Final = 2_048
#: Of one name. Far more than anybody needs, and few enough to check each of them at every lookup.
MAX_ADDRESSES: Final = 32
_WEB_PORTS: Final = {"http": 80, "https": 443}
_NUMERIC: Final = socket.AddressInfo.AI_NUMERICHOST | socket.AddressInfo.AI_NUMERICSERV
# Whether the current dial is for plain http. The default is True, the stricter choice.
_plain_http: ContextVar[bool] = ContextVar("plain_http", default=True)
# Networks that may be dialled in addition, for the tenant of the current dial.
_also: ContextVar[tuple[Network, ...]] = ContextVar("also", default=())

AddrInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]


class Refusal(StrEnum):
    """Why a URL may not be dialled, worded to follow the name of its field."""

    PORT = "names port {port}, which is not one of the ports that webhooks may go to"
    NETWORK = "points to {place}, which is not in the networks that webhooks may go to"
    OWN = "points to {place}, port {port}, which webhooks may not go to"
    MANY = f"points to {{place}}, which has more than {MAX_ADDRESSES} addresses; give it fewer"
    PLAIN = "is plain http to a public address; send an https:// URL"


@contextlib.contextmanager
def allowing(networks: tuple[Network, ...]) -> Iterator[None]:
    """Also allows these networks of one tenant inside the block. A connection that is made in the block must
    not be reused for anybody else."""
    token = _also.set(networks)
    try:
        yield
    finally:
        _also.reset(token)


class TooManyAddresses(AddressRefused):
    """The name has more addresses than the limit."""


class Guard:
    """A socket factory that raises AddressRefused for an address that may not be dialled.

    `allowed_networks`: CIDRs; `allowed_ports`: None for all but `addresses.CLOSED_PORTS`; `plain_public`:
    allow http to public addresses; `own`: where the service itself listens. ConfigurationError for an invalid
    CIDR.
    """

    def __init__(
        self,
        allowed_networks: Sequence[str],
        public: bool = False,
        allowed_ports: Collection[int] | None = None,
        *,
        plain_public: bool = False,
        own: OwnAddresses | None = None,
        look_up: Lookup | None = None,
    ) -> None:
        try:
            self._allowed = addresses.networks(*allowed_networks)
        except ValueError as error:
            raise ConfigurationError(f"a network is not in CIDR form: {error}") from None
        self._public = public
        self._ports = None if allowed_ports is None else frozenset(allowed_ports)
        self._plain_public = plain_public
        self._own = own or OwnAddresses()
        self._look_up = look_up or NameService()

    def __call__(self, info: AddrInfo) -> socket.socket:
        family, kind, proto, _, (host, port, *_) = info
        if not self.permits(host, port, plain=_plain_http.get()):
            # The same text for every address: aiohttp loses the type of the errors if their texts differ.
            raise AddressRefused("this address may not be dialled")
        return socket.socket(family, kind, proto)

    async def about_to_dial(self, url: str) -> None:
        """Await it in the task that then dials a valid URL. It tells the socket factory whether the scheme is
        http, and looks up our own places, because the factory itself cannot wait."""
        _, port, plain = _parts(url)
        _plain_http.set(plain)
        await self._own.learn(port, self._look_up_own)

    def permits(self, address: str, port: int, *, plain: bool = False) -> bool:
        """Whether this literal address and port may be dialled. `plain`: over http."""
        return self._refusal(address, port, plain) is None

    def vet(self, host: str, port: int, answers: Iterable[str]) -> None:
        """AddressRefused if the name or one of its addresses may not be dialled. TooManyAddresses, before any
        address is checked, if there are too many."""
        answers = list(answers)
        if len(answers) > MAX_ADDRESSES:
            raise TooManyAddresses(f"a name with more than {MAX_ADDRESSES} addresses is not dialled")
        named = self._own.includes_name(host, port)
        if named or not all(self.permits(address, port) for address in answers):
            raise AddressRefused("this address may not be dialled")

    async def learn(self) -> None:
        """Looks up where the service itself listens. Call it once at the start. Never raises."""
        await self._own.learn_all(self._look_up_own)

    async def _look_up_own(self, name: str, port: int) -> list[str]:
        with on_behalf_of(""):  # no tenant may keep us from knowing our own addresses
            return await self._look_up(name, port)

    def check_literal(self, url: str) -> str | None:
        """What is wrong with a subscriber's URL, without a name lookup; None: nothing.

        Used to refuse a registration early; worded to follow the field's name. The addresses of a name are
        checked by `check_resolved`, and again when they are dialled.
        """
        if fault := url_fault(url, max_characters=MAX_WEBHOOK_URL_CHARACTERS):
            return fault[1]
        host, port, plain = _parts(url)
        if _is_address(host):
            refusal = self._refusal(host, port, plain)
        elif _is_address(host.rstrip(".")):
            return "has an IP address that ends in a dot, which is never dialled; remove the dot"
        else:
            refusal = self._name_refusal(host, port, plain)
        return None if refusal is None else refusal.format(place=host, port=port)

    async def check_resolved(self, url: str) -> str | None:
        """`check_literal`, and then a check of every address that the name has now; None: nothing is wrong.

        OSError: the name could not be looked up; only the syntax of the URL was checked. The answer does not
        contain the addresses, because clients must not learn about the internal network.
        """
        if fault := url_fault(url, max_characters=MAX_WEBHOOK_URL_CHARACTERS):
            return fault[1]
        host, port, plain = _parts(url)
        await self._own.learn(port, self._look_up_own)
        if (refused := self.check_literal(url)) or _is_address(host):
            return refused
        found = await self._look_up(host, port)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
        if len(found) > MAX_ADDRESSES:
            return Refusal.MANY.format(place=host)
        for refusal in filter(None, (self._refusal(address, port, plain) for address in found)):
            return refusal.format(place=f"an address of {host}", port=port)
        return None

    def _name_refusal(self, name: str, port: int, plain: bool) -> Refusal | None:
        if not self._opens(port):
            return Refusal.PORT
        if self._own.includes_name(name, port):
            return Refusal.OWN
        # If no network is allowed, every permitted address of a name is public.
        some = self._allowed or _also.get()
        return Refusal.PLAIN if plain and self._public and not (some or self._plain_public) else None

    def _refusal(self, text: str, port: int, plain: bool) -> Refusal | None:
        if not self._opens(port):
            return Refusal.PORT
        try:
            address = addresses.read_address(text)
        except ValueError:
            return Refusal.NETWORK
        for judged in (address, *addresses.carried(address)):
            if refusal := self._refusal_of(judged, plain):
                return refusal
        own = any(self._own.includes(judged, port) for judged in (address, *addresses.carried(address)))
        return Refusal.OWN if own else None

    def _refusal_of(self, address: Address, plain: bool) -> Refusal | None:
        if addresses.within(address, addresses.NEVER):
            return Refusal.NETWORK
        if addresses.within(address, self._allowed) or addresses.within(address, _also.get()):
            return None
        if not (self._public and addresses.is_public(address)):
            return Refusal.NETWORK
        return Refusal.PLAIN if plain and not self._plain_public else None

    def _opens(self, port: int) -> bool:
        return port not in addresses.CLOSED_PORTS if self._ports is None else port in self._ports


class SystemResolver(AbstractResolver):
    """A `NameService` with the interface that a connector needs."""

    def __init__(self, names: NameService) -> None:
        self._names = names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=proto, flags=_NUMERIC)
            for kind, proto, address in await self._names.find(host, family)
        ]

    async def close(self) -> None:
        await self._names.close()


class VettingResolver(AbstractResolver):
    """Looks up names and refuses a name if one of its addresses may not be dialled. It does not know the
    scheme: the socket factory makes the final decision for each address."""

    def __init__(self, guard: Guard, resolver: AbstractResolver) -> None:
        self._guard = guard
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        answers = await self._resolver.resolve(host, port, family)
        if not answers:  # the connector does not expect an empty list
            raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
        self._guard.vet(host, port, [answer["host"] for answer in answers])
        return answers

    async def close(self) -> None:
        await self._resolver.close()


async def open_guard(settings: Settings, names: NameService, store_places: Places) -> Guard:
    """The guard of a process; it knows where this service listens. `store_places`: every server of the store
    that is known so far. ConfigurationError for an invalid URL."""
    guard = Guard(
        settings.delivery_networks,
        settings.delivery_public,
        settings.delivery_ports or None,
        plain_public=settings.delivery_allow_http,
        own=own_addresses(settings, store_places),
        look_up=names,
    )
    await guard.learn()
    return guard


def own_addresses(settings: Settings, store_places: Places = list, *, upstream: bool = True) -> OwnAddresses:
    """The gateway's listening address, its public URL, the upstream (also the sandbox) and Redis.
    `upstream`: whether it counts.

    On ports 80 and 443, one address often serves many names through an ingress, also those of subscribers.
    For these ports, only the name in a URL counts, not its address.
    """
    places, names = [(settings.host, settings.port)], []
    try:
        for url in filter(None, (settings.public_url, settings.upstream_url if upstream else "")):
            host, port, _ = _parts(url)
            names.append((host, port))
            if port not in _WEB_PORTS.values() or _is_address(host):
                places.append((host, port))
        places += read_redis_url(settings.redis_url).hosts
    except ValueError as error:
        wrong = "GATEWAY_PUBLIC_URL, GATEWAY_UPSTREAM_URL or GATEWAY_REDIS_URL"
        raise ConfigurationError(f"{wrong}: {error}") from None
    return OwnAddresses(places, names, store_places)


@lru_cache(maxsize=1024)
def _parts(url: str) -> tuple[str, int, bool]:
    """Host, port, and whether the scheme is http. ValueError for an invalid URL or port."""
    scheme, authority, _ = split_url(url)  # the same parts that are dialled
    parts = urlsplit(f"//{authority}")
    return parts.hostname or "", parts.port or _WEB_PORTS[scheme], scheme == "http"


def _is_address(host: str) -> bool:
    try:
        addresses.read_address(host)
    except ValueError:
        return False
    return True
