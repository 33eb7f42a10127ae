"""What no other test says of lanes: turns are taken although no lane is full."""

from __future__ import annotations

from redis.asyncio import Redis

from gateway.dispatch import CallbackLimits, Role, RoleLimits, Ticket
from gateway.environment import Environment
from gateway.jobs import Job, submit_ticket
from gateway.lifecycle import JobEvent, JobState
from gateway.resources import Resources
from gateway.store.base import AdmissionLimits
from gateway.store.effects import Finish
from gateway.store.jobs import RedisJobStore
from gateway.store.transitions import Transition

_ONE = dict.fromkeys(Role, RoleLimits(slots=1, lane_slots=1, lease_ms=60_000))


async def test_one_slot_goes_to_two_waiting_tenants_by_turns(resources: Resources) -> None:
    jobs = RedisJobStore(resources.redis, resources.scripts, _ONE, CallbackLimits(90_000, 30_000, 1))
    ids = Environment()
    for tenant in ("a", "a", "a", "a", "z", "z", "z"):
        job = Job(ids.new_job_id(), tenant, JobState.QUEUED, "", {}, ids.now_ms())
        await jobs.accept(job, None, "", AdmissionLimits(queue_max=10))
    served = []
    for _ in range(7):
        ticket = await _held(resources.redis)
        served.append(ticket.lane)
        claimed = await jobs.claim(ticket)
        assert claimed
        await jobs.apply(
            claimed, Transition(JobEvent.UPSTREAM_REJECTED, effects=[Finish([submit_ticket(claimed)])])
        )
    assert "".join(served) == "azazaza"


async def _held(redis: Redis) -> Ticket:
    [(text, number)] = (await redis.hgetall("{gw}:submit:holders")).items()  # type: ignore[misc]
    return Ticket.parse(Role.SUBMIT, text, int(number))
