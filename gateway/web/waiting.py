"""Keeping a client waiting until its job is final, without asking Redis all the time."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from starlette.requests import Request

from gateway.jobs import Job
from gateway.store.finals import LOOK_AGAIN_SECONDS
from gateway.web.state import state_of


async def until_final(request: Request, job: Job, seconds: int) -> Job:
    """The job when it is final, or as it is after `seconds`, when the client left or the process stops."""
    if seconds == 0 or job.final:
        return job
    state = state_of(request)
    clock = state.resources.environment.monotonic
    end = clock() + seconds
    others: list[asyncio.Task[object]] = [
        asyncio.create_task(_client_left(request)),
        asyncio.create_task(state.stopping.wait()),
    ]
    try:
        with state.resources.finals.watch(job.id) as notice:
            while True:
                job = await state.resources.jobs.read(job.id) or job
                left = end - clock()
                if job.final or left <= 0 or any(task.done() for task in others):
                    return job
                await _first(notice, others, min(left, LOOK_AGAIN_SECONDS))
                notice.clear()
    finally:
        for task in others:
            task.cancel()


async def _first(notice: asyncio.Event, others: Collection[asyncio.Task[object]], seconds: float) -> None:
    noticed: asyncio.Task[object] = asyncio.create_task(notice.wait())
    try:
        await asyncio.wait({noticed, *others}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        noticed.cancel()


async def _client_left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
