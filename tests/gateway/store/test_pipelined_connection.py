"""Many calls on one connection: each gets its own reply, and a lost reply is nobody else's."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import SSLConnection
from redis.exceptions import (
    ConnectionError,  # noqa: A004
    DataError,
    InvalidResponse,
    ResponseError,
    TimeoutError,  # noqa: A004
)

from gateway.store import exchange
from gateway.store.client import connection_pool
from gateway.store.exchange import IN_FLIGHT
from gateway.store.pipelined_connection import (
    FULL_BYTES,
    PipelinedConnection,
    PipelinedConnections,
)
from gateway.store.replies import NotHereError
from tests.extras import missing
from tests.gateway.delivery.test_http_dial import self_sign


class Relay:
    """Between a client and the server, over TCP. While `open` is cleared, replies are held back. A connection
    that sends `fatal` is cut."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.open = asyncio.Event()
        self.open.set()
        self.fatal = b"never sent"
        self.received = b""
        self.connections = 0
        self.clients: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.clients.append(writer)
        replies, requests = await asyncio.open_unix_connection(self._path)
        self._tasks |= {asyncio.create_task(self._reply(replies, writer))}
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                self.received += data
                requests.write(data)
                if self.fatal in data:
                    writer.transport.abort()
        requests.close()

    async def _reply(self, replies: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await replies.read(65_536):
            await self.open.wait()
            writer.write(data)
        writer.close()

    def cut(self) -> None:
        while self.clients:
            self.clients.pop().transport.abort()

    async def has_received(self, text: bytes, times: int = 1) -> None:
        while self.received.count(text) < times:  # noqa: ASYNC110  # the relay has nothing to wait for
            await asyncio.sleep(0.001)

    async def has_connections(self, count: int) -> None:
        while self.connections < count:  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    async def close(self) -> None:
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def relay_to(redis_url: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[Relay, int]]:
    relay = Relay(unquote(redis_url.removeprefix("unix://")))
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield relay, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await relay.close()


@contextlib.asynccontextmanager
async def connection_to(
    url: str, *, retries: int = 0, seconds: float = 30, **more: Any
) -> AsyncIterator[PipelinedConnection]:
    pool = connection_pool(url, timeout_seconds=seconds, retries=retries, connections=1)
    pool.connection_kwargs |= more
    try:
        yield PipelinedConnection(pool)
    finally:
        await pool.disconnect()


@contextlib.asynccontextmanager
async def relayed(
    redis_url: str, *, retries: int = 0, seconds: float = 30
) -> AsyncIterator[tuple[PipelinedConnection, Relay]]:
    async with (
        relay_to(redis_url) as (relay, port),
        connection_to(f"redis://127.0.0.1:{port}", retries=retries, seconds=seconds) as connection,
    ):
        await connection.call("PING")
        yield connection, relay


def echoes(connection: PipelinedConnection | PipelinedConnections, *texts: str) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(connection.call("ECHO", text)) for text in texts]


async def until_gone(redis: Redis, number: str) -> None:
    """Until the server no longer has the client with this number."""
    while await redis.client_list(client_id=[number]):  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def noticed(connection: PipelinedConnection) -> None:
    """Until the connection knows that it is broken."""
    assert connection._exchange is not None
    while connection._exchange.error is None:  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def test_each_of_many_calls_gets_its_own_reply_on_one_connection(redis: Redis, redis_url: str) -> None:
    before = (await redis.info("stats"))["total_connections_received"]
    async with connection_to(redis_url) as connection:
        texts = [f"{number} ü" for number in range(1000)]
        assert await asyncio.gather(*echoes(connection, *texts)) == texts
        assert (await redis.info("stats"))["total_connections_received"] == before + 1


@contextlib.asynccontextmanager
async def spread(redis_url: str, most: int) -> AsyncIterator[tuple[PipelinedConnections, Relay]]:
    async with relay_to(redis_url) as (relay, port):
        url = f"redis://127.0.0.1:{port}"
        pool = connection_pool(url, timeout_seconds=30, retries=0, connections=most)
        pool.connection_kwargs["socket_connect_timeout"] = 30
        try:
            connections = PipelinedConnections(pool)
            await connections.call("PING")
            yield connections, relay
        finally:
            await pool.disconnect()


