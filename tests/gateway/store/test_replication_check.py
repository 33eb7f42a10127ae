"""What `doctor` doubts about a store of several servers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.settings.types import Demand
from gateway.store import replication, replication_check
from gateway.store.client import redis_at
from gateway.store.located import OwnerOfSlot, locator_of
from tests.replicated import Servers, ask, cluster, replicate, servers, wait_until


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Servers]:
    with servers(tmp_path) as opened:
        yield opened


async def doubted(url: str) -> list[str]:
    async with redis_at(url, 2) as redis:
        locator = locator_of(url)
        return await replication_check.warnings(redis, locator, await replication.read(redis, locator))


def has(doubts: list[str], *words: str) -> bool:
    """Whether exactly one of them has all of these words; it says how to fix it, too."""
    found = [doubt for doubt in doubts if all(word in doubt for word in words)]
    assert all("; " in doubt for doubt in found)
    return len(found) == 1


@pytest.mark.parametrize(
    ("demand", "url", "replicas", "fix"),
    [
        (Demand("require"), "redis://127.0.0.1:1", 1, "set GATEWAY_DURABILITY=replicated"),
        (Demand("require"), "redis://127.0.0.1:1", 0, None),
        (Demand("replicated", 1), "redis://127.0.0.1:1", 2, None),
        (Demand("replicated", 1, True), "redis+sentinel://127.0.0.1:1/main", 2, "GATEWAY_REPLICAS_ACK=2"),
        (Demand("replicated", 2, True), "redis+sentinel://127.0.0.1:1/main", 2, None),
        (Demand("replicated", 1, True), "redis+cluster://127.0.0.1:1", 2, None),
        (Demand("assume"), "redis://127.0.0.1:1", 1, None),
    ],
)
def test_what_the_settings_ask_of_replicas_is_doubted(
    demand: Demand, url: str, replicas: int, fix: str | None
) -> None:
    found = replication.Replication("", replicas=replicas)
    doubts = replication_check.warnings_of_demand(demand, locator_of(url), found)
    assert [(fix or "nothing") in doubt.partition("; ")[2] for doubt in doubts] == ([True] if fix else [])


async def test_nothing_is_doubted_of_one_server(made: Servers) -> None:
    assert await doubted(f"redis://127.0.0.1:{made.start()}/0") == []


async def test_replicas_that_no_write_waits_for_are_doubted(made: Servers) -> None:
    first = made.start()
    replicate(made, first)
    url = f"redis://127.0.0.1:{first}/0"
    assert has(await doubted(url), "min-replicas-to-write is 0")
    with made.at(first) as client:
        client.config_set("min-replicas-to-write", 1)
    assert await doubted(url) == []


async def test_evicted_keys_are_doubted(made: Servers) -> None:
    port = made.start("--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru")
    with made.at(port) as client:
        for number in range(400):
            client.set(str(number), "x" * 20_000)
    assert has(await doubted(f"redis://127.0.0.1:{port}/0"), "evicted", "noeviction")


async def test_what_the_server_forbids_is_not_doubted(made: Servers) -> None:
    first = made.start()
    replicate(made, first)
    with made.at(first) as client:
        ask(client, "ACL", "SETUSER", "gw", "on", ">pw", "+client", "+info")
    assert await doubted(f"redis://gw:pw@127.0.0.1:{first}/0") == []


async def test_each_sentinel_is_asked_by_itself(made: Servers) -> None:
    first = made.start()
    good = made.start_sentinel("main", first)
    stranger = made.start_sentinel("another", first)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hangs = silent.getsockname()[1]
        doubts = await doubted(f"redis+sentinel://127.0.0.1:{good},127.0.0.1:1,127.0.0.1:{stranger}/main")
        assert has(doubts, "127.0.0.1:1 does not answer (ConnectionError)")
        assert has(doubts, f"127.0.0.1:{stranger} does not know the name main")
        assert len(doubts) == 2
        doubts = await doubted(f"redis+sentinel://127.0.0.1:{good},127.0.0.1:{hangs}/main")
        assert has(doubts, f"127.0.0.1:{hangs} does not answer (TimeoutError)")
        assert has(doubts, "names 2 of the sentinels", "at least three")
        assert len(doubts) == 2


async def test_sentinels_that_name_different_primaries_are_doubted(made: Servers) -> None:
    first, other = made.start(), made.start()
    names = [made.start_sentinel("main", primary) for primary in (first, first, other)]
    hosts = ",".join(f"127.0.0.1:{port}" for port in names)
    doubts = await doubted(f"redis+sentinel://{hosts}/main")
    assert has(doubts, "different primaries", f"{first} by 127.0.0.1:{names[0]} and", f"{other} by")


async def test_a_slot_of_ours_that_is_moved_is_doubted_at_both_nodes(made: Servers) -> None:
    ports = cluster(made, 3)
    url = f"redis+cluster://127.0.0.1:{ports[0]}"
    locator = locator_of(url)
    assert isinstance(locator, OwnerOfSlot)
    assert await doubted(url) == []
    place = await locator.primary()
    other = next(port for port in ports if port != place[1])
    with made.at(place[1]) as owner, made.at(other) as target:
        ids = {port: str(ask(client, "CLUSTER", "MYID")) for port, client in ((0, owner), (1, target))}
        ask(target, "CLUSTER", "SETSLOT", locator.slot, "IMPORTING", ids[0])
        ask(owner, "CLUSTER", "SETSLOT", locator.slot, "MIGRATING", ids[1])
        ask(owner, "CLUSTER", "SETSLOT", locator.slot - 1, "MIGRATING", ids[1])
    doubts = await doubted(url)
    assert has(doubts, f":{place[1]} is migrating slot {locator.slot}")
    assert has(doubts, f":{other} is importing slot {locator.slot}")
    assert len(doubts) == 2


async def test_a_node_that_is_away_is_doubted(made: Servers) -> None:
    ports = cluster(made, 3)
    url = f"redis+cluster://127.0.0.1:{ports[0]}"
    locator = locator_of(url)
    place = await locator.primary()
    assert place is not None
    away = next(port for port in ports if port != place[1])
    for port in ports:
        with made.at(port) as client:
            client.config_set("cluster-require-full-coverage", "no")
    made.kill(away)
    with made.at(place[1]) as owner:
        await asyncio.to_thread(wait_until, lambda: "fail" in str(ask(owner, "CLUSTER", "NODES")))
    assert has(await doubted(url), f":{away} does not answer")
