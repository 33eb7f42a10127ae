"""A full Redis does not keep arq from running what it holds."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.worker import func
from redis.exceptions import OutOfMemoryError

from gateway.dispatch import deserialize, serialize
from gateway.embedded import valkey
from gateway.store.client import connection_pool
from tests.workers.conftest import end
from workers.draining import DrainingRedis
from workers.wake import WakeWorker

_QUEUE = "{gw}:test:arq"


async def fill(redis: ArqRedis) -> None:
    size, number = 1_000_000, 0
    while size:
        try:
            await redis.set(f"ballast:{number}", bytes(size))
            number += 1
        except OutOfMemoryError:
            size //= 10


async def test_what_was_handed_over_before_redis_was_full_is_run(tmp_path: Path) -> None:
    ran: asyncio.Queue[int] = asyncio.Queue()

    async def work(ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> None:
        ran.put_nowait(args[0])

    with valkey(tmp_path, "--maxmemory", "4mb") as server:
        pool = connection_pool(server.url, timeout_seconds=10, retries=1, connections=20, decode=False)
        redis = DrainingRedis(
            pool, job_serializer=serialize, job_deserializer=deserialize, default_queue_name=_QUEUE
        )
        for number in range(3):
            await redis.enqueue_job("work", number)
        await fill(redis)
        worker = WakeWorker(
            [func(work, name="work", max_tries=1000)],
            queue_name=_QUEUE,
            redis_pool=redis,
            handle_signals=False,
            max_jobs=5,
            keep_result=0,
            poll_delay=1,
            job_serializer=serialize,
            job_deserializer=deserialize,
            log_results=False,
        )
        running = asyncio.create_task(worker.main())
        async with asyncio.timeout(10):
            assert {await ran.get() for _ in range(3)} == {0, 1, 2}
        await worker.drain(10)
        await end(running)
        with pytest.raises(OutOfMemoryError):
            await redis.set("ballast", "one more")
        await pool.disconnect()
