"""Deliveries that are over or wait, for the tests of how they are sent again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from redis.asyncio import Redis

from gateway import events
from gateway.dispatch import Role
from gateway.endpoints import Delivery, Endpoint
from gateway.jobs import confirm_ticket, submit_ticket
from gateway.lifecycle import DeliveryEvent, JobEvent, JobState
from gateway.store.base import AdmissionLimits
from gateway.store.deliveries import RedisDeliveryStore
from gateway.store.effects import Finish, OweEvent, SetFields
from gateway.store.endpoints import RedisEndpointStore
from gateway.store.jobs import RedisJobStore
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import held, new_job

HOOK = "https://client.example.com/hook"
HOUR_MS = 3_600_000
ENDS = {
    "delivered": DeliveryEvent.ATTEMPT_SUCCEEDED,
    "dead": DeliveryEvent.ATTEMPTS_EXHAUSTED,
    "held": DeliveryEvent.ENDPOINT_DISABLED,
    "pending": DeliveryEvent.ATTEMPT_FAILED,
}
ENDPOINT = Endpoint("ep_all", "acme", "https://all.example.com/hook", (), "k1", 1)


@dataclass(frozen=True, slots=True)
class Post:
    """Makes deliveries, and attempts."""

    redis: Redis
    jobs: RedisJobStore
    deliveries: RedisDeliveryStore
    endpoints: RedisEndpointStore

    async def owe(self, at: int | None = None, **fields: Any) -> Delivery:
        """The one delivery that is owed for a job that was over at `at`."""
        [owed] = await self.owe_all(at, **fields)
        return owed

    async def owe_all(self, at: int | None = None, **fields: Any) -> list[Delivery]:
        job = new_job(**fields)
        await self.jobs.accept(job, None, "fingerprint", AdmissionLimits(queue_max=100_000))
        after = replace(job, state=JobState.CANCELED, finished_at=at or job.created_at)
        move = Transition(
            JobEvent.CANCEL_REQUESTED,
            effects=[
                SetFields({"finished_at": after.finished_at}),
                Finish([submit_ticket(job), confirm_ticket(job)]),
                OweEvent(events.make(after, None), job.callback_url),
            ],
        )
        await self.jobs.apply(job, move)
        return await self.deliveries.of_job(job.id)

    async def attempt(self, owed: Delivery, became: str, retry_in_ms: int = HOUR_MS) -> Delivery:
        """What the delivery is after one more attempt."""
        ticket = await held(self.redis, Role.DELIVER, owed.id)
        begun = await self.deliveries.begin(ticket)
        assert begun
        number = begun[0].attempts + 1
        entry = {"number": number, "at": "2026-11-22T08:00:00.123Z", "outcome": "http_5xx"}
        made = replace(begun[0], attempts=number, log=[*begun[0].log, entry])
        pending = became == "pending"
        await self.deliveries.finish(
            ticket,
            replace(made, next_attempt_at=made.created_at + retry_in_ms) if pending else made,
            ENDS[became],
            retry_in_ms=retry_in_ms if pending else None,
            tally=[],
        )
        return await self.read(owed)

    async def read(self, owed: Delivery) -> Delivery:
        found = await self.deliveries.read(owed.tenant, owed.id)
        assert found
        return found
