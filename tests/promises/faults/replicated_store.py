"""Stores of several servers whose replicas are late: what a run of failovers breaks.

Each server announces the port of its `LaggingProxy`: sentinels, replicas, other nodes and clients know it by
that one alone. A server dies together with its way, so what was held back is lost.
"""

from __future__ import annotations

import contextlib
import random
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final

import redis
from redis.crc import key_slot

from tests.promises.faults.lagging import LaggingProxy, open_lagging
from tests.promises.faults.proxy import Proxies, Weather
from tests.replicated import IN_CLUSTER, Servers, ask, cluster_info, info, wait_until

SENTINELS: Final = 3
SLOT: Final = key_slot(b"{gw}")
_NAME: Final = "main"
_SLOTS: Final = 16384
#: Below the ports of outgoing connections, which could take that of a server while it is down.
_PORTS: Final = (12_000, 32_000)
_DOWN_AFTER_SECONDS: Final = 1.5


class ReplicatedStore(ABC):
    """`url`: for the service. `ways`: by the port of the server behind each. `replicas`: of each primary."""

    url: str
    replicas: int

    def __init__(self, servers: Servers, proxies: Proxies, lag: float, acknowledged_by: int) -> None:
        self.servers = servers
        self.ways: dict[int, LaggingProxy] = {}
        self._proxies, self._lag = proxies, lag
        self._options: dict[int, tuple[str, ...]] = {}
        at_least = ("--min-replicas-to-write", str(acknowledged_by))
        self._common = (*at_least, "--repl-diskless-sync-delay", "0")

    @abstractmethod
    def primary(self) -> int | None:
        """The port of the server that clients are led to; None while nobody knows."""

    @abstractmethod
    def switch(self) -> None:
        """Begins a planned failover."""

    def can_switch(self) -> bool:
        """Whether a planned failover can hand over without a loss."""
        return True

    def kill(self, port: int) -> None:
        """What its replicas were not sent yet is lost."""
        self.ways[port].set(Weather.REFUSE)
        self.servers.kill(port)

    def restart(self, port: int) -> None:
        """As its supervisor would: with the data and options it had."""
        self.servers.start(*self._options[port], port=port)
        self.ways[port].set(Weather.PASS)

    def is_whole(self) -> bool:
        """One primary serves our keys, and all of its replicas are in step with it."""
        port = self.primary()
        if port is None:
            return False
        try:
            with self.at(port) as client:
                found = info(client)
                in_step = sum(
                    value["state"] == "online" for name, value in found.items() if _is_replica(name, value)
                )
                return found["role"] == "master" and in_step == self.replicas and self._is_settled()
        except redis.RedisError:
            return False

    def at(self, port: int) -> redis.Redis:
        return redis.Redis(port=port, decode_responses=True, socket_timeout=2)

    def _is_settled(self) -> bool:
        return all(self._is_in_place(port) for port in self.ways)

    def _is_in_place(self, port: int) -> bool:
        with self.at(port) as client:
            found = info(client)
            return bool(found["role"] == "master" or found["master_link_status"] == "up")

    def _add(self, announce: str, *options: str) -> int:
        port = lasting_port()
        way = open_lagging(self._proxies, f"server {port}", self._lag, ("127.0.0.1", port))
        self.ways[port] = way
        self._options[port] = (f"--{announce}", str(way.port), *self._common, *options)
        return self.servers.start(*self._options[port], port=port)

    def _behind(self, announced: int) -> int | None:
        """The port of the server that is known by this one."""
        return next((port for port, way in self.ways.items() if way.port == announced), None)


