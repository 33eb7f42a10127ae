"""The stores of the failover runs lose what replicas did not have, and nothing else."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.promises.faults.lagging import open_lagging
from tests.promises.faults.proxy import Proxies
from tests.promises.faults.replicated_store import STORES
from tests.replicated import ask, servers, wait_until

KEPT, LOST = "{gw}:kept", "{gw}:lost"


@pytest.fixture
def proxies() -> Iterator[Proxies]:
    made = Proxies()
    yield made
    made.close()


def test_a_replica_is_late_and_clients_are_not(proxies: Proxies) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        way = open_lagging(proxies, "server", 3600, server.getsockname())
        for greeting, arrives in ((b"PSYNC ? -1\r\n", False), (b"PING\r\n", True)):
            with socket.create_connection(("127.0.0.1", way.port), timeout=30) as client:
                accepted, _ = server.accept()
                with accepted:
                    client.sendall(greeting)
                    assert accepted.recv(100) == greeting
                    accepted.sendall(b"answer")
                    client.settimeout(30 if arrives else 0.2)
                    if arrives:
                        assert client.recv(100) == b"answer"
                    else:
                        with pytest.raises(TimeoutError):
                            client.recv(100)


def test_what_is_late_arrives_in_order(proxies: Proxies) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        way = open_lagging(proxies, "server", 0.01, server.getsockname())
        with socket.create_connection(("127.0.0.1", way.port), timeout=30) as client:
            client.sendall(b"psync ? -1\r\n")
            accepted, _ = server.accept()
            with accepted:
                accepted.recv(100)
                sent = b"".join(b"%06d" % number for number in range(20_000))
                accepted.sendall(sent)
                heard = b""
                while len(heard) < len(sent):
                    heard += client.recv(100_000)
    assert heard == sent


@pytest.mark.processes
@pytest.mark.parametrize("kind", STORES)
def test_a_killed_primary_takes_with_it_what_its_replicas_did_not_acknowledge(
    kind: str, tmp_path: Path, proxies: Proxies
) -> None:
    with servers(tmp_path) as made:
        store = STORES[kind](made, proxies, 0.3, 0)
        first = store.primary()
        assert first is not None
        with store.at(first) as client:
            client.set(KEPT, 1)
            assert ask(client, "WAIT", 1, 0) >= 1
            client.set(LOST, 1)
        store.kill(first)
        wait_until(lambda: store.primary() not in (None, first))
        second = store.primary()
        assert second is not None
        with store.at(second) as client:
            wait_until(lambda: client.role()[0] == "master")
            assert client.exists(KEPT, LOST) == client.exists(KEPT) == 1
