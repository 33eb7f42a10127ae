"""Event streams that catch up: what they hold and what they take, whoever else there is."""

from __future__ import annotations

import asyncio
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.types import Message

from gateway.jobs import EVENT_PAYLOAD_CHARACTERS
from gateway.lifecycle import JobEvent
from gateway.resources import Resources
from gateway.settings import Settings
from gateway.store.base import AdmissionLimits
from gateway.store.effects import AddToFields, BindTask
from gateway.store.event_log import Entry, RedisTenantEvents
from gateway.store.transitions import Transition
from gateway.web.state import State
from tests.gateway.store.conftest import new_job
from tests.gateway.web.api.hearing import SECONDS, Serving, events_of, hearing, post, serving
from tests.gateway.web.conftest import MakeKey

LARGE = "\x01" * EVENT_PAYLOAD_CHARACTERS  # six bytes each in JSON
PER_TENANT = 4


async def post_large(resources: Resources) -> str:
    job = new_job(payload_characters=len(LARGE))
    await resources.jobs.accept(job, LARGE, "fingerprint", AdmissionLimits(queue_max=1000))
    return job.id


class Slow:
    """A client of the application in this loop: reads one piece at a time, when it is asked to.
    `waiting`: a piece that it has not read yet."""

    def __init__(self, app: Starlette, key: str, path: str = "/v1/events", last_id: str = "0") -> None:
        headers = [(b"authorization", f"Bearer {key}".encode()), (b"last-event-id", last_id.encode())]
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": headers,
            "scheme": "http",
            "server": ("gateway", 80),
            "client": ("127.0.0.1", 1),
        }
        self._left = asyncio.Event()
        self._pieces: asyncio.Queue[Message] = asyncio.Queue(1)
        self._read = asyncio.Semaphore(0)
        self.running = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        await self._pieces.put(message)
        del message
        await self._read.acquire()

    async def piece(self) -> bytes:
        """The next one; its writer goes on only with the next call of `read_on`."""
        async with asyncio.timeout(SECONDS):
            return bytes((await self._pieces.get()).get("body", b""))

    def read_on(self) -> None:
        self._read.release()

    async def leave(self) -> None:
        self._left.set()
        self.running.cancel()
        await asyncio.wait([self.running])


@pytest.fixture
async def slow(app: Starlette, make_key: MakeKey) -> AsyncIterator[Callable[..., Slow]]:
    key, made = await make_key(), list[Slow]()

    def make(path: str = "/v1/events") -> Slow:
        made.append(Slow(app, key, path))
        return made[-1]

    yield make
    for one in made:
        await one.leave()


@contextmanager
def measuring() -> Iterator[Callable[[], int]]:
    """What Python holds more than at the beginning, in bytes."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    try:
        yield lambda: tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


async def test_while_a_client_is_slow_no_more_is_held_for_it_than_what_it_is_being_sent(
    app: Starlette, state: State, slow: Callable[..., Slow]
) -> None:
    jobs = [await post_large(state.resources) for _ in range(40)]
    client, heard, most = slow(), b"", 0
    with measuring() as held:
        while heard.count(b"event: job.queued") < len(jobs):
            piece = await client.piece()
            heard += piece
            most = max(most, held() - len(heard) if b"event: job" in piece else 0)
            client.read_on()
    assert [heard.count(job.encode()) > 0 for job in jobs] == [True] * len(jobs)
    assert len(heard) > 40 * 90_000
    assert most < 600_000


async def test_a_job_s_events_are_sent_in_pieces_too(
    app: Starlette, state: State, slow: Callable[..., Slow]
) -> None:
    resources = state.resources
    name = await post_large(resources)
    job = await resources.jobs.read(name)
    assert job is not None
    await resources.jobs.apply(job, Transition(JobEvent.CLAIMED, effects=[AddToFields({"epoch": 1})]))
    await resources.jobs.apply(job, Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask("task-1")]))
    client, pieces = slow(f"/v1/jobs/{name}/events"), list[bytes]()
    while b"event: job.submitted" not in b"".join(pieces):
        pieces.append(await client.piece())
        client.read_on()
    assert [piece.count(b"event: ") for piece in pieces if b"event: " in piece] == [1, 1]


class Held(RedisTenantEvents):
    """Makes no events until it is let. `most`: so many were asked for at once."""

    def __init__(self, resources: Resources) -> None:
        super().__init__(resources.redis)
        self.let = threading.Event()
        self.now = self.most = 0

    async def bodies(self, entries: Sequence[Entry]) -> list[bytes | None]:
        if not entries:
            return []
        self.now += 1
        self.most = max(self.most, self.now)
        while not self.let.is_set():  # noqa: ASYNC110  # set by another thread
            await asyncio.sleep(0.01)
        self.now -= 1
        return await super().bodies(entries)


@pytest.fixture
def server(settings: Settings, empty_redis: None) -> Iterator[Serving]:
    with serving(settings) as found:
        yield found


async def test_a_tenant_whose_streams_catch_up_by_the_dozen_holds_up_nobody_else(
    server: Serving, resources: Resources, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(server.state.resources)
    monkeypatch.setattr(server.state.streams, "_events", held)
    monkeypatch.setattr(server.state.keep_alive, "reading", asyncio.Semaphore(2 * PER_TENANT))
    job = await post(resources)
    key, other = await make_key(), await make_key("other")
    theirs = await post(resources, "other")
    try:
        async with AsyncExitStack() as crowd:
            ears = [await crowd.enter_async_context(hearing(server.url, key, last_id="0")) for _ in range(12)]
            async with asyncio.timeout(SECONDS):
                while held.now < PER_TENANT:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            headers = {"Authorization": f"Bearer {other}"}
            async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=SECONDS) as client:
                answer = await client.get(f"/v1/jobs/{theirs.id}?wait=1")
            assert answer.json()["status"] == "queued"
            async with hearing(server.url, other):
                pass
            async with hearing(server.url, key):  # not their own new streams either
                pass
            assert held.most == PER_TENANT
            held.let.set()
            for ear in ears:
                assert events_of([await ear.message()]) == [("job.queued", job.id)]
        assert held.most == PER_TENANT
    finally:
        held.let.set()
