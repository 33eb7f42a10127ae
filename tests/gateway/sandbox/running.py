"""A sandbox on a free port, a client of it, and somebody for it to call back."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
from aiohttp import web
from PIL import Image

from gateway.sandbox.app import build_app
from gateway.sandbox.options import CallbackStyle, Options, RenderMode
from gateway.sandbox.server import make_server
from gateway.sandbox.service import Sandbox

KEY = "sandbox-test-key"
CREATE = "/model/v1/generation"
VIDU_CREATE = "/ent/v2/reference2video"
VIDU_TASKS = "/ent/v2/tasks"
Params = dict[str, Any]


@dataclass
class Running:
    url: str
    client: httpx.AsyncClient
    sandbox: Sandbox

    async def create(self, **params: Any) -> httpx.Response:
        return await self.client.post(CREATE, json=nested(**params))

    async def poll(self, task_id: str) -> Params:
        reply = await self.client.get(f"{CREATE}/task/{task_id}")
        assert reply.status_code == 200, reply.text
        found: Params = reply.json()
        return found

    async def vidu(self, method: str, path: str, **more: Any) -> httpx.Response:
        return await self.client.request(method, path, headers={"Authorization": f"Token {KEY}"}, **more)

    async def vidu_create(self, **params: Any) -> httpx.Response:
        return await self.vidu("POST", VIDU_CREATE, json=flat(**params))

    async def vidu_made(self, **params: Any) -> str:
        """The id of a new task."""
        reply = await self.vidu_create(**params)
        assert reply.status_code == 200, reply.text
        return str(reply.json()["task_id"])

    async def vidu_poll(self, task_id: str) -> Params:
        reply = await self.vidu("GET", f"{VIDU_TASKS}/{task_id}/creations")
        assert reply.status_code == 200, reply.text
        found: Params = reply.json()
        return found

    async def vidu_cancel(self, task_id: str) -> httpx.Response:
        return await self.vidu("POST", f"{VIDU_TASKS}/{task_id}/cancel", json={"id": task_id})

    async def ended(self, task_id: str) -> Params:
        await asyncio.wait_for(self.sandbox.tasks[task_id].ended.wait(), 60)
        return await self.poll(task_id)

    async def ledger(self, kind: str, task_id: str | None = None) -> list[Params]:
        query = {"kind": kind} | ({"task": task_id} if task_id else {})
        lines: list[Params] = (await self.client.get("/admin/ledger", params=query)).json()
        return lines


def nested(**params: Any) -> Params:
    """A good creation, with these parameters changed or (None) left out."""
    wanted = {"images": ["http://127.0.0.1:9/one.png"], "prompt": "a fox", **params}
    kept = {name: value for name, value in wanted.items() if value is not None}
    return {"model": "viduq2_pro_reference", "input": [{"params": kept}]}


def flat(**params: Any) -> Params:
    """The same for the vidu dialect."""
    kept: Params = nested(**params)["input"][0]["params"]
    return {"model": "viduq2-pro", **kept}


async def until(is_true: Callable[[], bool]) -> None:
    """For what nobody announces."""
    async with asyncio.timeout(60):
        while not is_true():  # noqa: ASYNC110 - it belongs to others, which know of no event
            await asyncio.sleep(0.005)


@asynccontextmanager
async def running(
    folder: Path,
    *,
    render: RenderMode = "none",
    style: CallbackStyle = "none",
    task_seconds: float = 0.0,
    retry_seconds: float = 0.01,
    concurrency: int | None = None,
    list_payload: bool = False,
    accounts: Mapping[str, str] | None = None,
    result_seconds: float | None = None,
) -> AsyncIterator[Running]:
    options = Options(
        folder,
        KEY,
        render=render,
        callback_style=style,
        task_seconds=task_seconds,
        callback_retry_seconds=retry_seconds,
        concurrency=concurrency,
        list_payload=list_payload,
        accounts=accounts or {},
        result_seconds=result_seconds,
    )
    app = build_app(options)
    server = make_server(app, "127.0.0.1", 0)
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    headers = {"Authorization": f"Bearer {KEY}"}
    try:
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
            yield Running(url, client, app.state.sandbox)
    finally:
        server.should_exit = True
        await serving


@dataclass
class Listener:
    """Records what it is called back with; answers with the statuses in `replies`, then 200."""

    url: str = ""
    replies: list[int] = field(default_factory=list)
    calls: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    @property
    def bodies(self) -> list[Any]:
        return [orjson.loads(body) for _, body in self.calls]

    async def heard(self, count: int) -> None:
        await until(lambda: len(self.calls) >= count)

    async def _take(self, request: web.Request) -> web.Response:
        self.tokens.append(request.match_info["token"])
        self.calls.append((dict(request.headers), await request.read()))
        return web.Response(status=self.replies.pop(0) if self.replies else 200)


@asynccontextmanager
async def listening(*replies: int) -> AsyncIterator[Listener]:
    listener = Listener(replies=list(replies))
    app = web.Application(client_max_size=2**20)
    app.router.add_post("/callbacks/{token}", listener._take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    listener.url = f"http://127.0.0.1:{port}/callbacks/token-1"
    try:
        yield listener
    finally:
        await runner.cleanup()


def picture(colour: str, size: tuple[int, int] = (256, 256), kind: str = "PNG") -> bytes:
    """One plain colour."""
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, kind)
    return out.getvalue()