async def test_calls_that_fit_on_one_connection_stay_there(redis_url: str) -> None:
    async with spread(redis_url, 256) as (connections, relay):
        for _ in range(3):
            relay.open.clear()
            calls = echoes(connections, *("x" * 1000 for _ in range(FULL_BYTES // 1100)))
            await relay.has_received(b"$4\r\nECHO", len(calls))
            relay.open.set()
            await asyncio.gather(*calls)
            relay.received = b""
        assert relay.connections == 1


@pytest.mark.parametrize(("most", "opened"), [(256, 8), (64, 4), (16, 1), (2, 1)])
async def test_a_burst_goes_over_as_many_connections_as_the_pool_affords(
    redis_url: str, most: int, opened: int
) -> None:
    async with spread(redis_url, most) as (connections, relay):
        relay.open.clear()
        texts = [f"{number} " + "x" * 6000 for number in range(100)]
        calls = echoes(connections, *texts)
        await relay.has_connections(opened)
        relay.open.set()
        assert await asyncio.gather(*calls) == texts
        assert relay.connections == opened


async def test_a_call_is_sent_while_earlier_replies_are_missing(redis_url: str) -> None:
    async with relayed(redis_url) as (connection, relay):
        relay.open.clear()
        [first] = echoes(connection, "first")
        await relay.has_received(b"first")
        [second] = echoes(connection, "second")
        await relay.has_received(b"second")
        assert not first.done()
        relay.open.set()
        assert (await first, await second) == ("first", "second")


async def test_the_reply_of_a_cancelled_call_is_not_given_to_the_next(redis_url: str) -> None:
    async with relayed(redis_url) as (connection, relay):
        relay.open.clear()
        calls = echoes(connection, "a", "b", "c")
        await relay.has_received(b"$4\r\nECHO", 3)
        calls[1].cancel()
        later = echoes(connection, "d")
        await relay.has_received(b"$1\r\nd")
        relay.open.set()
        replies = await asyncio.gather(*calls, *later, return_exceptions=True)
        assert [replies[0], *replies[2:]] == ["a", "c", "d"]
        assert isinstance(replies[1], asyncio.CancelledError)
        assert relay.connections == 1


async def test_a_cancelled_call_that_was_not_sent_yet_is_never_sent(redis_url: str) -> None:
    async with relayed(redis_url) as (connection, relay):
        relay.open.clear()
        sent = echoes(connection, *("x" for _ in range(IN_FLIGHT)))
        await relay.has_received(b"$4\r\nECHO", IN_FLIGHT)
        waiting = echoes(connection, "cancelled", "waiting")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting[0].cancel()
        relay.open.set()
        assert await waiting[1] == "waiting"
        assert b"cancelled" not in relay.received
        await asyncio.gather(*sent)


async def test_calls_in_flight_are_bounded_and_the_others_come_in_their_order(redis_url: str) -> None:
    async with relayed(redis_url) as (connection, relay):
        relay.open.clear()
        texts = [f"text-{number}" for number in range(3 * IN_FLIGHT)]
        calls = echoes(connection, *texts)
        await relay.has_received(b"text-", IN_FLIGHT)
        await asyncio.sleep(0.05)  # time to send what must not be sent
        assert relay.received.count(b"text-") == IN_FLIGHT
        relay.open.set()
        assert await asyncio.gather(*calls) == texts
        sent = [relay.received.index(b"\r\n%s\r\n" % text.encode()) for text in texts]
        assert sent == sorted(sent)


async def test_bytes_in_flight_are_bounded_but_a_call_of_any_size_is_sent(redis_url: str) -> None:
    large = "y" * (3 * 2**20)
    async with relayed(redis_url) as (connection, relay):
        relay.open.clear()
        first, second = echoes(connection, large, "second")
        await relay.has_received(large.encode())
        await asyncio.sleep(0.05)  # time to send what must not be sent
        assert b"second" not in relay.received
        relay.open.set()
        assert (await first, await second) == (large, "second")


async def test_more_calls_than_may_wait_fail_at_once(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "_WAITING", 2)
    async with relayed(redis_url) as (connection, _):
        replies = await asyncio.gather(*echoes(connection, "a", "b", "c"), return_exceptions=True)
        assert replies[:2] == ["a", "b"]
        assert isinstance(replies[2], ConnectionError)


async def test_all_calls_fail_when_their_connection_breaks_and_the_next_call_makes_a_new_one(
    redis_url: str,
) -> None:
    async with relayed(redis_url) as (connection, relay):
        relay.open.clear()
        calls = echoes(connection, "a", "b")
        await relay.has_received(b"$4\r\nECHO", 2)
        relay.cut()
        replies = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(reply) for reply in replies] == [ConnectionError, ConnectionError]
        relay.open.set()
        assert await connection.call("ECHO", "c") == "c"
        assert relay.connections == 2


async def test_calls_whose_replies_are_lost_are_sent_again_as_often_as_the_pool_says(redis_url: str) -> None:
    async with relayed(redis_url, retries=1) as (connection, relay):
        relay.open.clear()
        calls = echoes(connection, "a", "b")
        await relay.has_received(b"$4\r\nECHO", 2)
        relay.open.set()
        relay.cut()
        assert await asyncio.gather(*calls) == ["a", "b"]
        relay.fatal = b"fatal"
        with pytest.raises(ConnectionError):
            await connection.call("ECHO", "fatal")
        assert relay.received.count(b"fatal") == 2


async def test_a_connection_that_the_server_closed_while_idle_is_made_again_without_an_attempt(
    redis: Redis, redis_url: str
) -> None:
    async with connection_to(redis_url) as connection:
        number = await connection.call("CLIENT", "ID")
        await redis.client_kill_filter(_id=str(number))
        await noticed(connection)
        assert await connection.call("CLIENT", "ID") != number


async def test_a_missing_reply_is_a_timeout_of_every_call_in_flight(redis_url: str) -> None:
    async with relayed(redis_url, seconds=0.2) as (connection, relay):
        relay.open.clear()
        replies = await asyncio.gather(*echoes(connection, "a", "b"), return_exceptions=True)
        assert [type(reply) for reply in replies] == [TimeoutError, TimeoutError]
        relay.open.set()
        assert await connection.call("ECHO", "c") == "c"


async def test_a_server_that_cannot_be_reached_fails_every_caller_and_then_serves_again(
    redis_url: str,
) -> None:
    async with connection_to("redis://127.0.0.1:1") as connection:
        replies = await asyncio.gather(*echoes(connection, "a", "b"), return_exceptions=True)
        assert [type(reply) for reply in replies] == [ConnectionError, ConnectionError]
    async with relayed(redis_url) as (connection, relay):
        relay.open.clear()
        relay.cut()
        await noticed(connection)
        cancelled, waiting = echoes(connection, "a", "b")
        await relay.has_connections(2)
        cancelled.cancel()  # its connecting goes on for the other
        relay.open.set()
        assert await waiting == "b"
        assert relay.connections == 2


async def test_an_error_reply_fails_its_own_call_only(redis_url: str) -> None:
    async with connection_to(redis_url) as connection:
        replies = await asyncio.gather(
            connection.call("ECHO", "a"),
            connection.call("NO-COMMAND"),
            connection.call("ECHO", "b"),
            return_exceptions=True,
        )
        assert [replies[0], replies[2]] == ["a", "b"]
        assert isinstance(replies[1], ResponseError)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", ConnectionError),
        (b"-NOAUTH Authentication required.\r\n", ConnectionError),
        (b"-READONLY You can't write against a read only replica.\r\n", NotHereError),
        (b"-MASTERDOWN Link with MASTER is down.\r\n", NotHereError),
        (b"-MOVED 11293 127.0.0.1:7001\r\n", NotHereError),
        (b"this is no reply\r\n", InvalidResponse),
        (b"+OK\r\n+OK\r\n+OK\r\n", InvalidResponse),
    ],
)
async def test_a_reply_that_makes_the_connection_unusable_fails_all_calls(
    redis_url: str, reply: bytes, kind: type[Exception]
) -> None:
    async with relayed(redis_url) as (connection, relay):
        relay.open.clear()
        calls = echoes(connection, "a", "b")
        await relay.has_received(b"$4\r\nECHO", 2)
        relay.clients[-1].write(reply)
        replies = await asyncio.gather(*calls, return_exceptions=True)
        if reply.startswith(b"+OK"):  # one reply too many: the calls before it have theirs
            assert replies == ["OK", "OK"]
        else:
            assert all(isinstance(found, kind) for found in replies)
        relay.open.set()
        assert await connection.call("ECHO", "c") == "c"
        assert relay.connections == 2


