"""What operators see and change, on the real server."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from gateway.dispatch import ACCOUNT, Role
from gateway.jobs import submit_ticket
from gateway.lifecycle import JobEvent, OnUnknown
from gateway.store import keys
from gateway.store.base import Account
from gateway.store.effects import (
    BindTask,
    Finish,
    GiveBackSlot,
    HoldSlot,
    JudgeAccount,
    PollAfter,
    RecordHistory,
)
from gateway.store.jobs import RedisJobStore
from gateway.store.lanes import Lanes
from gateway.store.operators import (
    EVENTS,
    QUARANTINE,
    SHOWN_BYTES,
    UNKNOWNS,
    Parking,
    RedisOperatorStore,
)
from gateway.store.script_runner import Scripts
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import ROLES, Accept, held, rung


@pytest.fixture
def operators(redis: Redis, scripts: Scripts) -> RedisOperatorStore:
    return RedisOperatorStore(redis, scripts, ROLES)


async def kinds(operators: RedisOperatorStore) -> list[tuple[str, str]]:
    """Of every operators' event, its kind and who did it."""
    found = await operators.events(None, 100)
    return [(row["kind"], row["by"]) for row in found.rows]


async def long_ago(redis: Redis) -> None:
    """The account was parked so long ago that a probe would be due."""
    await redis.hset(keys.account(ACCOUNT), "parked_at", "1000")  # type: ignore[misc]


async def test_an_account_of_which_nothing_is_known_has_all_its_slots(operators: RedisOperatorStore) -> None:
    assert await operators.account() == Account(slots=4)


async def test_a_parked_account_tells_why_and_what_is_posted_then_waits(
    redis: Redis, operators: RedisOperatorStore, accept: Accept
) -> None:
    await operators.park("the invoice is in dispute", "key1")
    found = await operators.account()
    assert (found.reason, found.parked_at is not None) == ("the invoice is in dispute", True)
    await accept()
    assert await rung(redis, Role.SUBMIT) == []
    assert await kinds(operators) == [("account_parked", "key1")]


async def test_what_an_operator_parked_is_not_probed(
    redis: Redis, operators: RedisOperatorStore, lanes: Lanes, accept: Accept
) -> None:
    await operators.park("maintenance", "key1")
    await accept()
    await long_ago(redis)
    assert await lanes.dispatch() == 0


async def test_an_operator_s_word_stands_above_the_upstream_s(
    jobs: RedisJobStore, redis: Redis, operators: RedisOperatorStore, lanes: Lanes, accept: Accept
) -> None:
    job, waiting = await accept(), await accept("zeta")
    claimed = await jobs.claim(await held(redis, Role.SUBMIT, job.id), "run-1")
    assert claimed
    refused = JudgeAccount("refused", status=402, code="NoCredit", reason="no credit")
    await jobs.apply(claimed, Transition(JobEvent.UPSTREAM_BUSY, effects=[GiveBackSlot(0, "main"), refused]))
    assert (await operators.account()).reason == "no credit"
    await operators.park("ours to decide", "key1")
    assert (await operators.account()).reason == "ours to decide"
    assert await kinds(operators) == [("account_parked", "upstream"), ("account_parked", "key1")]
    await long_ago(redis)
    assert await lanes.dispatch() == 0
    assert waiting.id in await rung(redis, Role.SUBMIT)  # it was handed out before


async def test_what_was_on_its_way_already_does_not_undo_an_operator_s_word(
    jobs: RedisJobStore, redis: Redis, operators: RedisOperatorStore, accept: Accept
) -> None:
    job = await accept()
    ticket = await held(redis, Role.SUBMIT, job.id)
    await operators.park("maintenance", "key1")
    claimed = await jobs.claim(ticket, "run-1")
    assert claimed
    accepted = Transition(
        JobEvent.UPSTREAM_ACCEPTED,
        effects=[BindTask("t"), HoldSlot(), PollAfter(60_000), JudgeAccount("accepted")],
    )
    await jobs.apply(claimed, accepted)
    assert (await operators.account()).parked_at is not None


async def test_a_resumed_account_sends_what_waited(
    redis: Redis, operators: RedisOperatorStore, accept: Accept
) -> None:
    await operators.park("maintenance", "key1")
    job = await accept()
    await operators.resume("key2")
    assert await operators.account() == Account(slots=4, in_flight=1)
    assert await rung(redis, Role.SUBMIT) == [job.id]
    assert await redis.hgetall(keys.account(ACCOUNT)) == {}  # type: ignore[misc]
    assert await kinds(operators) == [("account_parked", "key1"), ("account_resumed", "key2")]


