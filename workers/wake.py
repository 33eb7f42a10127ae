"""arq's worker, woken by a list instead of by the clock.

Stock arq looks at its queue every `poll_delay` and sleeps in between: half a second of latency, or a busy
loop. Here it blocks on the list to which the dispatch script pushes a token for every job it hands over;
the delay stays as a fallback. Claiming, running and finishing are arq's own. Overrides `main`, and so
needs exactly the release of arq that pyproject.toml pins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from arq.worker import Worker


class WakeWorker(Worker):
    """An arq worker of one role."""

    async def main(self) -> None:
        self.ctx["redis"] = self.pool
        wake = f"{self.queue_name}:wake"
        while True:
            await self._poll_iteration()
            if not self.allow_pick_jobs:
                await asyncio.sleep(self.poll_delay_s)
            elif self.job_counter < self.max_jobs:
                await self._block(wake)
            else:  # full: wait for a job to end, not for a token
                await asyncio.wait(
                    self.tasks.values(), timeout=self.poll_delay_s, return_when=asyncio.FIRST_COMPLETED
                )

    async def _block(self, wake: str) -> None:
        waiting = self.pool.blpop([wake], timeout=int(self.poll_delay_s))
        assert isinstance(waiting, Awaitable)
        await waiting

    async def drain(self, seconds: float) -> None:
        """Take up nothing more, and wait for what runs; what is not done by then is cut off, and its lease
        runs out."""
        self.allow_pick_jobs = False
        running = [task for task in self.tasks.values() if not task.done()]
        if running:
            await asyncio.wait(running, timeout=seconds)
