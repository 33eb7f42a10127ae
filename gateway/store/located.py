"""Where the primary is. A connection asks each time it connects, so a failover needs no restart.

`redis+sentinel://` asks the sentinels; `redis+cluster://` asks the nodes of a cluster which of them has the
slot of our keys (they all carry one hash tag). Any other URL names the server itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from functools import cache
from typing import Any, Final, Protocol

from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError

from gateway.dispatch import PREFIX
from gateway.settings.redis_url import RedisUrl, read_redis_url
from gateway.store.refusals import explained, name_of, refusal
from gateway.store.replies import NobodyKnowsError
from gateway.store.tls import use_tls

Place = tuple[str, int]
#: How long one sentinel or node may take to answer. The next one is asked after that.
ASK_SECONDS: Final = 0.3


def written(place: Place) -> str:
    """`host:port`, with an IPv6 address in brackets."""
    host, port = place
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Locator(Protocol):
    """`mode`: how the store is found, for people. `must_be_primary`: whether a new connection checks its
    server's role."""

    mode: str
    must_be_primary: bool

    async def primary(self) -> Place | None:
        """Where to connect; None: where the URL says. Raises NobodyKnowsError if nobody knows."""
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
    """The sentinel that answered first is asked first the next time. `sentinels`: those of the URL."""

    mode = "sentinel"
    must_be_primary = True  # a sentinel may not have noticed yet

    def __init__(self, url: RedisUrl) -> None:
        self._url, self.name = url, url.name
        self.sentinels = url.hosts
        self._sentinels = list(url.hosts)
        self._others: list[Place] = []  # servers, and sentinels that the URL does not name

    async def primary(self) -> Place:
        failures: list[BaseException | str] = []
        for place in list(self._sentinels):
            async with self.asking(place) as sentinel:
                try:
                    found = await self.named_by(sentinel)
                except (RedisError, OSError) as error:
                    failures.append(await explained(error, sentinel.connection_pool))
                    continue
                if found is None:
                    failures.append("unknown name")
                    continue
                self._sentinels.remove(place)
                self._sentinels.insert(0, place)
                self._learn([found])
                for others in ("REPLICAS", "SENTINELS"):
                    with contextlib.suppress(RedisError, OSError):  # it may not be allowed, nor is it needed
                        self._learn(map(_place_of, await self._ask(sentinel, others)))
            return found
        raise _nobody_knows(f"no sentinel knows the primary of {self.name}", failures)

    def asking(self, sentinel: Place) -> contextlib.AbstractAsyncContextManager[Redis]:
        """A client of one sentinel, for a moment."""
        return _asking(self._url.of_sentinel(sentinel))

    async def named_by(self, sentinel: Redis) -> Place | None:
        """Which primary this sentinel names; None: it does not know our name. Raises redis-py's errors."""
        found = await self._ask(sentinel, "GET-MASTER-ADDR-BY-NAME")
        return _place(found) if found else None

    async def _ask(self, sentinel: Redis, what: str) -> Any:
        return await sentinel.execute_command("SENTINEL", what, self.name)  # type: ignore[no-untyped-call]

    def places(self) -> Sequence[Place]:
        return [*self._sentinels, *self._others]

    def _learn(self, others: Iterable[Place]) -> None:
        """A server that was the primary once may be it again: none is forgotten."""
        known = self.places()
        self._others += [place for place in others if place not in known]


class OwnerOfSlot:
    """The node of a cluster that has the slot of our keys."""

    mode = "cluster"
    must_be_primary = False  # another node refuses every call with MOVED

    def __init__(self, url: RedisUrl) -> None:
        self._url = url
        self._nodes = list(url.hosts)
        self.slot = key_slot(PREFIX.encode())

    async def primary(self) -> Place:
        failures: list[BaseException | str] = []
        for asked in list(self._nodes):
            async with self.asking(asked) as node:
                try:
                    ranges: Any = await node.execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
                except (RedisError, OSError) as error:
                    failures.append(await explained(error, node.connection_pool))
                    continue
            owner = None
            for first, last, *servers in ranges:
                # a node that does not know its own name leaves it out: it is the one that was asked
                places = [(str(server[0] or asked[0]), int(server[1])) for server in servers]
                self._nodes += [place for place in places if place not in self._nodes]
                if first <= self.slot <= last:
                    owner = places[0]
            if owner is not None:
                return owner
            failures.append("unknown slot")
        raise _nobody_knows("no node of the cluster knows which one has our keys", failures)

    def asking(self, node: Place) -> contextlib.AbstractAsyncContextManager[Redis]:
        """A client of one node, for a moment."""
        return _asking(self._url.of_server(node))

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


@contextlib.asynccontextmanager
async def _asking(url: str) -> AsyncIterator[Redis]:
    client: Redis = Redis.from_url(
        url, socket_timeout=ASK_SECONDS, socket_connect_timeout=ASK_SECONDS, decode_responses=True, protocol=2
    )
    use_tls(client.connection_pool)
    async with client:
        yield client


def _nobody_knows(what: str, failures: Sequence[BaseException | str]) -> NobodyKnowsError:
    """Names each reason once. Its cause is one that waiting cannot fix, if nobody gave another reason."""
    reasons = [one if isinstance(one, str) else name_of(one) for one in failures]
    error = NobodyKnowsError(f"{what} ({', '.join(dict.fromkeys(reasons))})")
    causes = [one for one in failures if not isinstance(one, str) and refusal(one)]
    if len(causes) == len(failures):
        error.__cause__ = causes[0]
    return error


def _place(pair: Sequence[Any]) -> Place:
    return str(pair[0]), int(pair[1])


def _place_of(listed: Any) -> Place:
    """Of a replica or sentinel."""
    fields = listed if isinstance(listed, dict) else dict(zip(listed[::2], listed[1::2], strict=True))
    return str(fields["ip"]), int(fields["port"])
