"""Copies of results: one worker process that copies files, over a bare loop from aiohttp to a file.

`python -m tests.benchmarks.copies serve PORT BYTES` is the server of the files, `... loop URL NUMBER FOLDER`
the floor: as many downloads at once, each written to a file as it comes, without a hash, a check or a sync.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from aiohttp import web
from pydantic import SecretStr

from gateway.assets import AssetState
from gateway.environment import Environment
from gateway.jobs import Job, submit_ticket
from gateway.lifecycle import JobEvent, JobState
from gateway.resources import Resources, open_resources
from gateway.sandbox.results import SAMPLES
from gateway.settings import Settings
from gateway.settlement import Mirroring, Settlement
from gateway.store import keys
from gateway.store.base import AdmissionLimits
from gateway.store.effects import BindTask
from gateway.store.transitions import Transition
from gateway.upstream.base import Snapshot, TaskStatus
from tests.benchmarks.figures import Found, over_floor
from tests.processes import Machine, free_port, machine

ROUNDS = 5
FILES = 40
FILE_BYTES = 16 * 2**20
AT_ONCE = 8
_PATIENCE_SECONDS = 120.0


def measure() -> Found:
    """`mirror_ratio`: bytes per second of one worker process, over the bare loop. The files are videos of 16
    MiB; each copy is checked, hashed, synced to the disk and recorded durably."""
    ours, floors = [], []
    with tempfile.TemporaryDirectory() as name, machine(Path(name)) as scratch:
        port = free_port()
        command = [sys.executable, "-m", "tests.benchmarks.copies", "serve", str(port), str(FILE_BYTES)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert server.stdout is not None
        server.stdout.readline()
        try:
            slots = {f"GATEWAY_{name}": str(AT_ONCE) for name in ("MIRROR_SLOTS", "MIRROR_TENANT_SLOTS")}
            scratch.environment |= {"GATEWAY_MIRROR": "1", "GATEWAY_ALLOW_PRIVATE_MEDIA_URLS": "1", **slots}
            scratch.start("workers", "workers", "--role", "mirror")
            url = f"http://127.0.0.1:{port}/v.mp4"
            _copies(scratch, url)  # warm up
            for _ in range(ROUNDS):
                floors.append(_loop(url, Path(name) / "floor"))
                ours.append(_copies(scratch, url))
        finally:
            server.kill()
            server.wait()
    rates = {
        f"{name}_mb_per_second": [FILES * FILE_BYTES / seconds / 1e6 for seconds in rounds]
        for name, rounds in (("mirror", ours), ("mirror_floor", floors))
    }
    ratio = over_floor(rates["mirror_mb_per_second"], rates["mirror_floor_mb_per_second"])
    return Found({"mirror_ratio": ratio}, rates)


def _loop(url: str, folder: Path) -> float:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "tests.benchmarks.copies", "loop", url, str(FILES), str(folder)]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(said.stdout))


def _copies(scratch: Machine, url: str) -> float:
    """Seconds from the end of the first job to the copy of the last one."""
    return asyncio.run(_copied(scratch, url))


async def _copied(scratch: Machine, url: str) -> float:
    settings = Settings(
        redis_url=scratch.url,
        secret_keys=SecretStr(scratch.secret_keys),
        upstream_key=SecretStr("key"),
        blob_dir=scratch.folder / "blobs",
        mirror=True,
        mirror_slots=AT_ONCE,
        mirror_tenant_slots=AT_ONCE,
        upstream_slots=FILES,
        upstream_tenant_slots=FILES,
    )
    async with open_resources(settings, retries=1) as resources:
        await resources.media.mark()  # as a gateway would
        before = await _stored(resources)
        jobs = [await _submitted(resources) for _ in range(FILES)]
        settlement = Settlement(
            resources.jobs, resources.inline_files, resources.environment, mirroring=Mirroring(3_600_000)
        )
        output: list[dict[str, Any]] = [{"content": [{"type": "video", "url": url}]}]
        began = time.perf_counter()
        for job in jobs:
            done = Snapshot(str(job.task_id), TaskStatus.COMPLETED, "success", output=output)
            await settlement.succeed(job, done, [submit_ticket(job)])
        while await _stored(resources) < before + FILES:
            if time.perf_counter() - began > _PATIENCE_SECONDS:
                raise SystemExit(f"the copies were not made:\n{scratch.log('workers')[-2000:]}")
            await asyncio.sleep(0.01)
        took = time.perf_counter() - began
        for job in jobs:
            await resources.media.drop(f"results/{job.id}")
    return took


async def _stored(resources: Resources) -> int:
    found = await resources.redis.hget(keys.COUNTS, f"asset:{AssetState.STORED}")  # type: ignore[misc]
    return int(found or 0)


async def _submitted(resources: Resources) -> Job:
    environment = Environment()
    job = Job(environment.new_job_id(), "acme", JobState.QUEUED, "m", {}, environment.now_ms())
    await resources.jobs.accept(job, None, "f", AdmissionLimits(queue_max=1000))
    accepted = Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask(f"task_{job.id}")])
    await resources.jobs.apply(job, accepted)
    found = await resources.jobs.read(job.id)
    assert found
    return found


async def serve(port: int, size: int) -> None:
    """A video of so many bytes: a short one, and a box of padding."""
    film = (SAMPLES / "placeholder.mp4").read_bytes()
    padding = size - len(film)
    body = film + padding.to_bytes(4, "big") + b"free" + bytes(padding - 8)

    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="video/mp4")

    application = web.Application()
    application.router.add_get("/v.mp4", handler)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


async def loop(url: str, number: int, folder: Path) -> float:
    """Seconds for so many downloads."""
    slots = asyncio.Semaphore(AT_ONCE)
    async with aiohttp.ClientSession() as session:

        async def one(at: int) -> None:
            async with slots, session.get(url) as answer:
                path = folder / f"{at}.mp4"
                with path.open("wb") as file:
                    async for piece in answer.content.iter_any():
                        file.write(piece)
                path.unlink()

        began = time.perf_counter()
        await asyncio.gather(*map(one, range(number)))
        return time.perf_counter() - began


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        uvloop.run(serve(int(sys.argv[2]), int(sys.argv[3])))
    else:
        print(json.dumps(uvloop.run(loop(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])))))
