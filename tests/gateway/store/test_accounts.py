"""Several accounts at the upstream: who sends a job, and who never may."""

from __future__ import annotations

from collections import Counter

import pytest
from redis.asyncio import Redis

from gateway.dispatch import AccountLimits, CallbackLimits, Role, RoleLimits
from gateway.jobs import Job, confirm_ticket, submit_ticket
from gateway.lifecycle import JobEvent, JobState
from gateway.store import keys
from gateway.store.accounts import RedisAccounts, slots_taken
from gateway.store.base import AdmissionLimits, Callback
from gateway.store.effects import (
    AddToFields,
    BindTask,
    Finish,
    GiveBackSlot,
    HoldSlot,
    JudgeAccount,
    PollAfter,
    UnsetFields,
)
from gateway.store.jobs import RedisJobStore
from gateway.store.lanes import Lanes
from gateway.store.ops_log import RedisOpsLog
from gateway.store.script_runner import Scripts
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import Accept, dispatched, held, new_job

PINNED = "{gw}:submit:pinned"


def roles(*accounts: AccountLimits, lane_slots: int = 100) -> dict[Role, RoleLimits]:
    slots = sum(account.slots for account in accounts)
    some = RoleLimits(slots=10, lane_slots=10, lease_ms=60_000)
    submit = RoleLimits(slots, lane_slots, lease_ms=60_000, accounts=accounts)
    return {Role.SUBMIT: submit, Role.CONFIRM: some, Role.DELIVER: some}


class Desk:
    """Everything that a test of accounts needs, with these accounts."""

    def __init__(self, redis: Redis, *accounts: AccountLimits, lane_slots: int = 100) -> None:
        scripts = Scripts(redis)
        self.redis = redis
        self.roles = roles(*accounts, lane_slots=lane_slots)
        self.jobs = RedisJobStore(redis, scripts, self.roles, CallbackLimits(90_000, 30_000, 604_800_000))
        self.lanes = Lanes(scripts, self.roles)
        self.upstream = RedisAccounts(redis, scripts, self.roles)

    async def accept(self, tenant: str = "acme") -> Job:
        job = new_job(tenant)
        await self.jobs.accept(job, None, "fingerprint", AdmissionLimits(queue_max=1000))
        return job

    async def read(self, job: Job) -> Job:
        found = await self.jobs.read(job.id)
        assert found
        return found

    async def claimed(self, job: Job) -> Job:
        ticket = await held(self.redis, Role.SUBMIT, job.id)
        found = await self.jobs.claim(ticket, f"run-{ticket.dispatch_number}")
        assert found
        return found

    async def released(self, job: Job) -> Job:
        assert await self.jobs.release(await self.claimed(job))
        return await self.read(job)

    async def refuse(self, job: Job, kind: str = "refused", retry_after_ms: int = 0) -> None:
        judged = JudgeAccount(
            "busy" if kind == "busy" else "refused", retry_after_ms, 402, "NoCredit", "x", job.account
        )
        refused_by = job.account if kind == "refused" else None
        move = Transition(
            JobEvent.UPSTREAM_BUSY,
            effects=[UnsetFields(["released_at"]), GiveBackSlot(0, refused_by), judged],
        )
        await self.jobs.apply(job, move)

    async def sent_again(self, job: Job) -> None:
        """Its outcome was lost, and its owner chose to send it again, perhaps to pay twice."""
        await self.jobs.apply(job, Transition(JobEvent.OUTCOME_LOST, effects=[HoldSlot()]))
        move = Transition(
            JobEvent.RESUBMIT_CHOSEN,
            effects=[AddToFields({"resubmits": 1}), UnsetFields(["unknown_at"]), GiveBackSlot(0)],
        )
        await self.jobs.apply(job, move)

    async def accounts(self, *jobs: Job) -> list[str]:
        return [(await self.read(job)).account for job in jobs]

    async def in_flight(self) -> dict[str, int]:
        return {account.name: account.in_flight for account, _ in await self.upstream.all()}


def desk(redis: Redis, main: int = 2, second: int = 2, **more: int) -> Desk:
    return Desk(redis, AccountLimits("main", main), AccountLimits("second", second), **more)


async def test_jobs_are_shared_out_by_weight(redis: Redis) -> None:
    both = Desk(redis, AccountLimits("main", 20, weight=1), AccountLimits("second", 20, weight=3))
    jobs = [await both.accept() for _ in range(16)]
    assert Counter(await both.accounts(*jobs)) == {"main": 4, "second": 12}
    assert await both.in_flight() == {"main": 4, "second": 12}


