"""Looking after clients that wait, by the thousand: no task for any of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from itertools import count
from typing import Final

from gateway.store.notifications import Bell

BEAT_SECONDS: Final = 15.0
_PARTS: Final = 30
_READS_AT_ONCE: Final = 64


class Rounds:
    """One task that beats every bell once in `BEAT_SECONDS`, a part of them at a time, so that each sees
    whether its client is still there; and rings all of them when the process is about to end.
    `reading`: thousands that are woken together ask Redis a few at a time."""

    def __init__(self, stopping: asyncio.Event, seconds: float | None = None) -> None:
        self._stopping = stopping
        self._pause = (BEAT_SECONDS if seconds is None else seconds) / _PARTS
        self._parts: list[set[Bell]] = [set() for _ in range(_PARTS)]
        self._turns = count()
        self._walking: asyncio.Task[None] | None = None
        self.reading = asyncio.Semaphore(_READS_AT_ONCE)

    async def __aenter__(self) -> Rounds:
        self._walking = asyncio.create_task(self._walk(), name="rounds")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._walking is not None
        self._walking.cancel()
        await asyncio.wait([self._walking])

    @contextlib.contextmanager
    def include(self, bell: Bell) -> Iterator[None]:
        part = self._parts[next(self._turns) % _PARTS]
        part.add(bell)
        try:
            yield
        finally:
            part.discard(bell)

    async def _walk(self) -> None:
        for turn in count():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._pause)
                break
            for bell in self._parts[turn % _PARTS]:
                bell.beat()
        for part in self._parts:
            for bell in part:
                bell.ring()
