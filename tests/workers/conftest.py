"""The three workers and the sweep on a real server, with a scripted upstream and a clock to turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.delivery.http import Deliverer
from gateway.dispatch import ACCOUNT, Role, Ticket
from gateway.endpoints import Delivery, Endpoint
from gateway.environment import Environment
from gateway.events import EventType
from gateway.jobs import Job, confirm_ticket, submit_ticket
from gateway.resources import Resources
from gateway.settings import Settings
from gateway.settlement import Settlement
from gateway.store import keys
from gateway.store.base import AdmissionLimits, Callback, CallbackOutcome
from gateway.upstream.base import Accepted, Found, QueryOutcome, SubmitOutcome
from tests.gateway.delivery.subscriber import LOOPBACK
from tests.gateway.store.conftest import held, new_job
from tests.workers.scripted import ScriptedUpstream, completed
from workers.confirm import Confirmer
from workers.deliver import DeliveryWorker
from workers.submit import Submitter
from workers.sweep import Sweeper


@dataclass(slots=True)
class Clock:
    """The real time, as far ahead as a test wants."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


@dataclass(slots=True)
class Chance:
    """Randomness that a test sets."""

    value: float = 0.5

    def __call__(self) -> float:
        return self.value


async def end(task: asyncio.Task[Any]) -> None:
    """Cancels until it works: asyncio.wait_for of Python 3.11 loses a cancel that comes as its work ends."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.2)
    if not task.cancelled():
        task.exception()


def leading() -> asyncio.Event:
    """As of the process that leads."""
    leads = asyncio.Event()
    leads.set()
    return leads


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Waits for what other tasks bring about; fails after a minute."""
    async with asyncio.timeout(60):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.005)


