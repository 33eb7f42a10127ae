"""The gate of one submission: passed right before the last byte of a paid request is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.environment import Environment
from gateway.errors import Fenced
from gateway.jobs import Job
from gateway.store.base import JobStore

#: A release that took longer than this is ignored: the lease may have run out in the meantime.
_RELEASE_SECONDS: Final = 2.0


@dataclass(slots=True)
class ReleaseGate:
    """Calling it returns after a durable release. Raises Fenced (also when closed) or StoreUnavailable."""

    jobs: JobStore
    environment: Environment
    job: Job
    _entered: bool = False
    _closed: bool = False

    async def __call__(self) -> None:
        if self._closed:
            raise Fenced("the worker was asked to stop")
        self._entered = True
        began = self.environment.monotonic()
        if not await self.jobs.release(self.job):
            raise Fenced("another worker holds the job now, or it was canceled")
        if self.environment.monotonic() - began > _RELEASE_SECONDS:
            raise Fenced("the release took too long")

    def close(self) -> bool:
        """Closes the gate unless it was entered already. Returns whether it is closed."""
        self._closed = not self._entered
        return self._closed