async def test_one_at_a_time_they_are_shared_out_by_weight_too(redis: Redis) -> None:
    both = desk(redis)
    jobs = []
    for _ in range(6):
        job = await both.accept()
        jobs.append(job)
        await both.jobs.apply(
            job, Transition(JobEvent.CANCEL_REQUESTED, effects=[Finish([submit_ticket(job)])])
        )
    assert Counter(await both.accounts(*jobs)) == {"main": 3, "second": 3}
    assert await both.in_flight() == {"main": 0, "second": 0}
    assert not await redis.exists("{gw}:submit:accounts", "{gw}:submit:account_inflight")


async def test_an_account_that_was_full_saves_up_no_turns(redis: Redis) -> None:
    both = desk(redis, main=1, second=100)
    first = [await both.accept() for _ in range(20)]
    mine = [job for job in first if (await both.read(job)).account == "main"]
    assert len(mine) == 1
    await both.jobs.apply(
        mine[0], Transition(JobEvent.CANCEL_REQUESTED, effects=[Finish([submit_ticket(mine[0])])])
    )
    later = [await both.accept() for _ in range(2)]
    assert sorted(await both.accounts(*later)) == ["main", "second"]


async def test_no_account_has_more_than_its_slots(redis: Redis) -> None:
    both = desk(redis, main=1, second=2)
    jobs = [await both.accept() for _ in range(5)]
    assert await both.in_flight() == {"main": 1, "second": 2}
    assert len(await dispatched(redis, Role.SUBMIT)) == 3
    assert await both.jobs.queue_positions(jobs[:3]) == [None, None, None]


async def test_a_refused_account_is_paused_alone_and_its_job_goes_to_another(redis: Redis) -> None:
    both = desk(redis)
    job = await both.accept()
    assert await both.accounts(job) == ["main"]
    await both.refuse(await both.released(job))
    await both.lanes.dispatch()
    assert await both.accounts(job) == ["second"]
    assert [(found.name, found.paused_at is not None) for found, _ in await both.upstream.all()] == [
        ("main", True),
        ("second", False),
    ]
    more = [await both.accept() for _ in range(3)]
    assert await both.in_flight() == {"main": 0, "second": 2}
    assert (await both.read(more[-1])).state is JobState.QUEUED


async def test_the_event_says_which_account_it_was(redis: Redis) -> None:
    both = desk(redis)
    await both.accept()
    await both.refuse(await both.released(await both.accept()))
    [event] = (await RedisOpsLog(redis).events(None, 10)).rows
    assert (event["kind"], event["account"]) == ("account_parked", "second")


async def test_a_busy_account_is_slowed_down_alone(redis: Redis) -> None:
    both = desk(redis, main=4, second=4)
    jobs = [await both.accept() for _ in range(8)]
    mine = [job for job in jobs if (await both.read(job)).account == "main"]
    await both.refuse(await both.released(mine[0]), "busy", retry_after_ms=60_000)
    main, second = [found for found, _ in await both.upstream.all()]
    assert (main.slots, main.hold_until is not None) == (2, True)
    assert (second.slots, second.hold_until) == (4, None)


async def test_a_rate_is_each_account_s_own(redis: Redis) -> None:
    both = Desk(redis, AccountLimits("main", 50, per_second=0.01), AccountLimits("second", 50, per_second=3))
    jobs = [await both.accept() for _ in range(12)]
    assert await both.in_flight() == {"main": 1, "second": 3}
    assert len(await dispatched(redis, Role.SUBMIT)) == 4
    assert (await both.read(jobs[-1])).state is JobState.QUEUED


async def test_a_probe_of_a_paused_account_goes_before_what_the_others_may_have(redis: Redis) -> None:
    both = desk(redis)
    await redis.hset(keys.account("second"), mapping={"parked_at": 1, "probe_at": 1})  # type: ignore[misc]
    probe, other = [await both.accept() for _ in range(2)]
    assert await both.accounts(probe, other) == ["second", "main"]


async def test_only_with_all_paused_or_held_nothing_is_promised(redis: Redis) -> None:
    both = desk(redis, main=1, second=1)
    for _ in range(2):
        await both.accept()
    waiting = await both.accept()
    await redis.hset("{gw}:submit:pace", mapping={"at": 1, "ms": 1000})  # type: ignore[misc]
    await redis.hset(keys.account("second"), "parked_at", "1")  # type: ignore[misc]
    [place] = await both.jobs.queue_positions([waiting])
    assert place is not None
    assert place.eta_seconds is not None
    seconds, _ = await redis.time()
    for why, until in (("parked_at", "1"), ("hold_until", str((seconds + 600) * 1000))):
        await redis.hset(keys.account("main"), why, until)  # type: ignore[misc]
        [place] = await both.jobs.queue_positions([waiting])
        assert place is not None
        assert place.eta_seconds is None
        await redis.hdel(keys.account("main"), why)  # type: ignore[misc]