#: redis-py does not introduce itself to the server.
SILENT: dict[str, Any] = {"lib_name": None, "lib_version": None}


@contextlib.asynccontextmanager
async def replicas(count: int, refusal: bytes) -> AsyncIterator[tuple[str, list[int]]]:
    """A name behind which the first `count` connections reach a server that refuses every call, and later
    ones the primary. Yields its URL and the number of calls on each connection."""
    calls: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(calls)
        calls.append(0)
        while not reader.at_eof():
            words = (await reader.read(65_536)).count(b"$5\r\nFCALL")
            calls[number] += words
            writer.write((refusal if number < count else b"+OK\r\n") * words)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield f"redis://127.0.0.1:{port}", calls
    finally:
        server.close()


@pytest.mark.parametrize(
    "refusal",
    [
        b"-READONLY You can't write against a read only replica.\r\n",
        b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n",
        b"-MOVED 11293 127.0.0.1:7001\r\n",
        b"-ASK 11293 127.0.0.1:7001\r\n",
        b"-CLUSTERDOWN The cluster is down\r\n",
        b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
        b"-ERR Script attempted to access a non local key in a cluster node\r\n",
    ],
)
async def test_calls_that_reach_a_replica_are_sent_again_on_a_new_connection(refusal: bytes) -> None:
    async with replicas(2, refusal) as (url, calls), connection_to(url, retries=2, **SILENT) as connection:
        sent = [connection.call("FCALL", "f", 0) for _ in range(3)]
        assert await asyncio.gather(*sent) == ["OK"] * 3
        assert await connection.call("FCALL", "f", 0) == "OK"
        assert (calls[0], calls[2]) == (3, 4)
        assert 1 <= calls[1] <= 3  # those that are sent before the refusal comes


