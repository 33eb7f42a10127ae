"""arq's worker, woken by a list instead of by the clock.

Stock arq looks at its queue every `poll_delay` and sleeps in between: half a second of latency, or a busy
loop. Here it blocks on the list to which the dispatch script pushes a token for every job it hands over;
the delay stays as a fallback. Claiming, running and finishing are arq's own. Overrides `main`, and so
needs exactly the release of arq that pyproject.toml pins.
"""

from __future__ import annotations

import asyncio
import contextlib
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

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """arq's own, one at a time: nothing more once it drains, and no place lost when Redis breaks."""
        for job_id in job_ids:
            if not self.allow_pick_jobs:
                return
            places = self.job_counter
            try:
                await super().start_jobs([job_id])
            except Exception:
                if self.job_counter > places and job_id.decode() not in self.tasks:
                    self._release_sem_dec_counter_on_complete()
                raise

    async def drain(self, seconds: float) -> None:
        """Take up nothing more, and wait for what runs; what is not done by then is cut off, and its lease
        runs out."""
        self.allow_pick_jobs = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.job_counter:
                    running = [task for task in self.tasks.values() if not task.done()]
                    await (asyncio.wait(running) if running else asyncio.sleep(0.01))