async def test_what_may_have_been_paid_waits_for_its_own_account_and_nobody_behind_it(redis: Redis) -> None:
    both = desk(redis, main=1, second=1)
    bound = await both.released(await both.accept())
    assert bound.account == "main"
    await both.upstream.pause("no credit", "key1", "main")
    await both.sent_again(bound)
    behind = await both.accept()
    await both.lanes.dispatch()
    assert await both.accounts(behind) == ["second"]
    assert await redis.hgetall(PINNED) == {str(submit_ticket(bound)): "main"}  # type: ignore[misc]
    assert (await both.read(bound)).state is JobState.QUEUED
    assert await redis.zcard(keys.waiting(Role.SUBMIT)) == 1
    await both.upstream.resume("key1", "main")
    again = await both.claimed(bound)
    assert (again.account, again.epoch) == ("main", 2)
    assert not await redis.exists(PINNED, f"{PINNED}:main")
    assert await redis.zcard(keys.waiting(Role.SUBMIT)) == 0


async def test_a_second_submission_that_cost_nothing_makes_the_job_no_freer(redis: Redis) -> None:
    both = desk(redis, main=1, second=1)
    bound = await both.released(await both.accept())
    await both.sent_again(bound)
    again = await both.claimed(bound)
    assert (again.account, again.released_at) == ("main", None)
    await both.upstream.pause("no credit", "key1", "main")
    await both.jobs.apply(again, Transition(JobEvent.CLAIM_LOST, effects=[GiveBackSlot(0)]))
    assert await both.accounts(bound) == ["main"]
    assert await both.in_flight() == {"main": 0, "second": 0}


async def test_what_waits_for_its_account_goes_before_new_work(redis: Redis) -> None:
    both = desk(redis, main=1, second=1)
    bound = await both.released(await both.accept())
    await both.upstream.pause("no credit", "key1", "main")
    await both.sent_again(bound)
    await both.accept()
    new = await both.accept("other")
    await both.upstream.resume("key1", "main")
    assert (await both.claimed(bound)).account == "main"
    assert new.id not in await dispatched(redis, Role.SUBMIT)


async def test_a_tenant_that_is_paused_or_full_is_so_for_what_is_bound_too(redis: Redis) -> None:
    both = desk(redis, main=2, second=2, lane_slots=1)
    bound = await both.released(await both.accept())
    await both.upstream.pause("no credit", "key1", "main")
    await both.sent_again(bound)
    assert await redis.hget(PINNED, str(submit_ticket(bound))) == "main"  # type: ignore[misc]
    full = await both.accept()
    assert await both.accounts(full) == ["second"]
    await both.upstream.resume("key1", "main")
    assert await both.in_flight() == {"main": 0, "second": 1}
    await both.lanes.pause(Role.SUBMIT, "acme", 60_000)
    await both.jobs.apply(
        full, Transition(JobEvent.CANCEL_REQUESTED, effects=[Finish([submit_ticket(full)])])
    )
    assert await both.in_flight() == {"main": 0, "second": 0}
    await both.lanes.resume(Role.SUBMIT, "acme")
    assert await both.in_flight() == {"main": 1, "second": 0}


async def test_a_bound_job_that_is_canceled_is_in_no_line_any_more(redis: Redis) -> None:
    both = desk(redis, main=1, second=1)
    bound = await both.released(await both.accept())
    await both.upstream.pause("no credit", "key1", "main")
    await both.sent_again(bound)
    await both.jobs.apply(
        bound, Transition(JobEvent.CANCEL_REQUESTED, effects=[Finish([submit_ticket(bound)])])
    )
    assert not await redis.exists(PINNED, f"{PINNED}:main", keys.waiting(Role.SUBMIT))


async def test_with_the_account_gone_from_the_settings_a_bound_job_waits(redis: Redis) -> None:
    both = desk(redis, main=1, second=1)
    await both.accept()
    bound = await both.released(await both.accept())
    assert bound.account == "second"
    await both.upstream.pause("it goes", "key1", "second")
    await both.sent_again(bound)
    alone = Desk(redis, AccountLimits("main", 5))
    new = await alone.accept()
    assert await alone.accounts(new) == ["main"]
    assert await redis.hgetall(PINNED) == {str(submit_ticket(bound)): "second"}  # type: ignore[misc]


