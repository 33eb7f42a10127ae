"""Who is sent next: tenants by weight, a tenant's own jobs by priority, and nobody starves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from redis.asyncio import Redis

from gateway.dispatch import CallbackLimits, Role, RoleLimits, Ticket
from gateway.jobs import Job, Priority, submit_ticket
from gateway.lifecycle import JobEvent
from gateway.store.base import AdmissionLimits
from gateway.store.effects import Finish
from gateway.store.jobs import RedisJobStore
from gateway.store.lanes import Lanes
from gateway.store.script_runner import Scripts
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import new_job

_ONE_SLOT = {role: RoleLimits(slots=1, lane_slots=1, lease_ms=60_000) for role in Role}


class Line:
    """One slot, so that what is sent is in line: `sent` gives it back again and again."""

    def __init__(self, redis: Redis, scripts: Scripts, roles: dict[Role, RoleLimits] = _ONE_SLOT) -> None:
        self.redis, self.roles = redis, roles
        self.jobs = RedisJobStore(redis, scripts, roles, CallbackLimits(90_000, 30_000, 604_800_000))
        self.lanes = Lanes(scripts, roles)

    async def post(self, tenant: str, priority: Priority = Priority.NORMAL) -> Job:
        job = new_job(tenant, priority=priority)
        await self.jobs.accept(job, None, "", AdmissionLimits(queue_max=100_000))
        return job

    async def sent(self, count: int) -> list[Ticket]:
        """The next so many, in order, each done at once."""
        found = []
        for _ in range(count):
            [(name, number)] = (await self.redis.hgetall("{gw}:submit:holders")).items()  # type: ignore[misc]
            ticket = Ticket.parse(Role.SUBMIT, name, int(number))
            found.append(ticket)
            await self.jobs.drop(ticket)
        return found

    async def names(self, count: int) -> list[str]:
        return [ticket.name for ticket in await self.sent(count)]

    async def weigh(self, tenant: str, weight: int) -> None:
        await self.redis.hset("{gw}:submit:weights", tenant, str(weight))  # type: ignore[misc]


@pytest.fixture
def line(redis: Redis, scripts: Scripts) -> Line:
    return Line(redis, scripts)


def names_of(jobs: Sequence[Job]) -> list[str]:
    return [job.id for job in jobs]


async def test_a_tenant_of_three_times_the_weight_is_sent_three_times_as_much(line: Line) -> None:
    await line.weigh("heavy", 3)
    for tenant in ("light", "heavy") * 120:
        await line.post(tenant)
    served = Counter(ticket.lane for ticket in await line.sent(120))
    assert served["heavy"] == pytest.approx(90, abs=1)


async def test_a_weight_counts_from_when_it_is_set(line: Line) -> None:
    for tenant in ("a", "b") * 100:
        await line.post(tenant)
    assert Counter(ticket.lane for ticket in await line.sent(40)) == {"a": 20, "b": 20}
    await line.weigh("a", 4)
    served = Counter(ticket.lane for ticket in await line.sent(50))
    assert served["a"] == pytest.approx(40, abs=1)


async def test_ten_jobs_behind_two_thousand_of_another_tenant_are_sent_in_their_share(line: Line) -> None:
    for _ in range(2000):
        await line.post("greedy")
    for _ in range(10):
        await line.post("modest")
    lanes = [ticket.lane for ticket in await line.sent(22)]
    assert lanes.count("modest") == 10


async def test_jobs_of_one_priority_are_sent_in_the_order_of_their_arrival(line: Line) -> None:
    for priority in Priority:
        jobs = [await line.post("acme", priority) for _ in range(30)]
        assert await line.names(30) == names_of(jobs)


async def test_a_job_of_high_priority_is_the_next_however_many_wait(line: Line) -> None:
    normal = [await line.post("acme") for _ in range(50)]
    await line.sent(5)
    urgent = await line.post("acme", Priority.HIGH)
    assert await line.names(3) == [normal[5].id, urgent.id, normal[6].id]  # the first of them holds the slot


async def test_priorities_share_a_tenant_s_turns_and_none_starves(line: Line) -> None:
    kinds = {}
    for _ in range(100):
        for priority in Priority:
            kinds[(await line.post("acme", priority)).id] = priority
    served = Counter(kinds[name] for name in await line.names(84))
    assert served[Priority.HIGH] == pytest.approx(64, abs=2)
    assert served[Priority.NORMAL] == pytest.approx(16, abs=2)
    assert served[Priority.LOW] == pytest.approx(4, abs=1)


async def test_a_low_job_gets_its_turn_although_high_ones_never_end(line: Line) -> None:
    await line.post("acme", Priority.HIGH)
    low = [await line.post("acme", Priority.LOW) for _ in range(3)]
    waited = []
    for job in low:
        for turn in range(100):
            await line.post("acme", Priority.HIGH)
            if await line.names(1) == [job.id]:
                waited.append(turn)
                break
    assert len(waited) == 3
    assert max(waited) <= 20


async def test_a_priority_that_was_not_used_has_saved_up_nothing(line: Line) -> None:
    for _ in range(40):
        await line.post("acme")
    await line.sent(30)
    low = [await line.post("acme", Priority.LOW) for _ in range(2)]
    names = await line.names(12)
    assert low[0].id in names[:3]  # it joins where the others are
    assert low[1].id not in names[:5]


async def test_canceled_jobs_leave_no_gap_in_the_order(line: Line) -> None:
    normal = [await line.post("acme") for _ in range(200)]
    for job in normal[2:]:
        await line.jobs.apply(
            job, Transition(JobEvent.CANCEL_REQUESTED, effects=[Finish([submit_ticket(job)])])
        )
    after = await line.post("acme")
    low = [await line.post("acme", Priority.LOW) for _ in range(2)]
    wanted = [normal[0], normal[1], low[0], after, low[1]]
    assert await line.names(5) == names_of(wanted)


async def test_an_empty_lane_remembers_nothing(line: Line) -> None:
    for priority in Priority:
        await line.post("acme", priority)
    await line.sent(3)
    assert await line.redis.exists("{gw}:submit:order:acme") == 0


async def test_what_comes_back_goes_before_every_priority(line: Line) -> None:
    first = await line.post("acme", Priority.LOW)
    urgent = await line.post("acme", Priority.HIGH)
    [(name, number)] = (await line.redis.hgetall("{gw}:submit:holders")).items()  # type: ignore[misc]
    await line.jobs.postpone(Ticket.parse(Role.SUBMIT, name, int(number)), 0, {})
    assert await line.names(2) == [first.id, urgent.id]


async def test_a_tenant_that_is_paused_is_passed_over_and_keeps_its_jobs(line: Line) -> None:
    await line.post("a")
    waiting = [await line.post("b") for _ in range(3)]
    await line.lanes.pause(Role.SUBMIT, "b", None)
    others = [await line.post("a") for _ in range(2)]
    assert names_of(others) == (await line.names(3))[1:]
    assert await line.redis.hlen("{gw}:submit:holders") == 0  # type: ignore[misc]
    await line.lanes.resume(Role.SUBMIT, "b")
    assert await line.names(3) == names_of(waiting)


async def test_nothing_is_sent_while_all_is_paused_and_no_slot_is_lost(line: Line) -> None:
    first = await line.post("a")
    assert await line.lanes.pause_all("a new contract", "key1")
    assert not await line.lanes.pause_all("again", "key2")
    second = await line.post("a")
    assert await line.names(1) == [first.id]
    assert await line.lanes.dispatch() == 0
    assert await line.redis.hlen("{gw}:submit:holders") == 0  # type: ignore[misc]
    assert await line.lanes.resume_all("key1")
    assert not await line.lanes.resume_all("key1")
    assert await line.names(1) == [second.id]


async def test_a_tenant_s_cap_leaves_slots_to_others(redis: Redis, scripts: Scripts) -> None:
    line = Line(redis, scripts, {role: RoleLimits(slots=6, lane_slots=6, lease_ms=60_000) for role in Role})
    await redis.hset("{gw}:submit:caps", "a", "2")  # type: ignore[misc]
    for tenant in ("a", "b") * 8:
        await line.post(tenant)
    assert await redis.hgetall("{gw}:submit:inflight") == {"a": "2", "b": "4"}  # type: ignore[misc]
