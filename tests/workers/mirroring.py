"""A server of results that behaves as a test says, and a worker that copies from it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web

from gateway.assets import Asset, Variant
from gateway.delivery.download import Downloader
from gateway.delivery.guard import Guard, SystemResolver
from gateway.delivery.names import NameService
from gateway.dispatch import ACCOUNT, Role
from gateway.jobs import Job, mirror_ticket
from gateway.settlement import Mirroring
from gateway.store import keys
from gateway.upstream.base import Found
from tests.gateway.delivery.subscriber import LOOPBACK
from tests.gateway.generation.media_samples import clip, image
from tests.workers.conftest import Rig
from tests.workers.scripted import completed
from workers.confirm import Confirmer
from workers.mirror import Mirrorer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LIFE_SECONDS = 3600


def movie() -> bytes:
    return clip(container="mp4")


def picture() -> bytes:
    return image("jpeg")


def sends(raw: bytes, status: int = 200, **headers: str) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(body=raw, status=status, headers=named)

    return handler


@dataclass(slots=True)
class Results:
    """A server of results: `handlers` by path, `asked` in order."""

    url: str = ""
    handlers: dict[str, Handler] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        return await self.handlers[request.path](request)

    def output(self, **names: str) -> list[dict[str, Any]]:
        """The output of a task whose result is served here: {name of the field: path}."""
        found = {name: f"{self.url}{path}" for name, path in names.items()}
        return [{"content": [{"type": "video", **found}]}]


@asynccontextmanager
async def serving() -> AsyncIterator[Results]:
    results = Results()
    application = web.Application()
    application.router.add_get("/{path:.*}", results.serve)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    [(_, port, *_)] = [socket.getsockname() for socket in site._server.sockets]  # type: ignore[union-attr]
    results.url = f"http://127.0.0.1:{port}"
    try:
        yield results
    finally:
        await runner.cleanup()


@dataclass(slots=True)
class MirrorRig:
    rig: Rig
    results: Results
    mirrorer: Mirrorer

    async def completed(
        self, *, covers: bool = False, life_seconds: float = LIFE_SECONDS, **names: str
    ) -> Job:
        """A completed job whose files are `names` of `Results.output`; by default, one video."""
        r = self.rig.resources
        settlement = replace(r.settlement, mirroring=Mirroring(int(life_seconds * 1000), covers))
        confirmer = Confirmer(
            r.jobs, settlement, {ACCOUNT: self.rig.upstream}, r.environment, self.mirrorer.settings
        )
        rig = replace(self.rig, confirmer=confirmer)
        job = await rig.submitted()
        output = self.results.output(**(names or {"url": "/v.mp4"}))
        return await rig.confirm(job, Found(completed(task_id=job.task_id, output=output)))

    async def copy(self, job: Job, variant: Variant = Variant.VIDEO) -> Asset:
        """What the asset is after an attempt, which is made due now."""
        await self.rig.make_due(Role.MIRROR, str(mirror_ticket(job, variant)))
        ticket = await self.rig.ticket(Role.MIRROR, f"{job.id}:{variant}")
        await self.mirrorer.copy(ticket)
        return (await self.rig.read(job)).assets[variant]

    async def due_in(self, job: Job, variant: Variant = Variant.VIDEO) -> float | None:
        return await self.rig.due_in(Role.MIRROR, mirror_ticket(job, variant))

    async def stored(self, asset: Asset) -> bytes:
        assert asset.key is not None
        return await self.rig.resources.media.read(asset.key)

    async def scratch(self) -> list[str]:
        """What is left of downloads."""
        folder = self.rig.resources.media.scratch
        return [path.name for path in folder.iterdir()] if folder.exists() else []

    async def usage(self, tenant: str = "acme") -> int:
        found = await self.rig.redis.hget(keys.tenant_usage(tenant), "results")  # type: ignore[misc]
        return int(found or 0)


def changed(mirrorer: Mirrorer, **settings: Any) -> Mirrorer:
    return replace(mirrorer, settings=mirrorer.settings.model_copy(update=settings))


@asynccontextmanager
async def mirroring(
    rig: Rig, guard: Guard = LOOPBACK, *, max_bytes: int = 10_000_000, stall: float = 5, total: float = 20
) -> AsyncIterator[MirrorRig]:
    r = rig.resources
    async with (
        serving() as results,
        Downloader(
            guard,
            SystemResolver(NameService()),
            pool_size=4,
            max_bytes=max_bytes,
            stall_seconds=stall,
            total_seconds=total,
        ) as downloader,
    ):
        upstreams = {ACCOUNT: rig.upstream}
        mirrorer = Mirrorer(r.jobs, r.assets, r.media, downloader, upstreams, r.environment, r.settings)
        yield MirrorRig(rig, results, mirrorer)