async def test_a_server_that_stays_a_replica_fails_the_call_after_as_many_attempts_as_the_pool_says() -> None:
    async with (
        replicas(9, b"-READONLY You can't write.\r\n") as (url, calls),
        connection_to(url, retries=2, **SILENT) as connection,
    ):
        with pytest.raises(NotHereError):
            await connection.call("FCALL", "f", 0)
        assert calls == [1, 1, 1]


async def test_the_user_the_database_and_the_name_are_those_of_the_url(redis: Redis, redis_url: str) -> None:
    await redis.acl_setuser("caller", True, passwords=["+secret"], keys="*", categories=["+@all"])
    async with relay_to(redis_url) as (relay, port):
        url = f"redis://caller:secret@127.0.0.1:{port}/3?client_name=gateway-1"
        async with connection_to(url) as connection:
            for _ in range(2):
                seen = dict(pair.split("=", 1) for pair in (await connection.call("CLIENT", "INFO")).split())
                assert (seen["user"], seen["db"], seen["name"]) == ("caller", "3", "gateway-1")
                relay.cut()
                await noticed(connection)
    await redis.acl_deluser("caller")


async def test_it_speaks_tls(redis_url: str, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        missing("openssl, which makes certificates")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    self_sign(key, certificate, "localhost")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    async with relay_to(redis_url, tls) as (relay, port):
        url = f"rediss://localhost:{port}?ssl_check_hostname=true"
        async with connection_to(url, ssl_ca_certs=str(certificate)) as connection:
            assert await asyncio.gather(*echoes(connection, "a", "b")) == ["a", "b"]
            assert issubclass(connection._pool.connection_class, SSLConnection)
        assert relay.connections == 1


async def test_it_takes_no_connection_over_that_another_caller_used(redis_url: str) -> None:
    pool = connection_pool(redis_url, timeout_seconds=30, retries=0, connections=1)
    number = await Redis(connection_pool=pool).client_id()
    assert await PipelinedConnection(pool).call("CLIENT", "ID") != number
    await pool.disconnect()


async def test_it_decodes_only_if_the_pool_does(redis_url: str) -> None:
    async with connection_to(redis_url, decode_responses=False) as connection:
        assert await connection.call("ECHO", "ü") == "ü".encode()


async def test_a_value_that_cannot_be_sent_disturbs_no_other_call(redis_url: str) -> None:
    async with connection_to(redis_url) as connection:
        good = echoes(connection, "a")
        with pytest.raises(DataError):
            await connection.call("ECHO", None)  # type: ignore[arg-type]
        assert await good[0] == "a"


async def test_the_pool_closes_it(redis: Redis, redis_url: str) -> None:
    async with connection_to(redis_url) as connection:
        number = str(await connection.call("CLIENT", "ID"))
        assert await redis.client_list(client_id=[number])
    await until_gone(redis, number)
