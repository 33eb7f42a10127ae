"""Where the primary is, and how far its replicas are behind."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.errors import StoreUnavailable
from gateway.store import replication
from gateway.store.client import redis_at
from gateway.store.located import locator_of
from gateway.store.replication import Lag, Replication
from tests.processes import free_port
from tests.replicated import IN_CLUSTER, Servers, ask, cluster_info, info, replicate, servers, wait_until


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Servers]:
    with servers(tmp_path) as opened:
        yield opened


async def found_at(url: str) -> Replication:
    async with redis_at(url, 2) as redis:
        return await replication.read(redis, locator_of(url))


async def test_one_server_has_no_replica(made: Servers) -> None:
    port = made.start()
    found = await found_at(f"redis://127.0.0.1:{port}/0")
    assert (found.mode, found.primary, found.role) == ("one server", f"127.0.0.1:{port}", "primary")
    assert (found.replicas, found.syncing, found.furthest, found.nearest) == (0, 0, Lag(), Lag())
    with made.at(port) as client:
        assert found.replid == info(client)["master_replid"]


async def test_a_server_on_a_unix_socket_has_no_known_place(redis_url: str) -> None:
    found = await found_at(redis_url)
    assert (found.primary, found.role, found.replicas) == (None, "primary", 0)


async def test_a_replica_that_stopped_to_acknowledge_is_the_furthest_behind(made: Servers) -> None:
    first = made.start()
    near, far = replicate(made, first), replicate(made, first)
    sentinel = made.start_sentinel("main", first)
    with made.at(first) as primary:
        os.kill(made.processes[far].pid, signal.SIGSTOP)
        await asyncio.to_thread(wait_until, lambda: _lag_of(primary, far) >= 2)
        primary.set("{gw}:ballast", "x" * 100_000)
        await asyncio.to_thread(wait_until, lambda: _missing(primary, near) < 100_000)
        found = await found_at(f"redis+sentinel://127.0.0.1:{sentinel}/main")
    assert (found.mode, found.primary, found.replicas, found.syncing) == (
        *("sentinel", f"127.0.0.1:{first}"),
        *(2, 0),
    )
    assert found.furthest.bytes is not None
    assert found.nearest.bytes is not None
    assert found.furthest.bytes >= 100_000 > found.nearest.bytes
    assert found.furthest.seconds is not None
    assert found.furthest.seconds >= 2


def _replica(primary: Any, port: int) -> Any:
    return next(
        one
        for name, one in info(primary).items()
        if name.startswith("slave") and isinstance(one, dict) and one["port"] == port
    )


def _lag_of(primary: Any, port: int) -> int:
    return int(_replica(primary, port)["lag"])


def _missing(primary: Any, port: int) -> int:
    return int(info(primary)["master_repl_offset"]) - int(_replica(primary, port)["offset"])


async def test_a_replica_names_its_primary(made: Servers) -> None:
    first = made.start()
    second = replicate(made, first)
    found = await found_at(f"redis://127.0.0.1:{second}/0")
    assert (found.role, found.primary) == ("replica", f"127.0.0.1:{first}")


async def test_after_a_failover_the_new_primary_and_history_are_named_by_the_same_client(
    made: Servers,
) -> None:
    first = made.start()
    second = replicate(made, first)
    url = f"redis+sentinel://127.0.0.1:{made.start_sentinel('main', first)}/main"
    async with redis_at(url, 2) as redis:
        before = await replication.read(redis, locator_of(url))
        made.kill(first)
        after = await _soon(redis, url)
    assert (before.primary, after.primary) == (f"127.0.0.1:{first}", f"127.0.0.1:{second}")
    assert before.replid != after.replid


async def _soon(redis: Redis, url: str) -> Replication:
    """When there is a primary again."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await replication.read(redis, locator_of(url))
            except StoreUnavailable:
                await asyncio.sleep(0.05)


async def test_in_a_cluster_it_is_the_node_that_has_our_keys(made: Servers) -> None:
    port = made.start(*IN_CLUSTER, "--cluster-port", str(free_port()))
    with made.at(port) as client:
        ask(client, "CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        await asyncio.to_thread(wait_until, lambda: "cluster_state:ok" in cluster_info(client))
    found = await found_at(f"redis+cluster://localhost:{port}")
    assert (found.mode, found.primary) == ("cluster", f"localhost:{port}")


async def test_where_info_is_forbidden_only_the_place_is_known(made: Servers) -> None:
    port = made.start()
    with made.at(port) as client:
        ask(client, "ACL", "SETUSER", "gw", "on", ">pw", "+client")
    found = await found_at(f"redis://gw:pw@127.0.0.1:{port}/0")
    assert found == Replication("one server", f"127.0.0.1:{port}")


ONLINE = {"ip": "10.0.0.2", "port": 6379, "state": "online", "offset": 90, "lag": 1}


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({}, (None, None, Lag(), Lag())),
        ({"role": "master", "connected_slaves": 2}, (2, None, Lag(), Lag())),  # does not list them
        (
            {"connected_slaves": 1, "slave0": ONLINE},  # leaves out how far it wrote itself
            (1, 0, Lag(None, 1), Lag(None, 1)),
        ),
        (
            {"connected_slaves": 1, "slave0": ONLINE | {"type": "replica"}, "master_repl_offset": 100},
            (1, 0, Lag(10, 1), Lag(10, 1)),
        ),
        (
            {
                "connected_slaves": 3,
                "slave0": ONLINE | {"offset": 40, "lag": 0},
                "slave1": ONLINE | {"state": "wait_bgsave", "offset": 0},
                "slave2": ONLINE,
                "master_repl_offset": 100,
            },
            (3, 1, Lag(60, 0), Lag(10, 1)),
        ),
        (
            {"connected_slaves": 1, "slave0": ONLINE, "master_repl_offset": 80},  # acknowledged since
            (1, 0, Lag(0, 1), Lag(0, 1)),
        ),
    ],
)
def test_what_a_managed_server_leaves_out_is_unknown(
    info: Mapping[str, Any], expected: tuple[object, ...]
) -> None:
    found = replication._of(info, "one server", None)
    assert (found.replicas, found.syncing, found.furthest, found.nearest) == expected


def test_an_ipv6_address_is_written_in_brackets() -> None:
    assert replication._written("fd12::3", 6379) == "[fd12::3]:6379"
