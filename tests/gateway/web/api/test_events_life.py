"""Event streams that live long: heartbeats, clients that leave or do not read, keys, limits, crowds."""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from gateway.jobs import Job
from gateway.local.valkey import valkey
from gateway.resources import Resources
from gateway.settings import Settings
from gateway.store import client_keys, keys
from gateway.store.base import AdmissionLimits
from gateway.web import key_watch
from gateway.web.streams import hub, keepalive
from tests.gateway.store.conftest import new_job
from tests.gateway.web.api.hearing import (
    SECONDS,
    Block,
    Ear,
    Serving,
    cancel,
    events_of,
    hearing,
    post,
    serving,
)
from tests.gateway.web.conftest import BODY, MakeKey
from tests.gateway.web.test_process import add_key, eventually, running, status
from tests.nursery import Nursery

BEAT = 0.1


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepalive, "KEEPALIVE_SECONDS", BEAT)
    monkeypatch.setattr(client_keys, "REMEMBERED_SECONDS", 0.0)
    monkeypatch.setattr(key_watch, "CHECK_SECONDS", BEAT)


@pytest.fixture
def server(settings: Settings, empty_redis: None, quick: None) -> Iterator[Serving]:
    with serving(settings) as found:
        yield found


@pytest.fixture
async def key(make_key: MakeKey) -> str:
    return await make_key()


async def become(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(SECONDS):
        while True:
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.01)


async def heartbeat(ear: Ear) -> Block:
    while True:
        block = await ear.block()
        assert block is not None
        if block.comments:
            return block


async def test_a_quiet_stream_says_that_it_lives(server: Serving, key: str) -> None:
    async with hearing(server.url, key) as ear:
        for _ in range(3):
            block = await heartbeat(ear)
            assert (block.event, block.raw) == ("", "")


async def test_a_heartbeat_shows_how_far_the_stream_is_though_nothing_was_for_its_client(
    server: Serving, resources: Resources, key: str
) -> None:
    async with hearing(server.url, key, "/v1/events?types=job.failed") as ear:
        await post(resources)
        newest = await resources.tenant_events.tail("acme")
        async with asyncio.timeout(SECONDS):
            while (await heartbeat(ear)).id != newest:
                pass
    assert ear.last_id == newest


async def test_a_stream_ends_when_its_client_has_left(
    server: Serving, resources: Resources, key: str
) -> None:
    async with hearing(server.url, key), hearing(server.url, key):
        assert server.state.streams.open == 2
    await become(lambda: server.state.streams.open == 0)
    assert server.state.streams._feeds == {}
    assert server.state.resources.notifications._followed == {}


async def test_a_revoked_key_ends_its_streams_and_no_other(
    server: Serving, resources: Resources, key: str, make_key: MakeKey
) -> None:
    async with hearing(server.url, key) as mine, hearing(server.url, await make_key()) as other:
        await resources.client_keys.revoke(key.split("_")[1], 1_800_000_000_000, by="key1")
        end = await mine.to_the_end()
        assert "revoked" in end[-1].comments[0]
        job = await post(resources)
        assert events_of([await other.message()]) == [("job.queued", job.id)]


async def test_a_tenant_may_open_so_many_streams_and_no_more(
    settings: Settings, quick: None, resources: Resources, key: str, make_key: MakeKey
) -> None:
    theirs = {"Authorization": f"Bearer {key}"}
    with serving(settings.model_copy(update={"streams_max": 2})) as server:
        async with httpx.AsyncClient(base_url=server.url, headers=theirs, timeout=SECONDS) as client:
            job = await post(resources)
            async with hearing(server.url, key), hearing(server.url, key, f"/v1/jobs/{job.id}/events"):
                for path in ("/v1/events", f"/v1/jobs/{job.id}/events"):
                    refused = await client.get(path)
                    assert refused.status_code == 429
                    assert int(refused.headers["retry-after"]) > 0
                async with hearing(server.url, await make_key("other")):
                    pass
            await become(lambda: server.state.streams.open == 0)
            async with hearing(server.url, key):
                pass


