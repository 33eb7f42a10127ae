"""Jobs with a past, for the tests of how they are forgotten."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from redis.asyncio import Redis

from gateway import events
from gateway.dispatch import Role
from gateway.environment import Environment
from gateway.jobs import Job, confirm_ticket, submit_ticket
from gateway.lifecycle import DeliveryEvent, JobEvent, JobState
from gateway.store import keys
from gateway.store.base import AdmissionLimits, Outcome
from gateway.store.deliveries import RedisDeliveryStore
from gateway.store.effects import BindTask, Finish, HoldSlot, OweEvent, PollAfter, SetFields
from gateway.store.endpoints import RedisEndpointStore
from gateway.store.jobs import RedisJobStore
from gateway.store.retention import RedisRetention
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import held, new_job

ENVIRONMENT: Final = Environment()
HOUR_MS: Final = 3_600_000
FINISHED: Final = "{gw}:finished"
#: What counts, and what operators see, is not of one job.
_LASTING: Final = {
    "{gw}:counts",
    "{gw}:tally",
    "{gw}:ops:events",
    "{gw}:durations",
    "{gw}:account:main",
    "{gw}:primary",
}


@dataclass(frozen=True, slots=True)
class Store:
    redis: Redis
    jobs: RedisJobStore
    deliveries: RedisDeliveryStore
    endpoints: RedisEndpointStore
    retention: RedisRetention

    async def accept(self, **fields: Any) -> Job:
        payload = "p" * fields.get("payload_characters", 0) or None
        job = new_job(**fields)
        await self.jobs.accept(job, payload, "fingerprint", AdmissionLimits(queue_max=10))
        return job

    async def released(self, job: Job) -> Job:
        claimed = await self.jobs.claim(await held(self.redis, Role.SUBMIT, job.id), "a run")
        assert claimed
        assert await self.jobs.release(claimed)
        return claimed

    async def taken(self, job: Job, *tasks: str) -> Job:
        """The upstream has tasks for it, the last of them by a later answer."""
        claimed = await self.released(job)
        for task in tasks:
            move = Transition(
                JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask(task), HoldSlot(), PollAfter(60_000)]
            )
            assert (await self.jobs.apply(claimed, move)).outcome in (Outcome.MOVED, Outcome.REPEATED)
        found = await self.jobs.read(job.id)
        assert found
        return found

    async def settle(self, job: Job, event: JobEvent, state: JobState, **fields: Any) -> Job:
        at = ENVIRONMENT.now_ms()
        after = replace(job, state=state, finished_at=at)
        made = events.make(after, None)
        told = events.in_words_of(job.door, made, b"{}") if job.door else None
        move = Transition(
            event,
            effects=[
                SetFields({"finished_at": at, **fields}),
                Finish([submit_ticket(job), confirm_ticket(job)]),
                OweEvent(made, job.callback_url, told),
            ],
        )
        assert (await self.jobs.apply(job, move)).outcome is Outcome.MOVED
        return after

    async def deliver(self, job: Job, event: DeliveryEvent) -> None:
        """Ends all that is owed for the job."""
        for owed in await self.deliveries.of_job(job.id):
            ticket = await held(self.redis, Role.DELIVER, owed.id)
            assert await self.deliveries.begin(ticket)
            await self.deliveries.finish(ticket, owed, event, retry_in_ms=None, tally=[])

    async def counts(self) -> dict[str, str]:
        found: dict[str, str] = await self.redis.hgetall(keys.COUNTS)  # type: ignore[misc]
        return {name: number for name, number in found.items() if number != "0"}

    async def dump(self) -> dict[str, str]:
        """Every key with all that it holds, but for what arq's worker removes when it has run a job."""
        found = {}
        for key in await self.redis.keys("*"):
            if key.startswith("arq:") or ":arq" in key or key in _LASTING:
                continue
            found[key] = f"{key} {await self._content(key)}"
        return found

    async def _content(self, key: str) -> object:
        match await self.redis.type(key):
            case "hash":
                return sorted((await self.redis.hgetall(key)).items())  # type: ignore[misc]
            case "zset":
                return await self.redis.zrange(key, 0, -1, withscores=True)
            case "set":
                return sorted(await self.redis.smembers(key))  # type: ignore[misc]
            case "stream":
                return await self.redis.xrange(key)
            case "list":
                return await self.redis.lrange(key, 0, -1)  # type: ignore[misc]
            case _:
                return await self.redis.get(key)

    async def next_poll(self, job: Job) -> float:
        """How long, in ms, until the job is polled again."""
        seconds, microseconds = await self.redis.time()
        score = await self.redis.zscore(FINISHED, job.id)
        assert score
        return float(score - seconds * 1000 - microseconds / 1000)


async def canceled(store: Store, job: Job) -> Job:
    return await store.settle(job, JobEvent.CANCEL_REQUESTED, JobState.CANCELED)


async def completed(store: Store, job: Job) -> Job:
    return await store.settle(
        await store.taken(job, "task_a"), JobEvent.UPSTREAM_SUCCEEDED, JobState.COMPLETED
    )


async def completed_with_two_tasks(store: Store, job: Job) -> Job:
    job = await store.taken(job, "task_a", "task_b")
    assert job.earlier
    return await store.settle(job, JobEvent.UPSTREAM_SUCCEEDED, JobState.COMPLETED)


async def rejected(store: Store, job: Job) -> Job:
    return await store.settle(await store.released(job), JobEvent.UPSTREAM_REJECTED, JobState.FAILED)


async def never_heard_of_again(store: Store, job: Job) -> Job:
    claimed = await store.released(job)
    await store.jobs.apply(
        claimed, Transition(JobEvent.OUTCOME_LOST, effects=[HoldSlot(), PollAfter(60_000)])
    )
    found = await store.jobs.read(job.id)
    assert found
    return await store.settle(found, JobEvent.DEADLINE_PASSED, JobState.FAILED)


async def with_what_faults_left_behind(store: Store, job: Job) -> Job:
    """Tickets and places in indexes, which must not outlive the job."""
    job = await completed(store, job)
    await store.redis.zadd(keys.due(Role.SUBMIT), {str(submit_ticket(job)): 1})
    await store.redis.zadd(keys.due(Role.CONFIRM), {str(confirm_ticket(job)): 1})
    for owed in await store.deliveries.of_job(job.id):
        await store.redis.zadd(keys.due(Role.DELIVER), {f"{owed.lane}|{owed.id}": 1})
    for index in ("deadlines", "unknowns"):
        await store.redis.zadd(f"{{gw}}:{index}", {job.id: 1})
    return job


HISTORIES = [
    canceled,
    completed,
    completed_with_two_tasks,
    rejected,
    never_heard_of_again,
    with_what_faults_left_behind,
]
RICH: Final[dict[str, Any]] = {
    "payload_characters": 20,
    "idempotency": "a1b2c3",
    "callback_url": "https://client.example.com/hook",
    "door": "vtrix",
    "end_by": ENVIRONMENT.now_ms() + HOUR_MS,
}
History = Callable[[Store, Job], Awaitable[Job]]
