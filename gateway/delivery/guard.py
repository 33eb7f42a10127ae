"""Which addresses a webhook may be sent to, judged on the address that is about to be dialled.

`TCPConnector(socket_factory=guard, resolver=VettingResolver(guard))`: aiohttp asks the factory for a socket
after every name lookup and for every literal, so a name that changes its mind between a check and the dial
(rebinding) gains nothing. Of a name every address must be permitted, or none of them is dialled.

* internal mode (default): the allowed networks and nothing else; for a tenant its own, too (`allowing`).
* public mode: addresses of the public Internet over https, and the allowed networks.
* In neither, whatever the allowed networks say: link-local, multicast, unspecified and metadata addresses,
  and the places where the gateway and its Redis listen. An address that hides another needs both permitted.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextvars import ContextVar
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.delivery import addresses
from gateway.delivery.addresses import Address, Lookup, Network, OwnPlaces
from gateway.delivery.names import NameService
from gateway.errors import AddressRefused, ConfigurationError
from gateway.settings import Settings
from gateway.urls import url_fault

MAX_WEBHOOK_URL_CHARACTERS: Final = 2_048
#: Of one name. Far more than anybody needs, and few enough to judge each of them at every lookup.
MAX_ADDRESSES: Final = 32
_WEB_PORTS: Final = {"http": 80, "https": 443}
_REDIS_PORT: Final = 6379
_NUMERIC: Final = socket.AddressInfo.AI_NUMERICHOST | socket.AddressInfo.AI_NUMERICSERV
# Whether the dial under way is for plain http. True where nobody said so: the stricter of the two.
_plain_http: ContextVar[bool] = ContextVar("plain_http", default=True)
# Networks that may be dialled besides, for the tenant on whose behalf it is.
_also: ContextVar[tuple[Network, ...]] = ContextVar("also", default=())

AddrInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]


class Refusal(StrEnum):
    """Why a place may not be dialled, worded to follow the name of a URL's field."""

    PORT = "names port {port}, which is not one of the ports that webhooks may go to"
    NETWORK = "points to {place}, which is not in the networks that webhooks may go to"
    OWN = "points to {place}, port {port}, which is kept from webhooks"
    MANY = f"points to {{place}}, which has more than {MAX_ADDRESSES} addresses; give it fewer"
    PLAIN = "is plain http to a public address; send an https:// URL"


@contextlib.contextmanager
def allowing(networks: tuple[Network, ...]) -> Iterator[None]:
    """In the block these networks are allowed too: those of one tenant. A connection that is made here must
    be kept for nobody else."""
    token = _also.set(networks)
    try:
        yield
    finally:
        _also.reset(token)


class TooManyAddresses(AddressRefused):
    """The name has more addresses than are judged."""


