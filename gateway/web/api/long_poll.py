"""Long polling: keeps a client waiting until its job is finished, at the cost of a bell and a timer."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from gateway.jobs import Job
from gateway.web.state import state_of


async def until_final(request: Request, job: Job, seconds: int) -> Job:
    """The job when it is finished; earlier after `seconds`, at shutdown, or if the client disconnects."""
    if seconds == 0 or job.final:
        return job
    state = state_of(request)
    with state.resources.changes.watch(job.id) as bell, state.keep_alive.include(bell):
        timer = asyncio.get_running_loop().call_later(seconds, bell.expire)
        try:
            while True:
                bell.was_rung()  # reset before reading, so that no later change is missed
                async with state.keep_alive.reading:
                    job = await state.resources.jobs.read(job.id) or job
                if job.final or bell.expired or state.stopping.is_set():
                    return job
                while not bell.rung:
                    await bell.wait()
                    if bell.was_beaten() and await request.is_disconnected():
                        return job
        finally:
            timer.cancel()
