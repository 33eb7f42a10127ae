"""arq's worker, woken by a list instead of by the clock, and claiming all that it can run in one step.

Stock arq looks at its queue every `poll_delay` and sleeps in between: half a second of latency, or a busy
loop. Here it blocks on the list to which the dispatch script pushes a token for every job it hands over;
the delay stays as a fallback. It also claims job by job, four round trips each, and asks again for those that
it runs itself, so that a few slow ones keep all others waiting: here one script claims as many as there is
room for. Running and finishing are arq's own. Overrides `main` and `start_jobs`, and so needs exactly the
release of arq that pyproject.toml pins.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable
from typing import Final

from arq.constants import in_progress_key_prefix
from arq.worker import Worker

#: Of the jobs named, those that nobody runs, and that are still wanted: from now on this claim's caller runs
#: them. Asked again because the answer was lost, it names the same. A full Redis lets it through.
_CLAIM: Final = f"""#!lua flags=allow-oom
local claimed = {{}}
for i = 3, #ARGV do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if score then
    local key = '{in_progress_key_prefix}' .. ARGV[i]
    redis.call('SET', key, ARGV[2], 'NX', 'PX', ARGV[1])
    if redis.call('GET', key) == ARGV[2] then
      claimed[#claimed + 1] = ARGV[i]
      claimed[#claimed + 1] = score
    end
  end
end
return claimed
"""


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
        """Claims, of what waits and does not run here, as much as there is room for, and starts it."""
        room = self.max_jobs - self.job_counter
        wanted = [name for name in job_ids if name.decode() not in self.tasks][:room]
        if not wanted or not self.allow_pick_jobs:
            return
        claim, lasts_ms = os.urandom(16).hex(), int(self.in_progress_timeout_s * 1000)
        script = self.pool.register_script(_CLAIM)
        found: list[bytes] = await script(keys=[self.queue_name], args=[lasts_ms, claim, *wanted])
        if found and not self.allow_pick_jobs:  # asked to stop meanwhile: others may have it
            await self.pool.delete(*(in_progress_key_prefix + name.decode() for name in found[::2]))
            return
        for name, score in zip(found[::2], found[1::2], strict=True):
            await self._start(name.decode(), int(float(score)))

    async def _start(self, name: str, score: int) -> None:
        await self.sem.acquire()  # at once: there is room
        self.job_counter += 1
        task = self.loop.create_task(self.run_job(name, score))
        task.add_done_callback(lambda _: self._release_sem_dec_counter_on_complete())
        self.tasks[name] = task

    async def drain(self, seconds: float) -> None:
        """Take up nothing more, and wait for what runs; what is not done by then is cut off, and its lease
        runs out."""
        self.allow_pick_jobs = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.job_counter:
                    running = [task for task in self.tasks.values() if not task.done()]
                    await (asyncio.wait(running) if running else asyncio.sleep(0.01))
