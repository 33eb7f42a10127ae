"""Long polling: keeps a client waiting until its job is finished, at the cost of a signal and a timer."""

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
    with state.resources.notifications.watch(job.id) as signal, state.keep_alive.include(signal):
        timer = asyncio.get_running_loop().call_later(seconds, signal.expire)
        try:
            while True:
                signal.was_notified()  # reset before reading, so that no later change is missed
                async with state.keep_alive.reading:
                    job = await state.resources.jobs.read(job.id) or job
                if job.final or signal.expired or state.stopping.is_set():
                    return job
                while not signal.notified:
                    await signal.wait()
                    if signal.was_reminded() and await request.is_disconnected():
                        return job
        finally:
            timer.cancel()
