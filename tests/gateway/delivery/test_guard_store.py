"""No webhook goes to any server, sentinel or node of the store, those that became known later included."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from gateway.delivery.guard import Guard, open_guard
from gateway.delivery.names import NameService
from gateway.errors import AddressRefused, StoreUnavailable
from gateway.store.client import redis_at, store_errors
from gateway.store.located import locator_of
from tests.gateway.delivery.test_guard_own import settings_with
from tests.processes import free_port
from tests.replicated import Servers, ask, cluster, replicate, servers, wait_until


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Servers]:
    with servers(tmp_path) as opened:
        yield opened


async def guard_of(url: str) -> Guard:
    """As the processes open it."""
    settings = settings_with(redis_url=url, port=free_port(), delivery_networks=["127.0.0.0/8"])
    return await open_guard(settings, NameService(), locator_of(url).places)


async def dialled(guard: Guard, *ports: int) -> list[int]:
    """To which of these ports an attempt would go."""
    found = []
    for port in ports:
        await guard.about_to_dial(f"http://127.0.0.1:{port}/hook")
        try:
            guard((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))).close()
        except AddressRefused:
            continue
        found.append(port)
    return found


async def write(redis: Redis) -> None:
    """When there is a primary."""
    async with asyncio.timeout(60):
        while True:
            try:
                with store_errors():
                    await redis.set("{gw}:name", "1")
                return
            except StoreUnavailable:
                await asyncio.sleep(0.05)


async def test_every_sentinel_and_server_is_closed_and_what_a_failover_brings_too(made: Servers) -> None:
    first = made.start()
    second = replicate(made, first)
    sentinels = [made.start_sentinel("main", first, quorum=2) for _ in range(4)]
    with made.at(sentinels[0]) as client:
        await asyncio.to_thread(wait_until, lambda: len(ask(client, "SENTINEL", "SENTINELS", "main")) == 3)
        await asyncio.to_thread(wait_until, lambda: len(ask(client, "SENTINEL", "REPLICAS", "main")) == 1)
    named, unnamed = sentinels[:3], sentinels[3]
    url = f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in named)}/main"
    guard, subscriber = await guard_of(url), free_port()
    assert await dialled(guard, *named, unnamed, first, second, subscriber) == [
        *(unnamed, first, second, subscriber)  # nobody was asked yet
    ]
    async with redis_at(url, 2) as redis:
        await write(redis)
        assert await dialled(guard, *sentinels, first, second, subscriber) == [subscriber]
        third = replicate(made, first)
        with made.at(sentinels[0]) as client:
            await asyncio.to_thread(wait_until, lambda: len(ask(client, "SENTINEL", "REPLICAS", "main")) == 2)
        made.kill(first)
        await write(redis)
        assert await dialled(guard, *sentinels, first, second, third, subscriber) == [subscriber]


async def test_every_node_of_a_cluster_is_closed(made: Servers) -> None:
    ports = cluster(made, 3)
    url = f"redis+cluster://127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}"
    guard, subscriber = await guard_of(url), free_port()
    assert await dialled(guard, *ports, subscriber) == [ports[2], subscriber]
    async with redis_at(url, 2) as redis:
        await write(redis)
    assert await dialled(guard, *ports, subscriber) == [subscriber]