async def test_an_unpaid_job_of_an_account_that_is_gone_is_sent_with_another(redis: Redis) -> None:
    both = desk(redis, main=1, second=1)
    await both.accept()
    job = await both.claimed(await both.accept())
    assert job.account == "second"
    await both.upstream.pause("it goes", "key1", "second")
    await both.jobs.apply(job, Transition(JobEvent.CLAIM_LOST, effects=[GiveBackSlot(0)]))
    alone = Desk(redis, AccountLimits("main", 5))
    await alone.lanes.dispatch()
    assert (await alone.claimed(job)).account == "main"
    assert "account" not in await redis.hgetall(keys.job(job.id))  # type: ignore[misc]


async def test_tasks_are_polled_in_the_lane_of_their_account(redis: Redis) -> None:
    both = desk(redis)
    await both.accept()
    job = await both.released(await both.accept())
    await both.jobs.apply(
        job, Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask("t-1"), HoldSlot(), PollAfter(1000)])
    )
    assert str(confirm_ticket(job)) == f"second|{job.id}"
    assert await redis.zscore(keys.due(Role.CONFIRM), str(confirm_ticket(job)))
    await both.jobs.callback(Callback(job.id, "acme", 1, "completed", "t-1", True, account="second"))
    await both.lanes.dispatch()
    assert (await held(redis, Role.CONFIRM, job.id)).lane == "second"
    assert (await both.read(job)).account_of("t-1") == "second"


async def test_a_task_of_an_earlier_submission_stays_with_the_account_that_made_it(redis: Redis) -> None:
    both = desk(redis)
    job = await both.accept()
    await both.refuse(await both.released(job))  # a lie: a task was made
    await both.lanes.dispatch()
    second = await both.released(job)
    assert second.account == "second"
    await both.jobs.callback(Callback(job.id, "acme", 1, "completed", "t-1", True, account="main"))
    await both.jobs.apply(
        second, Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask("t-2"), HoldSlot()])
    )
    found = await both.read(job)
    assert sorted(found.tasks) == ["t-1", "t-2"]
    assert [found.account_of(task) for task in ("t-1", "t-2")] == ["main", "second"]


async def test_a_task_that_is_named_before_the_next_account_is_paid_binds_the_job_to_its_own(
    redis: Redis,
) -> None:
    both = desk(redis)
    job = await both.accept()
    await both.refuse(await both.released(job))
    await both.lanes.dispatch()
    claimed = await both.claimed(job)
    assert claimed.account == "second"
    await both.jobs.callback(Callback(job.id, "acme", 1, "completed", "t-1", True, account="main"))
    assert not await both.jobs.release(claimed)
    found = await both.read(job)
    assert (found.account, found.account_of("t-1")) == ("main", "main")
    assert await both.in_flight() == {"main": 1, "second": 0}


@pytest.mark.parametrize("released", [True, False])
async def test_a_callback_that_is_ahead_of_the_record_says_whose_the_job_is(
    redis: Redis, released: bool
) -> None:
    both = desk(redis)
    job = await both.accept()
    await (both.released(job) if released else both.claimed(job))
    await both.jobs.callback(Callback(job.id, "acme", 3, "completed", "t-3", True, account="second"))
    found = await both.read(job)
    assert (found.account, found.account_of("t-3")) == ("second", "second")
    assert await both.in_flight() == {"main": 0, "second": 1}


async def test_a_job_that_is_built_up_again_is_the_account_s_that_its_callback_names(redis: Redis) -> None:
    both = desk(redis)
    lost = new_job()
    await both.jobs.callback(Callback(lost.id, "acme", 2, "completed", "t-1", True, account="second"))
    assert await both.accounts(lost) == ["second"]
    assert await both.in_flight() == {"main": 0, "second": 1}
    assert (await held(redis, Role.CONFIRM, lost.id)).lane == "second"


async def test_one_account_needs_nothing_that_it_did_not_need(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await accept()
    claimed = await jobs.claim(await held(redis, Role.SUBMIT, job.id))
    assert claimed
    await jobs.apply(claimed, Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask("t-1"), HoldSlot()]))
    found = {key.removeprefix("{gw}:") for key in await redis.keys("{gw}:*")}
    assert not {name for name in found if "account" in name or "pinned" in name}
    assert "account" not in await redis.hgetall(keys.job(job.id))  # type: ignore[misc]


def test_a_slot_that_is_taken_between_two_readings_makes_no_figure_negative() -> None:
    assert slots_taken("main", 1, {"second": "2"}) == 0
    assert slots_taken("second", 1, {"second": "2"}) == 2
