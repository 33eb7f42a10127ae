"""What operators see of an account, and how they pause it and let it go on, on the real server."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from gateway.dispatch import ACCOUNT, Role
from gateway.lifecycle import JobEvent
from gateway.store import keys
from gateway.store.accounts import Pause, RedisAccounts
from gateway.store.base import Account, AccountState
from gateway.store.effects import BindTask, GiveBackSlot, HoldSlot, JudgeAccount, PollAfter
from gateway.store.jobs import RedisJobStore
from gateway.store.lanes import Lanes
from gateway.store.ops_log import RedisOpsLog
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import Accept, dispatched, held


async def kinds(ops_log: RedisOpsLog) -> list[tuple[str, str]]:
    """Of every ops event, its kind and who did it."""
    found = await ops_log.events(None, 100)
    return [(row["kind"], row["by"]) for row in found.rows]


async def long_ago(redis: Redis) -> None:
    """The account was paused so long ago that a probe would be due."""
    await redis.hset(keys.account(ACCOUNT), "parked_at", "1000")  # type: ignore[misc]


async def test_an_account_of_which_nothing_is_known_has_all_its_slots(accounts: RedisAccounts) -> None:
    assert await accounts.read() == (Account(slots=4), None)


async def test_a_paused_account_shows_why_and_what_is_posted_then_waits(
    redis: Redis, accounts: RedisAccounts, ops_log: RedisOpsLog, accept: Accept
) -> None:
    await accounts.pause("the invoice is in dispute", "key1")
    found, _ = await accounts.read()
    assert (found.reason, found.paused_at is not None) == ("the invoice is in dispute", True)
    await accept()
    assert await dispatched(redis, Role.SUBMIT) == []
    assert await kinds(ops_log) == [("account_parked", "key1")]


async def test_what_an_operator_paused_is_not_probed(
    redis: Redis, accounts: RedisAccounts, lanes: Lanes, accept: Accept
) -> None:
    await accounts.pause("maintenance", "key1")
    await accept()
    await long_ago(redis)
    assert await lanes.dispatch() == 0


async def test_an_operator_s_word_stands_above_the_upstream_s(
    jobs: RedisJobStore,
    redis: Redis,
    accounts: RedisAccounts,
    ops_log: RedisOpsLog,
    lanes: Lanes,
    accept: Accept,
) -> None:
    job, waiting = await accept(), await accept("zeta")
    claimed = await jobs.claim(await held(redis, Role.SUBMIT, job.id), "run-1")
    assert claimed
    refused = JudgeAccount("refused", status=402, code="NoCredit", reason="no credit")
    await jobs.apply(claimed, Transition(JobEvent.UPSTREAM_BUSY, effects=[GiveBackSlot(0, "main"), refused]))
    assert (await accounts.read())[0].reason == "no credit"
    await accounts.pause("ours to decide", "key1")
    assert (await accounts.read())[0].reason == "ours to decide"
    assert await kinds(ops_log) == [("account_parked", "upstream"), ("account_parked", "key1")]
    await long_ago(redis)
    assert await lanes.dispatch() == 0
    assert waiting.id in await dispatched(redis, Role.SUBMIT)  # it was dispatched before


async def test_what_was_on_its_way_already_does_not_undo_an_operator_s_word(
    jobs: RedisJobStore, redis: Redis, accounts: RedisAccounts, accept: Accept
) -> None:
    job = await accept()
    ticket = await held(redis, Role.SUBMIT, job.id)
    await accounts.pause("maintenance", "key1")
    claimed = await jobs.claim(ticket, "run-1")
    assert claimed
    accepted = Transition(
        JobEvent.UPSTREAM_ACCEPTED,
        effects=[BindTask("t"), HoldSlot(), PollAfter(60_000), JudgeAccount("accepted")],
    )
    await jobs.apply(claimed, accepted)
    assert (await accounts.read())[0].paused_at is not None


async def test_a_resumed_account_sends_what_waited(
    redis: Redis, accounts: RedisAccounts, ops_log: RedisOpsLog, accept: Accept
) -> None:
    await accounts.pause("maintenance", "key1")
    job = await accept()
    await accounts.resume("key2")
    assert await accounts.read() == (Account(slots=4, in_flight=1), None)
    assert await dispatched(redis, Role.SUBMIT) == [job.id]
    assert await redis.hgetall(keys.account(ACCOUNT)) == {}  # type: ignore[misc]
    assert await kinds(ops_log) == [("account_parked", "key1"), ("account_resumed", "key2")]


async def test_what_is_done_twice_is_one_ops_event(accounts: RedisAccounts, ops_log: RedisOpsLog) -> None:
    for _ in range(2):
        await accounts.pause("maintenance", "key1")
    for _ in range(2):
        await accounts.resume("key1")
    assert await kinds(ops_log) == [("account_parked", "key1"), ("account_resumed", "key1")]


async def test_fewer_slots_and_a_pause_are_shown(redis: Redis, accounts: RedisAccounts) -> None:
    await redis.hset(keys.account(ACCOUNT), mapping={"slots": 2, "hold_until": 77})  # type: ignore[misc]
    assert await accounts.read() == (Account(slots=2, state=AccountState.SLOWED), None)


async def test_a_time_to_wait_is_shown_until_it_has_passed(redis: Redis, accounts: RedisAccounts) -> None:
    seconds, _ = await redis.time()
    later = (seconds + 600) * 1000
    await redis.hset(keys.account(ACCOUNT), "hold_until", later)  # type: ignore[misc]
    assert await accounts.read() == (Account(slots=4, hold_until=later, state=AccountState.HELD), None)
    await redis.hset(keys.account(ACCOUNT), "hold_until", (seconds - 1) * 1000)  # type: ignore[misc]
    assert await accounts.read() == (Account(slots=4), None)


async def test_while_the_service_is_paused_an_account_is_stopped(
    accounts: RedisAccounts, lanes: Lanes
) -> None:
    await lanes.pause_all("a while", "key1")
    assert (await accounts.read())[0].state is AccountState.STOPPED
    await accounts.pause("maintenance", "key1")
    assert (await accounts.read())[0].state is AccountState.PAUSED


async def test_more_slots_than_are_configured_now_are_not_shown(
    redis: Redis, accounts: RedisAccounts
) -> None:
    await redis.hset(keys.account(ACCOUNT), "slots", "9")  # type: ignore[misc]
    assert (await accounts.read())[0].slots == 4


async def test_an_account_that_is_not_paused_shows_no_pause(accounts: RedisAccounts) -> None:
    assert await accounts.read() == (Account(slots=4), None)


async def test_what_the_upstream_refused_is_shown_with_the_time_of_the_next_probe(
    jobs: RedisJobStore, redis: Redis, accounts: RedisAccounts, accept: Accept
) -> None:
    job = await accept()
    claimed = await jobs.claim(await held(redis, Role.SUBMIT, job.id), "run-1")
    assert claimed
    refused = JudgeAccount("refused", status=402, code="NoCredit", reason="no credit")
    await jobs.apply(
        claimed, Transition(JobEvent.UPSTREAM_BUSY, effects=[GiveBackSlot(3_600_000, "main"), refused])
    )
    account, pause = await accounts.read()
    assert account.paused_at is not None
    assert pause == Pause("upstream", 402, "NoCredit", account.paused_at + 30_000)
    await redis.hset(keys.account(ACCOUNT), "probe_at", "77")  # type: ignore[misc]
    _, pause = await accounts.read()
    assert pause == Pause("upstream", 402, "NoCredit", 77)


async def test_what_an_operator_paused_is_shown_with_the_key_and_without_a_next_probe(
    accounts: RedisAccounts,
) -> None:
    await accounts.pause("maintenance", "key1")
    _, pause = await accounts.read()
    assert pause == Pause("key1", None, None, None)


@pytest.mark.parametrize(("seconds", "slots"), [(0, 1), (29, 1), (31, 2), (61, 3), (10_000, 4)])
async def test_slots_come_back_one_an_interval_since_the_cut(
    redis: Redis, accounts: RedisAccounts, seconds: int, slots: int
) -> None:
    now, _ = await redis.time()
    cut = {"slots": 1, "cut_at": (now - seconds) * 1000}
    await redis.hset(keys.account(ACCOUNT), mapping=cut)  # type: ignore[misc]
    assert (await accounts.read())[0].slots == slots
