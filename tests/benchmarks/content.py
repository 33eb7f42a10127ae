"""The stable address: how soon the first byte of a stored video comes from the disk."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import time
from pathlib import Path

from pydantic import SecretStr

from gateway.assets import Asset, AssetState, Variant
from gateway.lifecycle import JobState
from gateway.resources import open_resources
from gateway.settings import Settings
from gateway.store import keys
from gateway.store.base import AdmissionLimits
from gateway.store.job_fields import to_fields
from tests.benchmarks.figures import Figure, Found, p99_ms
from tests.gateway.store.conftest import new_job
from tests.processes import Machine, machine

ROUNDS = 5
VIDEOS = 20
READERS = 8
_VIDEO_BYTES = 8_000_000
_READS_EACH = 40
_DAY_MS = 86_400_000


def measure() -> Found:
    """`content_first_byte_ms`: p99, from the request to the first byte of the body, with eight clients that
    read whole videos of 8 MB one after the other."""
    with tempfile.TemporaryDirectory() as name, machine(Path(name)) as scratch:
        scratch.start_gateway()
        jobs = asyncio.run(_store(scratch))
        return asyncio.run(_measure(scratch, jobs))


async def _store(scratch: Machine) -> list[str]:
    """Ids of completed jobs with stored videos, written as a worker would write them."""
    settings = Settings(
        redis_url=scratch.environment["GATEWAY_REDIS_URL"],
        secret_keys=SecretStr(scratch.environment["GATEWAY_SECRET_KEYS"]),
        upstream_key=SecretStr("none"),
        blob_dir=Path(scratch.environment["GATEWAY_BLOB_DIR"]),
    )
    names = []
    async with open_resources(settings, retries=1) as resources:
        now = resources.environment.now_ms()
        for _ in range(VIDEOS):
            job, raw = new_job("acme"), os.urandom(_VIDEO_BYTES)
            await resources.jobs.accept(job, None, "fingerprint", AdmissionLimits(queue_max=1000))
            key = f"results/{job.id}/video.mp4"
            await resources.media.put(key, raw)
            asset = Asset(
                AssetState.STORED,
                key=key,
                size=len(raw),
                sha256=hashlib.sha256(raw).hexdigest(),
                media_type="video/mp4",
                expires_at=now + _DAY_MS,
            )
            fields = to_fields(state=JobState.COMPLETED, finished_at=now, assets={Variant.VIDEO: asset})
            await resources.redis.hset(keys.job(job.id), mapping=fields)  # type: ignore[misc]
            names.append(job.id)
    return names


async def _measure(scratch: Machine, jobs: list[str]) -> Found:
    rounds, rates = [], []
    for number in range(ROUNDS + 1):
        began = time.perf_counter()
        turns = [[jobs[(first + step) % VIDEOS] for step in range(_READS_EACH)] for first in range(READERS)]
        found = await asyncio.gather(*(_reader(scratch, turn) for turn in turns))
        if number:  # the first round warms up
            rounds.append(p99_ms([seconds for one in found for seconds in one]))
            read = READERS * _READS_EACH * _VIDEO_BYTES / 1_000_000
            rates.append(read / (time.perf_counter() - began))
    return Found({"content_first_byte_ms": Figure(rounds)}, {"content_mb_per_second": rates})


async def _reader(scratch: Machine, jobs: list[str]) -> list[float]:
    """Seconds from each request to the first byte of its body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", scratch.ports["gateway"], limit=1 << 20)
    took = []
    for job in jobs:
        head = f"GET /v1/jobs/{job}/content HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {scratch.key}"
        began = time.perf_counter()
        writer.write(f"{head}\r\n\r\n".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(1)
        took.append(time.perf_counter() - began)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"a video was answered with {answer.decode()}")
        await reader.readexactly(_VIDEO_BYTES - 1)
    writer.close()
    return took
