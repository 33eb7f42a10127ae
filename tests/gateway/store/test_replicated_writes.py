"""A reply is given out only when enough replicas have what the call wrote."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from gateway.errors import ConfigurationError, StoreUnavailable
from gateway.settings.types import Demand
from gateway.store import durability
from gateway.store.client import connection_pool
from gateway.store.pipelined_connection import PipelinedConnection, PipelinedConnections
from gateway.store.replies import TooFewReplicasError
from gateway.store.script_runner import Scripts
from tests.replicated import Servers, info, replicate, servers, wait_until

KEYS, ARGS = ["{gw}:lanes"], ("submit", 10)


class Pair:
    """A primary and its replica, which can be frozen."""

    def __init__(self, made: Servers) -> None:
        self.made = made
        self.primary = made.start("--repl-timeout", "3600")
        self.replica = replicate(made, self.primary)
        self.url = f"redis://127.0.0.1:{self.primary}"

    def freeze(self) -> None:
        self.made.processes[self.replica].send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.made.processes[self.replica].send_signal(signal.SIGCONT)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with servers(tmp_path) as made:
        yield Pair(made)


@contextlib.asynccontextmanager
async def pool_of(
    pair: Pair, acknowledgements: int = 1, *, seconds: float = 30, connections: int = 2
) -> AsyncIterator[ConnectionPool]:
    pool = connection_pool(
        pair.url,
        timeout_seconds=seconds,
        retries=2,
        connections=connections,
        acknowledgements=acknowledgements,
    )
    try:
        yield pool
    finally:
        await pool.disconnect()


async def test_a_reply_comes_when_the_replica_has_the_write(pair: Pair) -> None:
    async with pool_of(pair) as pool:
        connection = PipelinedConnection(pool)
        assert await connection.call("SET", "name", "value") == "OK"
        with pair.made.at(pair.replica) as replica:
            assert replica.get("name") == "value"


async def test_no_reply_is_given_out_while_the_replica_lacks_the_write(pair: Pair) -> None:
    async with pool_of(pair) as pool:
        connection = PipelinedConnection(pool)
        await connection.call("SET", "name", "old")
        pair.freeze()
        writing = asyncio.create_task(connection.call("SET", "name", "new"))
        with pair.made.at(pair.primary) as primary:
            await asyncio.to_thread(wait_until, lambda: primary.get("name") == "new")
        assert connection.waits_for_replicas
        assert not writing.done()
        pair.thaw()
        assert await writing == "OK"


async def test_without_the_replica_the_store_is_away_and_says_why(pair: Pair) -> None:
    async with pool_of(pair, seconds=1) as pool:
        scripts = Scripts(Redis(connection_pool=pool))
        await scripts.run("expired_leases", KEYS, ARGS)
        pair.freeze()
        with pytest.raises(StoreUnavailable, match="too few replicas of Redis acknowledged a write: 0 of 1"):
            await scripts.run("expired_leases", KEYS, ARGS)
        pair.thaw()
        assert await scripts.run("expired_leases", KEYS, ARGS) == []


async def test_a_call_that_finds_its_work_done_is_not_acknowledged_on_a_new_connection_either(
    pair: Pair,
) -> None:
    async with pool_of(pair, seconds=1) as pool:
        connection = PipelinedConnection(pool)
        await connection.call("SET", "name", "old")
        pair.freeze()
        with pytest.raises(TooFewReplicasError):
            await connection.call("SETNX", "other", "value")
    async with pool_of(pair, seconds=1) as pool:
        with pytest.raises(TooFewReplicasError):  # the repeat writes nothing, and what it found may be lost
            await PipelinedConnection(pool).call("SETNX", "other", "value")


async def test_more_replicas_than_there_are_cannot_acknowledge(pair: Pair) -> None:
    async with pool_of(pair, 2, seconds=1) as pool:
        with pytest.raises(TooFewReplicasError, match="1 of 2"):
            await PipelinedConnection(pool).call("SET", "name", "value")


async def test_reads_do_not_wait_for_replicas(pair: Pair) -> None:
    async with pool_of(pair, seconds=30) as pool:
        connection = PipelinedConnection(pool)
        await connection.call("SET", "name", "value")
        pair.freeze()
        assert await connection.call("GET", "name", writes=False) == "value"
        assert await Scripts(Redis(connection_pool=pool)).read("GET", "name") == "value"


async def test_a_read_in_a_batch_with_a_write_waits_with_it_or_not_but_the_write_does(pair: Pair) -> None:
    async with pool_of(pair) as pool:
        connection = PipelinedConnection(pool)
        await connection.call("SET", "name", "value")
        pair.freeze()
        read = asyncio.create_task(connection.call("GET", "name", writes=False))
        write = asyncio.create_task(connection.call("SET", "name", "new"))
        assert await read == "value"
        assert not write.done()
        pair.thaw()
        assert await write == "OK"


async def test_a_burst_behind_a_waiting_batch_takes_other_connections_and_then_forms_one_batch(
    pair: Pair,
) -> None:
    async with pool_of(pair, connections=32) as pool:  # two connections
        connections = PipelinedConnections(pool)
        await connections.call("SET", "name", "value")
        pair.freeze()
        writing = [asyncio.create_task(connections.call("INCR", "counter"))]
        await asyncio.sleep(0)
        with pair.made.at(pair.primary) as primary:
            await asyncio.to_thread(wait_until, lambda: primary.get("counter") == "1")
            writing += [asyncio.create_task(connections.call("INCR", "counter"))]
            await asyncio.to_thread(wait_until, lambda: primary.get("counter") == "2")
            writing += [asyncio.create_task(connections.call("INCR", "counter")) for _ in range(50)]
        pair.thaw()
        assert sorted(await asyncio.gather(*writing)) == list(range(1, 53))


async def test_an_error_reply_is_given_to_its_own_call_only(pair: Pair) -> None:
    async with pool_of(pair) as pool:
        connection = PipelinedConnection(pool)
        await connection.call("SET", "name", "text")
        answers = await asyncio.gather(
            connection.call("LPUSH", "name", "x"), connection.call("SET", "a", "b"), return_exceptions=True
        )
        assert isinstance(answers[0], ResponseError)
        assert answers[1] == "OK"


async def test_calls_of_a_batch_fail_when_the_primary_dies_before_it_is_acknowledged(pair: Pair) -> None:
    async with pool_of(pair) as pool:
        connection = PipelinedConnection(pool)
        await connection.call("SET", "name", "value")
        pair.freeze()
        writing = asyncio.create_task(connection.call("SET", "name", "new"))
        with pair.made.at(pair.primary) as primary:
            await asyncio.to_thread(wait_until, lambda: primary.get("name") == "new")
        pair.made.kill(pair.primary)
        with pytest.raises(RedisConnectionError):
            await writing


async def test_a_store_whose_replicas_are_away_is_waited_for_and_not_ready(pair: Pair) -> None:
    demand = Demand("replicated", 1)
    await durability.check(pair.url, demand)
    with pair.made.at(pair.primary) as primary:
        client = Redis.from_url(pair.url, decode_responses=True)
        assert await durability.faults(client, demand) == []
        pair.made.kill(pair.replica)
        await asyncio.to_thread(wait_until, lambda: info(primary)["connected_slaves"] == 0)
        [fault] = await durability.faults(client, demand)
        assert fault.startswith("0 replicas are connected, and 1 must acknowledge each write")
        await durability.check(pair.url, demand)  # it may start: /readyz says that it is not ready
        stop = asyncio.Event()
        waiting = asyncio.create_task(durability.check_when_there(pair.url, demand, stop))
        replica = await asyncio.to_thread(replicate, pair.made, pair.primary)
        await waiting
        assert replica
        await client.aclose()


async def test_a_url_of_sentinels_asks_for_acknowledgements(pair: Pair) -> None:
    with pytest.raises(ConfigurationError, match="GATEWAY_DURABILITY=replicated"):
        await durability.check(pair.url, Demand("require", replicated=True))
    await durability.check(pair.url, Demand("replicated", 1, replicated=True))
    await durability.check(pair.url, Demand("assume", replicated=True))