class Guard:
    """A socket factory that raises AddressRefused for what may not be dialled.

    `allowed_networks`: CIDRs; `allowed_ports`: None for all but `addresses.CLOSED_PORTS`; `plain_public`:
    public addresses over http too; `own`: where the service itself listens. Raises ConfigurationError for a
    bad CIDR.
    """

    def __init__(
        self,
        allowed_networks: Sequence[str],
        public: bool = False,
        allowed_ports: Collection[int] | None = None,
        *,
        plain_public: bool = False,
        own: OwnPlaces | None = None,
        look_up: Lookup | None = None,
    ) -> None:
        try:
            self._allowed = addresses.networks(*allowed_networks)
        except ValueError as error:
            raise ConfigurationError(f"a network is not in CIDR form: {error}") from None
        self._public = public
        self._ports = None if allowed_ports is None else frozenset(allowed_ports)
        self._plain_public = plain_public
        self._own = own or OwnPlaces()
        self._look_up = look_up or NameService()

    def __call__(self, info: AddrInfo) -> socket.socket:
        family, kind, proto, _, (host, port, *_) = info
        if not self.permits(host, port, plain=_plain_http.get()):
            # One text for every address: the dialler loses the type of errors whose texts differ.
            raise AddressRefused("this address may not be dialled")
        return socket.socket(family, kind, proto)

    async def about_to_dial(self, url: str) -> None:
        """To be awaited by the task that then dials a well-written URL. A socket factory is not told whether
        that is for http, and cannot wait for a lookup of where our own places are now."""
        _, port, plain = _parts(url)
        _plain_http.set(plain)
        await self._own.learn(port, self._look_up)

    def permits(self, address: str, port: int, *, plain: bool = False) -> bool:
        """Whether this literal address and port may be dialled; `plain`: by http."""
        return self._refusal(address, port, plain) is None

    def vet(self, host: str, port: int, answers: Iterable[str]) -> None:
        """AddressRefused when one of the addresses that the name has may not be dialled, or the name not;
        TooManyAddresses before any is judged."""
        answers = list(answers)
        if len(answers) > MAX_ADDRESSES:
            raise TooManyAddresses(f"a name with more than {MAX_ADDRESSES} addresses is not dialled")
        named = self._own.are_named(host, port)
        if named or not all(self.permits(address, port) for address in answers):
            raise AddressRefused("this address may not be dialled")

    async def learn(self) -> None:
        """Looks up where the service itself listens. To be called once at the start; raises nothing."""
        await self._own.learn_all(self._look_up)

    def check_literal(self, url: str) -> str | None:
        """What is wrong with a subscriber's URL as far as can be told without a lookup; None: nothing.

        For a quick refusal at registration, worded to follow the field's name. The addresses of a name are
        judged by `check_resolved`, and again when they are dialled.
        """
        if fault := url_fault(url, max_characters=MAX_WEBHOOK_URL_CHARACTERS):
            return fault[1]
        host, port, plain = _parts(url)
        if _is_address(host):
            refusal = self._refusal(host, port, plain)
        elif _is_address(host.rstrip(".")):
            return "has an IP address that ends in a dot, which is never dialled; leave the dot out"
        else:
            refusal = self._name_refusal(host, port, plain)
        return None if refusal is None else refusal.format(place=host, port=port)

    async def check_resolved(self, url: str) -> str | None:
        """`check_literal`, and then the same for every address that the name has now; None: nothing is wrong.

        OSError: the name cannot be looked up now, so that nothing is known but that the URL is well written.
        The answer does not hold the addresses: names of the inner network are not told to clients.
        """
        if fault := url_fault(url, max_characters=MAX_WEBHOOK_URL_CHARACTERS):
            return fault[1]
        host, port, plain = _parts(url)
        await self._own.learn(port, self._look_up)
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
        if self._own.are_named(name, port):
            return Refusal.OWN
        # With no network allowed every address of a name is public, whichever it is.
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
        own = any(self._own.hold(judged, port) for judged in (address, *addresses.carried(address)))
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
    """A `NameService` in the form that a connector takes."""

    def __init__(self, names: NameService | None = None) -> None:
        self._names = names or NameService()

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
    """Looks names up and refuses those of which one address may not be dialled. The scheme is not known here:
    the socket factory has the last word on each address."""

    def __init__(self, guard: Guard, resolver: AbstractResolver | None = None) -> None:
        self._guard = guard
        self._resolver = resolver or SystemResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        answers = await self._resolver.resolve(host, port, family)
        if not answers:  # the connector does not expect it
            raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
        self._guard.vet(host, port, [answer["host"] for answer in answers])
        return answers

    async def close(self) -> None:
        await self._resolver.close()


async def open_guard(settings: Settings) -> Guard:
    """The guard of a process, which knows where this service listens. ConfigurationError for a bad URL."""
    guard = Guard(
        settings.delivery_networks,
        settings.delivery_public,
        settings.delivery_ports or None,
        plain_public=settings.delivery_allow_http,
        own=own_places(settings),
    )
    await guard.learn()
    return guard


def own_places(settings: Settings) -> OwnPlaces:
    """The gateway's listening address, what the upstream reaches it by, and Redis.

    On 80 and 443 one address often serves many names, subscribers' too, through an ingress: there
    the name of GATEWAY_PUBLIC_URL decides, not its address.
    """
    places, names = [(settings.host, settings.port)], []
    try:
        if settings.public_url:
            host, port, _ = _parts(settings.public_url)
            names.append((host, port))
            if port not in _WEB_PORTS.values() or _is_address(host):
                places.append((host, port))
        redis = urlsplit(settings.redis_url)
        if redis.scheme != "unix":
            places.append((redis.hostname or "localhost", redis.port or _REDIS_PORT))
    except ValueError as error:
        raise ConfigurationError(f"GATEWAY_PUBLIC_URL or GATEWAY_REDIS_URL: {error}") from None
    return OwnPlaces(places, names)


def _parts(url: str) -> tuple[str, int, bool]:
    """Host, port, and whether it is plain http. ValueError for a port that is none."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _WEB_PORTS[parts.scheme], parts.scheme == "http"


def _is_address(host: str) -> bool:
    try:
        addresses.read_address(host)
    except ValueError:
        return False
    return True
