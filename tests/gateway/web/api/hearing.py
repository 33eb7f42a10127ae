"""The gateway as a real server, which ends as the real process does, and clients of its event streams."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
import uvicorn

from gateway.__main__ import _Server
from gateway.jobs import Job
from gateway.lifecycle import JobEvent
from gateway.resources import Resources
from gateway.settings import Settings
from gateway.store.base import AdmissionLimits
from gateway.store.effects import AddToFields, BindTask
from gateway.store.transitions import Transition
from gateway.upstream.base import UpstreamError
from gateway.web.app import create_app
from gateway.web.server.protocol import HardenedProtocol
from gateway.web.state import State
from tests.gateway.store.conftest import new_job

SECONDS = 60


@dataclass
class Serving:
    """`url`: of the server; `stop`: what SIGTERM does."""

    url: str
    server: uvicorn.Server
    thread: threading.Thread

    @property
    def state(self) -> State:
        found: State = self.server.config.loaded_app.state.gateway
        return found

    def stop(self) -> None:
        self.server.should_exit = True


@contextmanager
def serving(settings: Settings) -> Iterator[Serving]:
    """In a thread of this process; ends although streams are open, and says so if it does not."""
    config = uvicorn.Config(
        create_app(settings),
        http=HardenedProtocol,
        ws="none",
        access_log=False,
        log_config=None,
        backlog=2048,
        proxy_headers=False,
        timeout_graceful_shutdown=SECONDS,
    )
    server = _Server(config, drain_seconds=0)
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        try:
            yield Serving(url, server, thread)
        finally:
            server.should_exit = True
            thread.join(SECONDS)
            assert not thread.is_alive()


@dataclass
class Block:
    """What came between two empty lines."""

    id: str = ""
    event: str = ""
    raw: str = ""
    retry: str = ""
    comments: list[str] = field(default_factory=list)

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.raw)
        return found


class Ear:
    """A client of one stream. `last_id`: as a browser keeps it."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.last_id = ""
        self._lines = response.aiter_lines()

    async def block(self) -> Block | None:
        """The next one, heartbeats included; None at the end of the stream."""
        found = Block()
        async with asyncio.timeout(SECONDS):
            async for line in self._lines:
                if not line:
                    self.last_id = found.id or self.last_id
                    return found
                name, _, value = line.partition(": ") if ": " in line else line.partition(":")
                match name:
                    case "id":
                        found.id = value
                    case "event":
                        found.event = value
                    case "data":
                        found.raw = value
                    case "retry":
                        found.retry = value
                    case _:
                        found.comments.append(value)
        return None

    async def message(self) -> Block:
        """The next one that has data."""
        while True:
            found = await self.block()
            assert found is not None, "the stream ended"
            if found.raw:
                return found

    async def messages(self, number: int) -> list[Block]:
        return [await self.message() for _ in range(number)]

    async def to_the_end(self) -> list[Block]:
        blocks = []
        while (found := await self.block()) is not None:
            blocks.append(found)
        return blocks


@asynccontextmanager
async def hearing(
    url: str, key: str, path: str = "/v1/events", last_id: str | None = None
) -> AsyncIterator[Ear]:
    """An open stream: its first words have come, so that what happens from now on is heard."""
    headers = {"Authorization": f"Bearer {key}"}
    if last_id is not None:
        headers["Last-Event-ID"] = last_id
    async with (
        httpx.AsyncClient(base_url=url, timeout=SECONDS) as client,
        client.stream("GET", path, headers=headers) as response,
    ):
        assert response.status_code == 200, await response.aread()
        ear = Ear(response)
        first = await ear.block()
        assert first is not None
        assert first.retry == "2000"
        yield ear


async def post(resources: Resources, tenant: str = "acme", **fields: object) -> Job:
    job = new_job(tenant, **fields)
    await resources.jobs.accept(job, None, "fingerprint", AdmissionLimits(queue_max=1000))
    return job


async def submit(resources: Resources, job: Job) -> Job:
    await resources.jobs.apply(job, Transition(JobEvent.CLAIMED, effects=[AddToFields({"epoch": 1})]))
    await resources.jobs.apply(
        job, Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask(f"task-of-{job.id}")])
    )
    found = await resources.jobs.read(job.id)
    assert found is not None
    return found


async def fail(resources: Resources, job: Job) -> None:
    error = UpstreamError("made_up", "it failed")
    await resources.settlement.fail(job, JobEvent.UPSTREAM_FAILED, error, [])


async def cancel(resources: Resources, job: Job) -> None:
    await resources.settlement.cancel(job, [])


def events_of(blocks: list[Block]) -> list[tuple[str, str]]:
    return [(block.event, block.data["data"]["id"]) for block in blocks]
