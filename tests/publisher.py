"""Events without an upstream: jobs that are accepted in advance and canceled when their time comes.

For promises and benchmarks that are about who is told, not about videos. In process, through the same store.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, TypeVar

from gateway.endpoints import Endpoint
from gateway.events import EventType
from gateway.jobs import Job, confirm_ticket, submit_ticket
from gateway.lifecycle import JobState
from gateway.resources import Resources, open_resources
from gateway.settings import Settings
from gateway.store.base import AdmissionLimits, Outcome
from tests.processes import ORDER, Machine

T = TypeVar("T")

_AT_ONCE = 64
_PREFIX = "GATEWAY_"
_READY_SECONDS = 120.0
#: What a timer may be late by without anything having waited.
_TIMER_SECONDS = 0.002


class Publisher:
    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    async def endpoint(self, tenant: str, url: str, *, held: bool = False) -> Endpoint:
        """Registered; `held`: disabled from the beginning, so that what is owed to it is kept."""
        environment = self.resources.environment
        now = environment.now_ms()
        made = Endpoint(
            id=environment.new_endpoint_id(),
            tenant=tenant,
            url=url,
            events=(),
            kid=self.resources.keyring.active_kid,
            created_at=now,
            disabled_at=now if held else None,
            disabled_reason="held by a test" if held else None,
        )
        assert await self.resources.endpoints.create(made, 1_000_000)
        return made

    async def accept(self, tenants: Sequence[str]) -> list[Job]:
        """A queued job for each of these tenants, in this order."""
        return await _few_at_once([self._accept(tenant) for tenant in tenants])

    async def _accept(self, tenant: str) -> Job:
        environment = self.resources.environment
        name, now = environment.new_job_id(), environment.now_ms()
        job = Job(name, tenant, JobState.QUEUED, str(ORDER["model"]), ORDER, now)
        await self.resources.jobs.accept(job, None, "", AdmissionLimits(queue_max=10_000_000))
        return job

    async def cancel(self, job: Job) -> float:
        """Makes the event; when the script was about to be sent, in seconds since the epoch."""
        tickets = [submit_ticket(job), confirm_ticket(job)]
        at = time.time()
        answer = await self.resources.settlement.cancel(job, tickets)
        if answer.outcome is not Outcome.MOVED:
            raise RuntimeError(f"{job.id} was not canceled: {answer}")
        return at

    async def publish(self, jobs: Sequence[Job]) -> None:
        """All of their events, as fast as it goes."""
        await _few_at_once([self.cancel(job) for job in jobs])

    async def publish_at(self, jobs: Sequence[Job], per_second: float) -> dict[str, float]:
        """{event: when it was published}, at a steady rate, whatever becomes of those before.

        One that was sent late counts from when it was due: whoever waits for it has waited since then.
        """
        began = time.time() + 0.05

        async def one(job: Job, due: float) -> float:
            await asyncio.sleep(max(0.0, due - time.time()))
            sent = await self.cancel(job)
            return sent if sent - due < _TIMER_SECONDS else due

        times = await asyncio.gather(
            *(one(job, began + number / per_second) for number, job in enumerate(jobs))
        )
        return {event_of(job): at for job, at in zip(jobs, times, strict=True)}


def event_of(job: Job, kind: EventType = EventType.CANCELED) -> str:
    """The id of an event of the job, which is the `webhook-id` of its webhooks."""
    return f"evt_{job.id.removeprefix('job_')}_{kind.removeprefix('job.')}"


@contextlib.asynccontextmanager
async def publisher(scratch: Machine) -> AsyncIterator[Publisher]:
    """With the settings of the machine's processes."""
    named = {
        name.removeprefix(_PREFIX).lower(): value
        for name, value in scratch.environment.items()
        if name.startswith(_PREFIX)
    }
    settings: Settings = Settings.model_validate(named)
    async with open_resources(settings, retries=1) as resources:
        yield Publisher(resources)


def start_deliverers(scratch: Machine, name: str = "deliver") -> None:
    """A worker process that delivers and does nothing else; returns when it takes up work."""
    path = scratch.folder / f"{name}.log"
    seen = path.stat().st_size if path.exists() else 0
    child = scratch.start(name, "workers", "--role", "deliver")
    deadline = time.monotonic() + _READY_SECONDS
    while b"workers_ready" not in path.read_bytes()[seen:]:
        if child.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{name} did not come up:\n{scratch.log(name)}")
        time.sleep(0.01)


async def _few_at_once(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(call: Coroutine[Any, Any, T]) -> T:
        async with gate:
            return await call

    return await asyncio.gather(*(one(call) for call in calls))
