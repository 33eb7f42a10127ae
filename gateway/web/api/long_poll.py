"""Long polling: keeps a client waiting until its job is finished, at the cost of a signal and a timer."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.requests import Request

from gateway.errors import LimitReached
from gateway.jobs import Job
from gateway.tenants import Key, Scope
from gateway.web.state import state_of

_FULL_RETRY_SECONDS: Final = 5


async def until_final(request: Request, job: Job, seconds: int, key: Key, scope: Scope) -> Job:
    """The job when it is finished; earlier after `seconds`, at shutdown, or if the client disconnects. Raises
    LimitReached if too many requests of the tenant wait, and Unauthenticated or ScopeMissing when the key
    ends or loses the scope."""
    if seconds == 0 or job.final:
        return job
    state = state_of(request)
    most = state.resources.settings.waits_max
    with (
        state.held.one(f"waits {key.tenant}", most, _too_many(most)),
        state.resources.notifications.watch(job.id) as signal,
        state.keep_alive.include(signal),
        state.key_watch.watching(key, scope, signal) as watched,
    ):
        timer = asyncio.get_running_loop().call_later(seconds, signal.expire)
        try:
            while True:
                signal.was_notified()  # reset before reading, so that no later change is missed
                if watched.ended is not None:
                    raise watched.ended
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


def _too_many(most: int) -> LimitReached:
    return LimitReached(
        f"{most} requests of this tenant are waiting, which is the maximum; wait for fewer jobs at once, "
        "or follow all jobs with GET /v1/events",
        _FULL_RETRY_SECONDS,
        limit="open_waits",
    )