def slow_client(server: Serving, key: str, last_id: str) -> socket.socket:
    """A client with little room, which asks and does not read."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((host, int(port)))
    head = f"Host: x\r\nAuthorization: Bearer {key}\r\nLast-Event-ID: {last_id}\r\n\r\n"
    client.sendall(f"GET /v1/events HTTP/1.1\r\n{head}".encode())
    return client


async def read_to_the_end(client: socket.socket) -> str:
    reader, writer = await asyncio.open_connection(sock=client)
    async with asyncio.timeout(SECONDS):
        whole = bytearray()
        while not whole.endswith(b"\r\n0\r\n\r\n"):
            piece = await reader.read(1_000_000)
            assert piece
            whole += piece
    writer.close()
    chunks, body = whole.partition(b"\r\n\r\n")[2], b""
    while chunks:
        size, _, chunks = chunks.partition(b"\r\n")
        body, chunks = body + chunks[: int(size, 16)], chunks[int(size, 16) + 2 :]
    return body.decode()


async def test_who_reads_too_slowly_is_sent_away_and_finds_the_rest_when_it_comes_back(
    server: Serving, resources: Resources, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "QUEUE_MAX", 5)
    large = "x" * 16_000
    first = await post(resources)
    client = slow_client(server, key, "0")
    client.setblocking(False)
    await become(lambda: server.state.streams.open == 1)
    async with hearing(server.url, key) as quick_one:
        jobs = []
        for _ in range(500):
            job = await posted_with(resources, large)
            jobs.append(job)
            assert events_of([await quick_one.message()]) == [("job.queued", job.id)]
    text = await read_to_the_end(client)
    assert "too slowly" in text.rpartition("\n: ")[2]
    blocks = [block for block in text.split("\n\n") if "\nevent: job" in block]
    ids = [block.partition("\n")[0].removeprefix("id: ") for block in blocks]
    assert len(ids) < 500
    everything = [name for name, _ in await resources.redis.xrange(keys.tenant_events("acme"))]
    assert ids == everything[: len(ids)]
    async with hearing(server.url, key, last_id=ids[-1]) as ear:
        rest = await ear.messages(501 - len(ids))
    assert ids + [block.id for block in rest] == everything
    assert rest[-1].data["data"]["id"] == jobs[-1].id
    assert first.id in blocks[0]


async def posted_with(resources: Resources, payload: str) -> Job:
    job = new_job(payload_characters=len(payload))
    await resources.jobs.accept(job, payload, "fingerprint", AdmissionLimits(queue_max=1000))
    return job


async def test_streams_and_waiting_clients_end_cleanly_with_the_process(
    server: Serving, resources: Resources, key: str
) -> None:
    job = await post(resources)
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        httpx.AsyncClient(base_url=server.url, headers=headers, timeout=SECONDS) as client,
        hearing(server.url, key) as whole,
        hearing(server.url, key, f"/v1/jobs/{job.id}/events") as one,
    ):
        waiting = asyncio.create_task(client.get(f"/v1/jobs/{job.id}?wait=60"))
        await become(lambda: job.id in server.state.resources.notifications._watched)
        seen = await post(resources)
        assert events_of([await whole.message()]) == [("job.queued", seen.id)]
        server.stop()
        for ear in (whole, one):
            end = (await ear.to_the_end())[-1]
            assert "reconnect with" in end.comments[0]
        assert (await waiting).json()["status"] == "queued"
    await become(lambda: not server.thread.is_alive())
    assert whole.last_id == await resources.tenant_events.tail("acme")


@pytest.mark.processes
def test_a_stream_outlives_redis_and_ends_with_the_process(nursery: Nursery, tmp_path: Path) -> None:
    folder = tmp_path / "valkey"
    folder.mkdir()
    redis_url = f"unix://{folder.resolve()}/valkey.sock"
    with running(nursery, redis_url, tmp_path) as (process, client):
        with valkey(folder):
            add_key(redis_url)
            eventually(lambda: status(client, "/readyz") == 200)
            stream = client.stream("GET", "/v1/events", timeout=30)
            response = stream.__enter__()
            lines = response.iter_lines()
            assert next(lines) == "retry: 2000"
        assert status(client, "/readyz") == 503
        with valkey(folder):
            eventually(lambda: client.post("/v1/jobs", json=BODY).status_code == 202)
            assert "event: job.queued" in iter(lines)
            process.send_signal(signal.SIGTERM)
            rest = list(lines)  # raises when the stream is broken off
            assert "reconnect with" in rest[-2]
            stream.__exit__(None, None, None)
            assert process.wait(60) in (0, -signal.SIGTERM)


@pytest.fixture
def room() -> None:
    """File descriptors for hundreds of connections, both ends in this process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2000:
        pytest.skip("this machine does not allow so many open files")
    soft = hard if hard != resource.RLIM_INFINITY else 65_536
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


STREAMS, WAITING, TENANTS = 400, 40, 4


async def test_a_crowd_hears_of_one_event_by_one_subscription_and_a_task_each(
    settings: Settings, empty_redis: None, resources: Resources, make_key: MakeKey, room: None
) -> None:
    names = [f"t{number}" for number in range(TENANTS)]
    crowd_keys = [await make_key(name) for name in names]
    jobs = [await post(resources, name) for name in names]
    with serving(settings) as server:
        host, _, port = server.url.removeprefix("http://").partition(":")
        entering = asyncio.Semaphore(50)

        async def enter(number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            job = jobs[number % TENANTS].id
            paths = ["/v1/events", f"/v1/jobs/{job}/events"]
            path = paths[number // TENANTS % 2] if number < STREAMS else f"/v1/jobs/{job}?wait=60"
            async with entering:
                reader, writer = await asyncio.open_connection(host, int(port))
                key = crowd_keys[number % TENANTS]
                writer.write(
                    f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
                )
                if number < STREAMS:
                    await reader.readuntil(b"retry: 2000\n")
                return reader, writer

        crowd = await asyncio.gather(*map(enter, range(STREAMS + WAITING)))
        watched = server.state.resources.notifications._watched
        await become(lambda: sum(map(len, watched.values())) == WAITING)
        assert server.state.streams.open == STREAMS
        clients = await resources.redis.client_list()
        assert [one["sub"] for one in clients].count("1") == 1
        assert len(clients) < 150
        walking = server.state.keep_alive._task
        assert walking is not None
        assert len(asyncio.all_tasks(walking.get_loop())) < STREAMS + WAITING + 30

        for job in jobs:
            await cancel(resources, job)
        async with asyncio.timeout(60):
            for number, (reader, writer) in enumerate(crowd):
                if number < STREAMS:
                    await reader.readuntil(b"event: job.canceled\n")
                else:
                    await reader.readuntil(b'"status":"canceled"')
                writer.close()
