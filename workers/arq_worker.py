"""arq's worker, woken by a list instead of a clock. It claims as many jobs as it can run in one step.

Stock arq polls its queue every `poll_delay` and sleeps in between: half a second of latency, or a busy loop.
This worker blocks on the list to which the dispatch script pushes a token for every job. It need not poll:
the sweep replaces a token whose taker died (wakes.lua). Stock arq also makes three round trips to claim a
job, one to count its tries and one to finish it, and a running job stays in the queue. It needs that because
it keeps the record of the work. Our arq jobs are only wake-up calls: the lease of the slot shows when work
was not done. So one script removes as many jobs from the queue as there is room for, begins their work in the
same step, and nothing remains to be done with them afterwards. What is claimed while the worker is asked to
stop was begun, so it is finished.

Overrides `main`, and so needs exactly the release of arq that pyproject.toml pins.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from arq.connections import ArqRedis
from arq.worker import Worker

from gateway.dispatch import deserialize
from gateway.store import keys
from gateway.store.client import store_errors
from gateway.store.script_runner import Scripts

_REMEMBERED_MS: Final = 60_000  # far longer than a claim is retried


async def token(redis: ArqRedis, wake: str, seconds: float) -> bool:
    """Waits for a token on this list. Returns whether there was one."""
    with store_errors():
        waiting = redis.blpop([wake], timeout=int(seconds))
        assert isinstance(waiting, Awaitable)
        return await waiting is not None


class WakeWorker(Worker):
    """An arq worker of one role. `process`: the id of its heartbeat. `terms`: how work is begun as it is
    claimed, as claim_arq_jobs.lua takes them; empty: the work itself begins. `took`: called when it took
    work.

    StoreUnavailable out of `main`: Redis was away for too long."""

    _claiming = False

    def __init__(
        self,
        *args: Any,
        process: str,
        terms: bytes = b"",
        took: Callable[[], None] = lambda: None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.scripts = Scripts(self.pool)
        self._terms = terms
        self._took = took
        self._held = keys.held_by(process)
        self._memory = f"{self.queue_name}:claim:{os.urandom(8).hex()}"
        self._claim: tuple[str, int] | None = None

    async def main(self) -> None:
        wake = f"{self.queue_name}:wake"
        empty = False  # no token since the queue was empty
        while True:
            if not self.allow_pick_jobs:
                await asyncio.sleep(self.poll_delay_s)
            elif self.job_counter < self.max_jobs:
                empty = (
                    not await token(self.pool, wake, self.poll_delay_s) if empty else await self._take_up()
                )
            else:  # full: wait until a job ends, not for a token
                await asyncio.wait(
                    self.tasks.values(), timeout=self.poll_delay_s, return_when=asyncio.FIRST_COMPLETED
                )

    async def _take_up(self) -> bool:
        """Starts waiting jobs, as many as there is room for. Returns whether the queue is empty now. A claim
        without an answer is repeated, because Redis may have made it before it went away."""
        self._claiming = True
        self._claim = self._claim or (os.urandom(16).hex(), self.max_jobs - self.job_counter)
        claim, room = self._claim
        try:
            names = [self.queue_name, self._memory, self._held]
            args = (claim, room, _REMEMBERED_MS, self._terms)
            found: list[Any] = await self.scripts.run("claim_arq_jobs", names, args)
            self._claim = None
            for name, record, begun in zip(found[::3], found[1::3], found[2::3], strict=True):
                self._start(name, record, begun)
            return len(found) < 3 * room
        finally:
            self._claiming = False

    def _start(self, name: str, record: str, begun: Any) -> None:
        self.job_counter += 1
        task = self.loop.create_task(self._run(record, begun), name=name)
        self.tasks[name] = task
        self._took()
        task.add_done_callback(lambda _: self._ended(name))

    def _ended(self, name: str) -> None:
        self.job_counter -= 1
        del self.tasks[name]

    async def _run(self, record: str, begun: Any) -> None:
        """The work records its own outcome. If it dies first, its lease runs out."""
        job = deserialize(record)
        name, args, kwargs = job["f"], job["a"], job["k"]
        function: Any = self.functions[name]
        try:
            async with asyncio.timeout(function.timeout_s):
                await function.coroutine(self.ctx, *args, begun, **kwargs)
            self.jobs_complete += 1
        except Exception:  # noqa: BLE001  # any fault of ours is logged, and the worker goes on
            self.jobs_failed += 1
            structlog.get_logger().exception("work_failed", role=name, ticket=args[0])

    async def drain(self, seconds: float) -> None:
        """Claim nothing more, and wait `seconds` for the running work. The rest is cut off when the process
        ends, and its lease runs out."""
        self.allow_pick_jobs = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.job_counter or self._claiming:
                    running = [task for task in self.tasks.values() if not task.done()]
                    await (asyncio.wait(running) if running else asyncio.sleep(0.01))
