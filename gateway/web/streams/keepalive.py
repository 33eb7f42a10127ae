"""Wakes thousands of waiting clients regularly, without a task for each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from itertools import count
from typing import Final

from gateway.store.notifications import WakeSignal

KEEPALIVE_SECONDS: Final = 15.0
_GROUPS: Final = 30
_MAX_CONCURRENT_READS: Final = 64


class KeepAlive:
    """One task that calls `remind` on every signal once in `KEEPALIVE_SECONDS`, one group at a time, so that
    each waiter checks whether its client is still connected. At shutdown it notifies all of them.

    `reading`: limits concurrent reads of Redis when thousands of waiters wake up together.
    """

    def __init__(self, stopping: asyncio.Event, seconds: float | None = None) -> None:
        self._stopping = stopping
        self._pause = (KEEPALIVE_SECONDS if seconds is None else seconds) / _GROUPS
        self._groups: list[set[WakeSignal]] = [set() for _ in range(_GROUPS)]
        self._next_group = count()
        self._task: asyncio.Task[None] | None = None
        self.reading = asyncio.Semaphore(_MAX_CONCURRENT_READS)

    async def __aenter__(self) -> KeepAlive:
        self._task = asyncio.create_task(self._run(), name="rounds")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])

    @contextlib.contextmanager
    def include(self, signal: WakeSignal) -> Iterator[None]:
        group = self._groups[next(self._next_group) % _GROUPS]
        group.add(signal)
        try:
            yield
        finally:
            group.discard(signal)

    async def _run(self) -> None:
        for turn in count():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._pause)
                break
            for signal in self._groups[turn % _GROUPS]:
                signal.remind()
        for group in self._groups:
            for signal in group:
                signal.notify()
