"""Job stores whose connection breaks just when it hurts."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.errors import StoreUnavailable
from gateway.jobs import Job
from gateway.resources import Resources
from gateway.store.base import TransitionResult
from gateway.store.jobs import RedisJobStore
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import store_parts


@dataclass(slots=True)
class Outage:
    """How many more calls go wrong. `acted`: Redis did what it was asked, but its answer was lost."""

    calls: int
    acted: bool = False
    met: int = 0

    def meet(self) -> bool:
        if self.met == self.calls:
            return False
        self.met += 1
        return True


class FailingJobStore(RedisJobStore):
    """Fails to apply moves as long as the outage lasts."""

    def __init__(self, resources: Resources, outage: Outage) -> None:
        super().__init__(*store_parts(resources))
        self._outage = outage

    async def apply(self, job: Job, move: Transition) -> TransitionResult:
        if not self._outage.meet():
            return await super().apply(job, move)
        if self._outage.acted:
            await super().apply(job, move)
        raise StoreUnavailable("Redis does not answer")


class FailingGate(RedisJobStore):
    """Fails to release as long as the outage lasts."""

    def __init__(self, resources: Resources, outage: Outage) -> None:
        super().__init__(*store_parts(resources))
        self._outage = outage

    async def release(self, job: Job) -> bool:
        if not self._outage.meet():
            return await super().release(job)
        if self._outage.acted:
            await super().release(job)
        raise StoreUnavailable("Redis does not answer")
