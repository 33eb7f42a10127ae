"""Where the primary is. A connection asks each time it connects, so a failover needs no restart.

`redis+sentinel://` asks the sentinels; `redis+cluster://` asks the nodes of a cluster which of them has the
slot of our keys (they all carry one hash tag). Any other URL names the server itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import cache
from typing import Any, Final, Protocol

from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError

from gateway.dispatch import PREFIX
from gateway.settings.redis_url import RedisUrl, read_redis_url
from gateway.store.replies import NotHereError

Place = tuple[str, int]
#: How long one sentinel or node may take to answer. The next one is asked after that.
ASK_SECONDS: Final = 0.3


class Locator(Protocol):
    """`mode`: how the store is found, for people. `must_be_primary`: whether a new connection checks its
    server's role."""

    mode: str
    must_be_primary: bool

    async def primary(self) -> Place | None:
        """Where to connect; None: where the URL says. Raises NotHereError if nobody knows."""
        ...

    def places(self) -> Sequence[Place]:
        """Every host that belongs to the store, as far as is known."""
        ...


class Fixed:
    """One server, or one name that leads to it."""

    mode = "one server"
    must_be_primary = False

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = places

    async def primary(self) -> None:
        return None

    def places(self) -> Sequence[Place]:
        return self._places


class Sentinels:
    """The sentinel that answered first is asked first the next time."""

    mode = "sentinel"
    must_be_primary = True  # a sentinel may not have noticed yet

    def __init__(self, url: RedisUrl) -> None:
        self._url = url
        self._sentinels = list(url.hosts)
        self._servers: list[Place] = []

    async def primary(self) -> Place:
        reasons: list[str] = []
        for place in list(self._sentinels):
            async with _asking(self._url.of_sentinel(place)) as sentinel:
                try:
                    found = await self._ask(sentinel, "GET-MASTER-ADDR-BY-NAME")
                except (RedisError, OSError) as error:
                    reasons.append(type(error).__name__)
                    continue
                if not found:
                    reasons.append("unknown name")
                    continue
                self._sentinels.remove(place)
                self._sentinels.insert(0, place)
                self._learn([_place(found)])
                with contextlib.suppress(RedisError, OSError):  # it may not be allowed, and is not needed
                    self._learn([_place_of_replica(one) for one in await self._ask(sentinel, "REPLICAS")])
            return _place(found)
        raise NotHereError(f"no sentinel knows the primary of {self._url.name} ({_listed(reasons)})")

    async def _ask(self, sentinel: Redis, what: str) -> Any:
        return await sentinel.execute_command("SENTINEL", what, self._url.name)  # type: ignore[no-untyped-call]

    def places(self) -> Sequence[Place]:
        return [*self._sentinels, *self._servers]

    def _learn(self, servers: Sequence[Place]) -> None:
        """A server that was the primary once may be it again: none is forgotten."""
        self._servers += [place for place in servers if place not in self._servers]


class OwnerOfSlot:
    """The node of a cluster that has the slot of our keys."""

    mode = "cluster"
    must_be_primary = False  # another node refuses every call with MOVED

    def __init__(self, url: RedisUrl) -> None:
        self._url = url
        self._nodes = list(url.hosts)
        self._slot = key_slot(PREFIX.encode())

    async def primary(self) -> Place:
        reasons: list[str] = []
        for asked in list(self._nodes):
            async with _asking(self._url.of_server(asked)) as node:
                try:
                    ranges: Any = await node.execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
                except (RedisError, OSError) as error:
                    reasons.append(type(error).__name__)
                    continue
            owner = None
            for first, last, *servers in ranges:
                # a node that does not know its own name leaves it out: it is the one that was asked
                places = [(str(server[0] or asked[0]), int(server[1])) for server in servers]
                self._nodes += [place for place in places if place not in self._nodes]
                if first <= self._slot <= last:
                    owner = places[0]
            if owner is not None:
                return owner
            reasons.append("unknown slot")
        raise NotHereError(f"no node of the cluster knows which one has our keys ({_listed(reasons)})")

    def places(self) -> Sequence[Place]:
        return self._nodes


@cache
def locator_of(text: str) -> Locator:
    """The locator of a URL: one in each process, so that all of it knows what was learned. ValueError for a
    URL that is none of Redis."""
    url = read_redis_url(text)
    if url.mode == "sentinel":
        return Sentinels(url)
    return OwnerOfSlot(url) if url.mode == "cluster" else Fixed(url.hosts)


def _asking(url: str) -> Redis:
    client: Redis = Redis.from_url(
        url, socket_timeout=ASK_SECONDS, socket_connect_timeout=ASK_SECONDS, decode_responses=True, protocol=2
    )
    return client


def _listed(reasons: Sequence[str]) -> str:
    """Each reason once: the class of an error, never its text, which may hold what was sent."""
    return ", ".join(dict.fromkeys(reasons))


def _place(pair: Sequence[Any]) -> Place:
    return str(pair[0]), int(pair[1])


def _place_of_replica(listed: Any) -> Place:
    fields = listed if isinstance(listed, dict) else dict(zip(listed[::2], listed[1::2], strict=True))
    return str(fields["ip"]), int(fields["port"])