async def test_what_is_done_twice_is_told_once(operators: RedisOperatorStore) -> None:
    for _ in range(2):
        await operators.park("maintenance", "key1")
    for _ in range(2):
        await operators.resume("key1")
    assert await kinds(operators) == [("account_parked", "key1"), ("account_resumed", "key1")]


async def test_fewer_slots_and_a_pause_are_told(redis: Redis, operators: RedisOperatorStore) -> None:
    await redis.hset(keys.account(ACCOUNT), mapping={"slots": 2, "hold_until": 77})  # type: ignore[misc]
    assert await operators.account() == Account(slots=2, hold_until=77)


async def test_more_slots_than_are_configured_now_are_not_told(
    redis: Redis, operators: RedisOperatorStore
) -> None:
    await redis.hset(keys.account(ACCOUNT), "slots", "9")  # type: ignore[misc]
    assert (await operators.account()).slots == 4


async def test_the_audit_tells_what_happened_to_the_job_in_order(
    jobs: RedisJobStore, redis: Redis, operators: RedisOperatorStore, accept: Accept
) -> None:
    job = await accept()
    claimed = await jobs.claim(await held(redis, Role.SUBMIT, job.id), "run-1")
    assert claimed
    await jobs.release(claimed)
    await jobs.apply(
        claimed,
        Transition(
            JobEvent.UPSTREAM_ACCEPTED,
            effects=[BindTask("task-1", "key1"), HoldSlot(), RecordHistory(by="key1")],
        ),
    )
    audit = await operators.audit(job)
    named = [(entry["event"], entry.get("from"), entry.get("to")) for entry in audit]
    assert ("claimed", "queued", "submitting") in named
    assert named[-3:] == [
        ("released", None, None),
        ("upstream_accepted", "submitting", "submitted"),
        ("task_named", None, None),
    ]
    assert audit[-1]["task"] == "task-1"
    assert [entry.get("by") for entry in audit[-3:]] == [None, "key1", "key1"]
    assert {entry["epoch"] for entry in audit[-2:]} == {"1"}
    assert await operators.owner("task-1") == job.id


async def test_a_task_that_nobody_named_has_no_owner(operators: RedisOperatorStore) -> None:
    assert await operators.owner("task-0") is None


async def test_events_are_read_page_by_page(operators: RedisOperatorStore) -> None:
    for at in range(5):
        await operators.note("noted", by="key1", number=str(at), empty="")
    first = await operators.events(None, 3)
    assert [row["number"] for row in first.rows] == ["0", "1", "2"]
    assert first.more
    assert "empty" not in first.rows[0]
    rest = await operators.events(first.rows[-1]["id"], 3)
    assert [row["number"] for row in rest.rows] == ["3", "4"]
    assert not rest.more


async def test_raw_bytes_in_quarantine_are_shown_as_text_and_cut(
    redis: Redis, operators: RedisOperatorStore
) -> None:
    for raw in (b'{"id": \xff\x00 "caf\xc3\xa9"', b"x" * 5000, b""):
        fields: dict[str, str | bytes] = {"at": "7", "why": "unreadable", "job": "job_1", "raw": raw}
        await redis.xadd(QUARANTINE, fields)  # type: ignore[arg-type]
    rows = (await operators.quarantine(None, 10)).rows
    assert rows[0]["raw"] == '{"id": \\xff\x00 "café"'
    assert rows[1]["raw"] == "x" * SHOWN_BYTES
    assert "raw" not in rows[2]
    assert {row["why"] for row in rows} == {"unreadable"}
    later = await operators.quarantine(rows[0]["id"], 1)
    assert (later.rows[0]["id"], later.more) == (rows[1]["id"], True)


async def test_what_a_tenant_chose_is_kept_and_told(operators: RedisOperatorStore) -> None:
    assert (await operators.tenants.read("acme")).on_unknown is None
    await operators.tenants.change("acme", {"on_unknown": OnUnknown.RESUBMIT}, "key1")
    assert (await operators.tenants.read("acme")).on_unknown is OnUnknown.RESUBMIT
    assert (await operators.tenants.read("zeta")).on_unknown is None
    await operators.tenants.change("acme", {"on_unknown": None}, "key2")
    assert (await operators.tenants.read("acme")).on_unknown is None
    rows = (await operators.events(None, 10)).rows
    assert [(row["tenant"], row.get("on_unknown"), row["by"]) for row in rows] == [
        ("acme", "default -> resubmit", "key1"),
        ("acme", "resubmit -> default", "key2"),
    ]


async def test_what_a_tenant_chose_is_what_its_jobs_get(
    jobs: RedisJobStore, operators: RedisOperatorStore, accept: Accept
) -> None:
    job = await accept()
    await operators.tenants.change("acme", {"on_unknown": OnUnknown.MANUAL}, "key1")
    assert await jobs.on_unknown(job) is OnUnknown.MANUAL


