"""The gate of one submission: it stands before the last byte of a paid request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.environment import Environment
from gateway.errors import Fenced
from gateway.jobs import Job
from gateway.store.base import JobStore

#: A release that took longer to answer is not acted upon: the lease may have run out meanwhile.
_RELEASE_SECONDS: Final = 2.0


@dataclass(slots=True)
class ReleaseGate:
    """Passes after a durable release, and never once it was closed. Raises Fenced, StoreUnavailable."""

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
            raise Fenced("the release took too long to be acted upon")

    def close(self) -> bool:
        """True when nobody has entered it, and from then on nobody can."""
        self._closed = not self._entered
        return self._closed
