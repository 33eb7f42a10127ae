"""arq's worker, woken by a list instead of by the clock, and taking all that it can run in one step.

Stock arq looks at its queue every `poll_delay` and sleeps in between: half a second of latency, or a busy
loop. Here it blocks on the list to which the dispatch script pushes a token for every job it hands over;
the delay stays as a fallback. Stock arq also makes three round trips to claim a job, one to count its tries
and one to finish it, and what runs stays in the queue, in the way of what waits: it keeps the record. Our
jobs are only bells: that work was not done is told by the lease of its slot. So one script takes as many as
there is room for off the queue, whole, and nothing is left to be done with them.

Overrides `main`, and so needs exactly the release of arq that pyproject.toml pins.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable
from typing import Any, Final

import structlog
from arq.jobs import deserialize_job_raw
from arq.worker import Worker

from gateway.dispatch import deserialize
from gateway.store.client import store_errors
from gateway.store.script_runner import Scripts

_REMEMBERED_MS: Final = 60_000  # far longer than a claim is asked for again


class WakeWorker(Worker):
    """An arq worker of one role. StoreUnavailable out of `main`: Redis was away for too long."""

    _claiming = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.scripts = Scripts(self.pool)

    async def main(self) -> None:
        wake, memory = f"{self.queue_name}:wake", f"{self.queue_name}:claim:{os.urandom(8).hex()}"
        while True:
            if not self.allow_pick_jobs:
                await asyncio.sleep(self.poll_delay_s)
            elif self.job_counter < self.max_jobs:
                if await self._take_up(memory):
                    await self._block(wake)
            else:  # full: wait for a job to end, not for a token
                await asyncio.wait(
                    self.tasks.values(), timeout=self.poll_delay_s, return_when=asyncio.FIRST_COMPLETED
                )

    async def _block(self, wake: str) -> None:
        with store_errors():
            waiting = self.pool.blpop([wake], timeout=int(self.poll_delay_s))
            assert isinstance(waiting, Awaitable)
            await waiting

    async def _take_up(self, memory: str) -> bool:
        """Starts what waits, as far as there is room; whether that was all."""
        self._claiming, room = True, self.max_jobs - self.job_counter
        try:
            args = (os.urandom(16).hex(), room, _REMEMBERED_MS)
            found: list[bytes] = await self.scripts.run("claim_arq_jobs", [self.queue_name, memory], args)
            if found and not self.allow_pick_jobs:  # asked to stop meanwhile: others may have it
                await self.scripts.run("put_back_arq_jobs", [self.queue_name], found)
                return False
            for name, record in zip(found[::2], found[1::2], strict=True):
                self._start(name.decode(), record)
            return len(found) < 2 * room
        finally:
            self._claiming = False

    def _start(self, name: str, record: bytes) -> None:
        self.job_counter += 1
        task = self.loop.create_task(self._run(record), name=name)
        self.tasks[name] = task
        task.add_done_callback(lambda _: self._ended(name))

    def _ended(self, name: str) -> None:
        self.job_counter -= 1
        del self.tasks[name]

    async def _run(self, record: bytes) -> None:
        """What becomes of the work is written by the work; what it did not survive, its lease tells."""
        name, args, kwargs, _, _ = deserialize_job_raw(record, deserializer=deserialize)
        function: Any = self.functions[name]
        try:
            async with asyncio.timeout(function.timeout_s):
                await function.coroutine(self.ctx, *args, **kwargs)
            self.jobs_complete += 1
        except Exception:  # noqa: BLE001  # whatever it is, it is ours to log and to survive
            self.jobs_failed += 1
            structlog.get_logger().exception("work_failed", role=name, ticket=args[0])

    async def drain(self, seconds: float) -> None:
        """Take up nothing more, and wait for what runs; what is not done by then is cut off, and its lease
        runs out."""
        self.allow_pick_jobs = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.job_counter or self._claiming:
                    running = [task for task in self.tasks.values() if not task.done()]
                    await (asyncio.wait(running) if running else asyncio.sleep(0.01))