async def test_the_state_of_an_empty_store_is_all_zeros(operators: RedisOperatorStore) -> None:
    found = await operators.state()
    assert (found.counts, found.unknown, found.deadlines) == ({}, 0, 0)
    assert found.roles.keys() == set(Role)
    assert {n for numbers in found.roles.values() for n in numbers.values()} == {0}


async def test_the_state_tells_what_is_held_and_what_waits_and_goes_back_to_zero(
    jobs: RedisJobStore, redis: Redis, operators: RedisOperatorStore, accept: Accept
) -> None:
    accepted = [await accept() for _ in range(3)]
    found = (await operators.state()).roles[Role.SUBMIT]
    assert found == {"waiting": 1, "due": 0, "again": 0, "slots": 2, "holders": 2, "inflight": 2}
    for job in accepted:
        move = Transition(JobEvent.CANCEL_REQUESTED, effects=[Finish([submit_ticket(job)])])
        await jobs.apply(job, move)
    after = await operators.state()
    assert set(after.roles[Role.SUBMIT].values()) == {0}
    assert after.counts == {"job:queued": 0, "job:canceled": 3}


async def test_an_unknown_job_is_counted_while_it_is_unknown(
    jobs: RedisJobStore, redis: Redis, operators: RedisOperatorStore, accept: Accept
) -> None:
    job = await accept()
    claimed = await jobs.claim(await held(redis, Role.SUBMIT, job.id), "run-1")
    assert claimed
    await jobs.release(claimed)
    await jobs.apply(claimed, Transition(JobEvent.OUTCOME_LOST, effects=[HoldSlot(), PollAfter(60_000)]))
    found = await operators.state()
    assert found.unknown == 1
    assert found.roles[Role.CONFIRM]["due"] == 1
    assert await redis.zrange(UNKNOWNS, 0, -1) == [job.id]


async def test_a_full_redis_still_takes_an_operator_s_word(
    redis: Redis, operators: RedisOperatorStore
) -> None:
    before = (await redis.config_get("maxmemory"))["maxmemory"]
    await redis.config_set("maxmemory", "1")
    try:
        await operators.park("full", "key1")
        await operators.note("noted", by="key1")
        await operators.tenants.change("acme", {"on_unknown": OnUnknown.HOLD}, "key1")
    finally:
        await redis.config_set("maxmemory", before)
    assert await redis.xlen(EVENTS) == 3
    assert (await operators.tenants.read("acme")).on_unknown is OnUnknown.HOLD


async def test_an_account_that_is_not_parked_has_no_parking(operators: RedisOperatorStore) -> None:
    assert await operators.account_and_parking() == (Account(slots=4), None)


async def test_what_the_upstream_refused_is_told_with_the_time_of_the_next_try(
    jobs: RedisJobStore, redis: Redis, operators: RedisOperatorStore, accept: Accept
) -> None:
    job = await accept()
    claimed = await jobs.claim(await held(redis, Role.SUBMIT, job.id), "run-1")
    assert claimed
    refused = JudgeAccount("refused", status=402, code="NoCredit", reason="no credit")
    await jobs.apply(
        claimed, Transition(JobEvent.UPSTREAM_BUSY, effects=[GiveBackSlot(3_600_000, "main"), refused])
    )
    account, parking = await operators.account_and_parking()
    assert account.parked_at is not None
    assert parking == Parking("upstream", 402, "NoCredit", account.parked_at + 30_000)
    await redis.hset(keys.account(ACCOUNT), "probe_at", "77")  # type: ignore[misc]
    _, parking = await operators.account_and_parking()
    assert parking == Parking("upstream", 402, "NoCredit", 77)


async def test_what_an_operator_parked_is_told_with_the_key_and_without_a_next_try(
    operators: RedisOperatorStore,
) -> None:
    await operators.park("maintenance", "key1")
    _, parking = await operators.account_and_parking()
    assert parking == Parking("key1", None, None, None)


@pytest.mark.parametrize(("seconds", "slots"), [(0, 1), (29, 1), (31, 2), (61, 3), (10_000, 4)])
async def test_slots_come_back_one_an_interval_since_the_cut(
    redis: Redis, operators: RedisOperatorStore, seconds: int, slots: int
) -> None:
    now, _ = await redis.time()
    cut = {"slots": 1, "cut_at": (now - seconds) * 1000}
    await redis.hset(keys.account(ACCOUNT), mapping=cut)  # type: ignore[misc]
    assert (await operators.account()).slots == slots
