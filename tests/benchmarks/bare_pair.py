"""The floor under the pipeline: two bare processes that make the same five HTTP exchanges for each job.

`python -m tests.benchmarks.bare_pair gateway PORT SOCKET` answers the intake's POST and the upstream's
callback. `... worker SOCKET GATEWAY UPSTREAM KEY SUBSCRIBER SLOTS DELIVERIES` makes the POST to the upstream
on a fresh connection, the confirming GET and the webhook. They use the libraries of the product, and as many
at once as it does. No store, no keys, no signature, no record: a line on a socket tells the worker what came,
and all is forgotten when a process ends.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import httpx
import orjson
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.environment import Environment
from gateway.generation import GenerationRequest
from gateway.upstream.transport import AiohttpTransport
from gateway.upstream.vtrix import VtrixDialect
from tests.processes import ORDER

_CONNECT_SECONDS = 10.0
_JSON = {"Content-Type": "application/json"}


def create_app(path: str) -> Starlette:
    environment = Environment()
    workers: list[asyncio.StreamWriter] = []

    async def accept(request: Request) -> Response:
        GenerationRequest.model_validate_json(await request.body())
        job = environment.new_job_id()
        workers[0].write(b"submit %s\n" % job.encode())
        return Response(orjson.dumps({"id": job, "status": "queued"}), 202, media_type="application/json")

    async def callback(request: Request) -> Response:
        if orjson.loads(await request.body())["status"] == "completed":
            workers[0].write(b"confirm %s\n" % request.path_params["token"].split(".")[2].encode())
        return Response(b"{}", media_type="application/json")

    async def healthz(_: Request) -> Response:
        return Response(status_code=200 if workers else 503)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with await asyncio.start_unix_server(lambda _, writer: workers.append(writer), path):
            yield

    return Starlette(
        routes=[
            Route("/v1/jobs", accept, methods=["POST"]),
            Route("/callbacks/{token}", callback, methods=["POST"]),
            Route("/healthz", healthz),
        ],
        lifespan=lifespan,
    )


class Worker:
    def __init__(
        self, gateway: str, upstream: str, key: str, subscriber: str, slots: int, deliveries: int
    ) -> None:
        self._callbacks = f"{gateway}/callbacks/floor.pair."
        self._upstream = upstream
        self._subscriber = subscriber
        self._dialect = VtrixDialect()
        self._headers = {**self._dialect.headers(key), "host": upstream.split("/")[2]}
        self._slots = asyncio.Semaphore(slots)
        self._deliveries = asyncio.Semaphore(deliveries)
        self._queries = AiohttpTransport(_CONNECT_SECONDS, keep=True)
        self._completed: dict[str, asyncio.Future[None]] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, path: str) -> None:
        reader, _ = await asyncio.open_unix_connection(path)
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as self._session:
            async for line in reader:
                verb, job = line.decode().split()
                if verb == "submit":
                    self._completed[job] = asyncio.get_running_loop().create_future()
                    task = asyncio.create_task(self._job(job))
                    self._running.add(task)
                    task.add_done_callback(self._ended)
                else:
                    self._completed.pop(job).set_result(None)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        task.result()  # whoever waits for its webhook finds the traceback in the log

    async def _job(self, job: str) -> None:
        completed = self._completed[job]
        async with self._slots:
            task_id = await self._submit(job)
            await completed
            task = await self._ask(self._queries, "GET", self._dialect.query_path(task_id))
        event = orjson.dumps({"type": "job.completed", "data": {"id": job, "output": task["output"]}})
        async with (
            self._deliveries,
            self._session.post(self._subscriber, data=event, headers=_JSON) as answer,
        ):
            await answer.read()
            answer.raise_for_status()

    async def _submit(self, job: str) -> str:
        params = {name: value for name, value in ORDER.items() if name != "model"}
        path, content = self._dialect.create_request(
            params, model=str(ORDER["model"]), callback_url=self._callbacks + job, reference=job
        )
        async with AiohttpTransport(_CONNECT_SECONDS, keep=False) as once:
            return str((await self._ask(once, "POST", path, content))["id"])

    async def _ask(
        self, transport: httpx.AsyncBaseTransport, method: str, path: str, content: bytes = b""
    ) -> dict[str, object]:
        headers = dict(self._headers)
        if content:
            headers |= {"content-type": "application/json", "content-length": str(len(content))}
        url, stream = self._upstream + path, httpx.ByteStream(content)
        asked = httpx.Request(method, url, headers=headers, stream=stream)
        response = await transport.handle_async_request(asked)
        try:
            body = await response.aread()
        finally:
            await response.aclose()
        if response.status_code >= 300:
            raise SystemExit(f"{method} {url} was answered {response.status_code}: {body.decode()}")
        found: dict[str, object] = orjson.loads(body)
        return found


async def work(path: str, gateway: str, upstream: str, key: str, subscriber: str, *limits: str) -> None:
    slots, deliveries = map(int, limits)
    await Worker(gateway, upstream, key, subscriber, slots, deliveries).run(path)


if __name__ == "__main__":
    role, *words = sys.argv[1:]
    if role == "worker":
        uvloop.run(work(*words))
    else:
        uvicorn.run(create_app(words[1]), port=int(words[0]), log_level="error", access_log=False)