@dataclass(frozen=True, slots=True)
class Rig:
    resources: Resources
    clock: Clock
    chance: Chance
    upstream: ScriptedUpstream
    submitter: Submitter
    confirmer: Confirmer
    delivery_worker: DeliveryWorker
    sweeper: Sweeper
    tasks: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def redis(self) -> Redis:
        return self.resources.redis

    async def accept(self, tenant: str = "acme", payload: str | None = None, **fields: object) -> Job:
        job = new_job(tenant, payload_characters=None if payload is None else len(payload), **fields)
        await self.resources.jobs.accept(job, payload, "fingerprint", AdmissionLimits(queue_max=1000))
        return job

    async def read(self, job: Job) -> Job:
        found = await self.resources.jobs.read(job.id)
        assert found
        return found

    async def ticket(self, role: Role, name: str) -> Ticket:
        return await held(self.redis, role, name)

    async def submit(self, job: Job, outcome: SubmitOutcome) -> Job:
        """What the job is after a worker's submission with this outcome."""
        self.upstream.outcomes.append(outcome)
        await self.submitter.submit(await self.ticket(Role.SUBMIT, job.id))
        return await self.read(job)

    async def submitted(self, **fields: Any) -> Job:
        return await self.submit(await self.accept(**fields), Accepted(f"task_{next(self.tasks)}"))

    async def confirm(self, job: Job, *polls: QueryOutcome) -> Job:
        """What the job is after a poll, which is made due now."""
        self.upstream.polls.extend(polls)
        await self.make_due(Role.CONFIRM, str(confirm_ticket(job)))
        await self.confirmer.confirm(await self.ticket(Role.CONFIRM, job.id))
        return await self.read(job)

    async def completed(self, **fields: Any) -> Job:
        job = await self.submitted(**fields)
        return await self.confirm(job, Found(completed(task_id=job.task_id)))

    async def callback(self, job: Job, task_id: str | None, epoch: int = 1, **more: Any) -> CallbackOutcome:
        """The upstream calls back to report an end, as the gateway records it."""
        values = {"label": "completed", "terminal": True, **more}
        called = Callback(job.id, job.tenant, epoch, task_id=task_id, **values)
        return await self.resources.jobs.callback(called)

    def nobody_gainsays(self) -> None:
        """The time is over in which word may come that a task which a callback named is another job's."""
        self.clock.ahead += 31

    async def callbacks_can_come(self) -> None:
        """The way by which callbacks come has been open for an hour."""
        seconds, _ = await self.redis.time()
        path = {"since": (seconds - 3600) * 1000, "last": seconds * 1000}
        await self.redis.hset(keys.CALLBACK_PATH, mapping=path)  # type: ignore[misc]

    async def make_due(self, role: Role, ticket: str) -> None:
        await self.redis.zadd(keys.due(role), {ticket: 1}, xx=True)
        await self.resources.lanes.dispatch()

    async def due_in(self, role: Role, ticket: Ticket) -> float | None:
        """Seconds until the ticket may enter its lane; None when it is not due at all."""
        at = await self.redis.zscore(keys.due(role), str(ticket))
        seconds, microseconds = await self.redis.time()
        return None if at is None else at / 1000 - seconds - microseconds / 1e6

    async def lease(self, job: Job) -> float | None:
        """When the lease of the job's submit slot ends; None when it holds no slot."""
        score: float | None = await self.redis.zscore(keys.slots(Role.SUBMIT), str(submit_ticket(job)))
        return score

    async def let_lease_run_out(self, role: Role, ticket: Ticket) -> None:
        await self.redis.zadd(keys.slots(role), {str(ticket): 1}, xx=True)

    async def sweep(self) -> None:
        await self.redis.delete(keys.SWEEP)
        await self.sweeper.sweep()

    async def tally(self) -> dict[str, str]:
        """What was counted since jobs were accepted."""
        found: dict[str, str] = await self.redis.hgetall(keys.TALLY)  # type: ignore[misc]
        found.pop("jobs_accepted", None)
        return found

    async def endpoint(self, url: str, *events: EventType, tenant: str = "acme") -> Endpoint:
        resources = self.resources
        endpoint = Endpoint(
            id=resources.environment.new_endpoint_id(),
            tenant=tenant,
            url=url,
            events=events,
            kid=resources.keyring.active_kid,
            created_at=resources.environment.now_ms(),
        )
        await resources.endpoints.create(endpoint, 50)
        return endpoint

    async def deliveries(self, job: Job) -> list[Delivery]:
        return await self.resources.deliveries.of_job(job.id)

    async def deliver(self, delivery: Delivery) -> Delivery:
        """What the delivery is after its next attempt, which is made due now."""
        await self.make_due(Role.DELIVER, f"{delivery.lane}|{delivery.id}")
        await self.delivery_worker.deliver(await self.ticket(Role.DELIVER, delivery.id))
        [found] = [one for one in await self.deliveries_of(delivery) if one.id == delivery.id]
        return found

    async def deliveries_of(self, delivery: Delivery) -> list[Delivery]:
        return await self.resources.deliveries.of_job(delivery.job_id)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(
        update={
            "upstream_slots": 2,
            "upstream_tenant_slots": 2,
            "delivery_slots": 4,
            "delivery_endpoint_slots": 2,
            "delivery_schedule_seconds": [5.0, 30.0],
        }
    )


@pytest.fixture
async def rig(resources: Resources, settings: Settings) -> AsyncIterator[Rig]:
    clock, chance, upstream = Clock(), Chance(), ScriptedUpstream()
    environment = Environment(clock=clock, monotonic=clock.monotonic, random=chance)
    r = replace(
        resources,
        environment=environment,
        settlement=Settlement(resources.jobs, resources.inline_files, environment),
    )
    async with Deliverer(LOOPBACK, total_seconds=5) as deliverer:
        yield Rig(
            r,
            clock,
            chance,
            upstream,
            Submitter(
                r.jobs, r.settlement, {ACCOUNT: upstream}, r.inline_files, r.keyring, environment, settings
            ),
            Confirmer(r.jobs, r.settlement, {ACCOUNT: upstream}, environment, settings),
            DeliveryWorker(r.deliveries, r.endpoints, deliverer, r.keyring, environment, settings),
            Sweeper(r.jobs, r.settlement, r.lanes, r.scripts, r.inline_files, environment, settings),
        )