class SentinelSet(ReplicatedStore):
    """A primary, two replicas, three sentinels."""

    replicas = 2

    def __init__(self, servers: Servers, proxies: Proxies, lag: float, acknowledged_by: int) -> None:
        super().__init__(servers, proxies, lag, acknowledged_by)
        announce = ("replica-announce-port", "--replica-announce-ip", "127.0.0.1")
        first = self._add(*announce)
        for _ in range(self.replicas):
            self._add(*announce, "--replicaof", f"127.0.0.1 {self.ways[first].port}")
        wait_until(self._is_settled)
        self._sentinels = [
            servers.start_sentinel(_NAME, self.ways[first].port, quorum=2, down_after=_DOWN_AFTER_SECONDS)
            for _ in range(SENTINELS)
        ]
        wait_until(self._is_watched)
        self.url = f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in self._sentinels)}/{_NAME}/0"

    def primary(self) -> int | None:
        for sentinel in self._sentinels:
            with contextlib.suppress(redis.RedisError), self.at(sentinel) as client:
                found: Any = ask(client, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", _NAME)
                return self._behind(int(found[1]))
        return None

    def switch(self) -> None:
        """The primary stops taking writes, and hands over when a replica has them all (Valkey 9)."""
        self._fail_over("COORDINATED")

    def can_switch(self) -> bool:
        with self.at(self._sentinels[0]) as client:
            return any("[COORDINATED]" in line for line in ask(client, "SENTINEL", "HELP"))

    def seize(self) -> None:
        """A replica is promoted at once. Until the others follow it, and the old primary is demoted, that one
        takes writes, and has replicas that acknowledge them."""
        self._fail_over()

    def _fail_over(self, *how: str) -> None:
        with self.at(self._sentinels[0]) as client:
            ask(client, "SENTINEL", "FAILOVER", _NAME, *how)

    def _is_watched(self) -> bool:
        """All sentinels know each other and the replicas."""
        for sentinel in self._sentinels:
            with self.at(sentinel) as client:
                found = dict(client.sentinel_masters()[_NAME])
                if found["num-slaves"] < self.replicas or found["num-other-sentinels"] < SENTINELS - 1:
                    return False
        return True

    def _is_settled(self) -> bool:
        """Also no server thinks that it is a second primary: one that came back is told by the sentinels."""
        roles = []
        for port in self.ways:
            with self.at(port) as client:
                roles.append(info(client)["role"])
        return roles.count("master") == 1 and super()._is_settled()


class Cluster(ReplicatedStore):
    """Three primaries, each with one replica. What counts is the owner of the slot of our keys."""

    replicas = 1
    _PRIMARIES: Final = 3

    def __init__(self, servers: Servers, proxies: Proxies, lag: float, acknowledged_by: int) -> None:
        super().__init__(servers, proxies, lag, acknowledged_by)
        buses = [lasting_port() for _ in range(2 * self._PRIMARIES)]
        ports = [self._add_node(bus) for bus in buses]
        with self.at(ports[0]) as first:
            for port, bus in zip(ports[1:], buses[1:], strict=True):
                ask(first, "CLUSTER", "MEET", "127.0.0.1", self.ways[port].port, bus)
        for number, port in enumerate(ports[: self._PRIMARIES]):
            share = _SLOTS // self._PRIMARIES
            last = _SLOTS - 1 if number == self._PRIMARIES - 1 else (number + 1) * share - 1
            with self.at(port) as client:
                ask(client, "CLUSTER", "ADDSLOTSRANGE", number * share, last)
        wait_until(lambda: all(self._knows(port, len(ports)) for port in ports))
        for number, port in enumerate(ports[self._PRIMARIES :]):
            with self.at(port) as client:
                ask(client, "CLUSTER", "REPLICATE", self._id(ports[number]))
        nodes = ",".join(f"127.0.0.1:{way.port}" for way in self.ways.values())
        self.url = f"redis+cluster://{nodes}"
        wait_until(self.is_whole)
        wait_until(lambda: all(self._knows(port, len(ports)) for port in ports))

    def primary(self) -> int | None:
        """As the first node says that answers and knows."""
        owner = self._owner()
        return owner[0] if owner else None

    def switch(self) -> None:
        """The replica takes over when it has all that the primary wrote."""
        owner = self._owner()
        assert owner is not None
        with self.at(owner[1]) as replica:
            ask(replica, "CLUSTER", "FAILOVER")

    def _is_settled(self) -> bool:
        """Also every node knows the replica of our primary, so that it may take over."""
        return super()._is_settled() and all(len(self._members(port)) == 2 for port in self.ways)

    def can_move(self) -> bool:
        """Whether the server can move a slot as a whole: Valkey 9."""
        port = self.primary()
        assert port is not None
        with self.at(port) as client:
            return any(line.startswith("MIGRATESLOTS") for line in ask(client, "CLUSTER", "HELP"))

    def move(self) -> None:
        """Begins to move our slot to another primary, as a whole."""
        source = self.primary()
        assert source is not None
        target = next(port for port in self.ways if port != source and self._has_slots(port))
        with self.at(source) as client:
            ask(client, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", SLOT, SLOT, "NODE", self._id(target))

    def _owner(self) -> list[int] | None:
        """The server that has our slot, and its replicas."""
        for asked in self.ways:
            with contextlib.suppress(redis.RedisError):
                if found := self._members(asked):
                    return found
        return None

    def _members(self, asked: int) -> list[int]:
        """The same as one node knows it; empty if it is in no cluster that is whole."""
        with self.at(asked) as node:
            if "cluster_state:ok" not in cluster_info(node):
                return []
            for first, last, *members in _ranges(node):
                if first <= SLOT <= last:
                    found = [self._behind(int(member[1])) for member in members]
                    return [port for port in found if port is not None]
        return []

    def _has_slots(self, port: int) -> bool:
        with self.at(port) as client:
            return any(member[0][1] == self.ways[port].port for _, _, *member in _ranges(client))

    def _add_node(self, bus: int) -> int:
        own = (*IN_CLUSTER, "--cluster-port", str(bus), "--cluster-announce-bus-port", str(bus))
        return self._add("cluster-announce-port", "--cluster-announce-ip", "127.0.0.1", *own)

    def _knows(self, port: int, nodes: int) -> bool:
        with self.at(port) as client:
            found = cluster_info(client)
            return "cluster_state:ok" in found and f"cluster_known_nodes:{nodes}" in found

    def _id(self, port: int) -> str:
        with self.at(port) as client:
            return str(ask(client, "CLUSTER", "MYID"))


STORES: Final[dict[str, Callable[[Servers, Proxies, float, int], SentinelSet | Cluster]]] = {
    "sentinel": SentinelSet,
    "cluster": Cluster,
}


def lasting_port() -> int:
    """A port for a server that will be down for a while, and then wants it again."""
    while True:
        port = random.randrange(*_PORTS)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def _ranges(node: redis.Redis) -> Any:
    """[first slot, last slot, [host, port, ...] of the primary, the same of its replicas...], and so on."""
    node.response_callbacks.pop("CLUSTER SLOTS", None)  # its shape of redis-py's own drops a second replica
    return ask(node, "CLUSTER SLOTS")


def _is_replica(name: str, value: Any) -> bool:
    return name.startswith("slave") and isinstance(value, dict)
