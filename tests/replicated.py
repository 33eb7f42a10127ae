"""Stores of several servers, for tests: a primary with replicas and sentinels, or a cluster."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from gateway.local.valkey import server_program
from tests.processes import free_port

_READY_SECONDS = 120.0  # no promise: sentinels of a busy machine wait half a minute before they act
_DURABLE = (
    "--save",
    "",
    "--appendonly",
    "yes",
    "--appendfsync",
    "always",
    "--maxmemory-policy",
    "noeviction",
)
# A replica is in step at once. By default a primary waits five seconds for more replicas to serve with the
# same copy, and a replica looks only once a second whether its copy has come.
_PROMPT = ("--repl-diskless-sync", "no", "--repl-diskless-load", "swapdb")

IN_CLUSTER = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")


@dataclass
class Servers:
    """Servers by port, on loopback. Everything started ends with `close`."""

    folder: Path
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, *options: str, port: int | None = None) -> int:
        """Starts a durable server; returns its port when it answers."""
        port = port or free_port()
        data = self.folder / str(port)
        data.mkdir(exist_ok=True)
        own = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(data), "--maxmemory", "1gb")
        self._spawn(port, [server_program(), *own, *_DURABLE, *_PROMPT, *options])
        return port

    def start_sentinel(
        self, name: str, primary: int, quorum: int = 1, down_after: float = 0.5, more: str = ""
    ) -> int:
        """Starts a sentinel that watches this primary, and fails over so many seconds after it dies. `more`:
        lines of its configuration."""
        port = free_port()
        data = self.folder / str(port)
        data.mkdir()
        settings = data / "sentinel.conf"
        settings.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {data}\n"
            f"sentinel monitor {name} 127.0.0.1 {primary} {quorum}\n"
            f"sentinel down-after-milliseconds {name} {down_after * 1000:.0f}\n"
            f"sentinel failover-timeout {name} 3000\nsentinel parallel-syncs {name} 2\n{more}"
        )
        self._spawn(port, [server_program(), str(settings), "--sentinel"])
        return port

    def _spawn(self, port: int, command: Sequence[str]) -> None:
        with (self.folder / f"{port}.log").open("ab") as log:
            self.processes[port] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        with self.at(port) as client:
            wait_until(lambda: _answers(client))

    def at(self, port: int) -> redis.Redis:
        return redis.Redis(port=port, decode_responses=True)

    def kill(self, port: int) -> None:
        self.processes[port].kill()
        self.processes[port].wait()

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except (redis.ConnectionError, redis.BusyLoadingError):
        return False


def wait_until(fact: Any) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not fact():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.005)


@contextlib.contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    made = Servers(folder)
    try:
        yield made
    finally:
        made.close()


def replicate(made: Servers, primary: int, *options: str) -> int:
    """Starts a replica of the primary; returns its port when it is in step."""
    port = made.start("--replicaof", f"127.0.0.1 {primary}", *options)
    with made.at(port) as replica, made.at(primary) as client:
        wait_until(lambda: info(replica)["master_link_status"] == "up")
        wait_until(lambda: _streams_to(client, port))
    return port


def _streams_to(primary: redis.Redis, port: int) -> bool:
    """Whether the primary sends its writes to the replica at this port, which can acknowledge them then."""
    replicas = [known for known in info(primary).values() if isinstance(known, dict)]
    return any((known["port"], known["state"]) == (port, "online") for known in replicas)


def info(client: redis.Redis) -> Any:
    return client.info("replication")


def role(client: redis.Redis) -> str:
    """`master` or `slave`; empty at the moment when a sentinel changes it and closes all connections."""
    with contextlib.suppress(redis.ConnectionError):
        return str(info(client)["role"])
    return ""


def cluster(made: Servers, nodes: int) -> list[int]:
    """A cluster of so many primaries, each with an equal share of the slots; its ports."""
    buses = [free_port() for _ in range(nodes)]
    ports = [made.start(*IN_CLUSTER, "--cluster-port", str(bus)) for bus in buses]
    share = 16384 // nodes
    for number, port in enumerate(ports):
        last = 16383 if number == nodes - 1 else (number + 1) * share - 1
        with made.at(port) as client:
            ask(client, "CLUSTER", "ADDSLOTSRANGE", number * share, last)
            if number:
                ask(client, "CLUSTER", "MEET", "127.0.0.1", ports[0], buses[0])
    for port in ports:
        with made.at(port) as client:
            wait_until(lambda client=client: "cluster_state:ok" in cluster_info(client))
    return ports


def cluster_info(client: redis.Redis) -> str:
    """CLUSTER INFO as text."""
    return str(ask(client, "CLUSTER", "INFO"))


def ask(client: redis.Redis, *words: Any) -> Any:
    return client.execute_command(*words)  # type: ignore[no-untyped-call]
