"""Transitions: what their guards compare, and that effects are applied in one order, whatever theirs."""

from __future__ import annotations

import itertools
import re

import pytest
from redis.asyncio import Redis

from gateway import events
from gateway.dispatch import Role, Ticket
from gateway.jobs import confirm_ticket, submit_ticket
from gateway.lifecycle import DeliveryState, JobEvent, JobState
from gateway.store import arguments, keys, script_library
from gateway.store.base import Outcome
from gateway.store.deliveries import RedisDeliveryStore
from gateway.store.effect_base import Effect
from gateway.store.effects import (
    ORDER,
    AddToFields,
    BindTask,
    EndHoldAfter,
    Finish,
    GiveBackSlot,
    HoldSlot,
    OweEvent,
    PollAfter,
    RecordHistory,
    SetFields,
    Tally,
    UnsetFields,
    UseResubmission,
)
from gateway.store.jobs import RedisJobStore
from gateway.store.transitions import Guard, Transition
from tests.gateway.store.conftest import ROLES, Accept, held, new_job

_PARTS = script_library.parts()
_LUA = _PARTS["effects"]
_NAMES = [effect.name for effect in ORDER]
_HEADER = _LUA[: _LUA.index("\nlocal ")]
_CODE = "".join(_PARTS.values())


def _first_seen(names: list[str]) -> list[str]:
    return list(dict.fromkeys(name for name in names if name in _NAMES))


def _function(name: str) -> str:
    found = re.search(rf"^(?:local )?function (?:\w+\.)?{name}\(.*?^end$", _CODE, re.MULTILINE | re.DOTALL)
    assert found, name
    return found[0]


def test_the_header_of_the_effects_in_lua_lists_them_in_the_order_of_python() -> None:
    assert _first_seen(re.findall(r"\w+", _HEADER)) == _NAMES


def test_lua_applies_the_effects_in_that_order() -> None:
    steps = [_function(name) for name in ("settled_already", "write_fields", "record_history")]
    after = _function("apply")
    applied = [
        re.findall(r"(?:effects|wanted)\.(\w+)", text)
        for text in (*steps, after[after.index("change_state(key") :])
    ]
    assert _first_seen(list(itertools.chain(*applied))) == _NAMES


def _many(job_event_at: int) -> list[Effect]:
    return [
        *(SetFields({"progress": 0.5}), AddToFields({"polls": 1}), UnsetFields(["evidence"])),
        *(RecordHistory("why", "key1"), BindTask("task_1"), HoldSlot(), EndHoldAfter(60_000)),
        *(PollAfter(job_event_at), Tally(["submissions|accepted"])),
    ]


def test_the_order_of_the_list_makes_no_difference() -> None:
    job, effects = new_job(), _many(5)
    forwards = Transition(JobEvent.UPSTREAM_ACCEPTED, effects=effects)
    backwards = Transition(JobEvent.UPSTREAM_ACCEPTED, effects=effects[::-1])
    documents = [arguments.job_transition(job, one, ROLES) for one in (forwards, backwards)]
    assert documents[0] == documents[1]
    assert documents[0]["effects"].keys() == {effect.name for effect in effects}


@pytest.mark.parametrize("turned", [False, True])
async def test_a_slot_is_given_back_before_what_waits_is_dispatched(
    redis: Redis, jobs: RedisJobStore, accept: Accept, turned: bool
) -> None:
    first, second, third = [await accept() for _ in range(3)]
    claimed = await jobs.claim(await held(redis, Role.SUBMIT, first.id))
    assert claimed
    effects: list[Effect] = [Tally(["submissions|held_back"]), GiveBackSlot(60_000)]
    lost = Transition(JobEvent.CLAIM_LOST, effects=effects[::-1] if turned else effects)
    assert (await jobs.apply(claimed, lost)).outcome is Outcome.MOVED
    holders = await redis.hkeys("{gw}:submit:holders")  # type: ignore[misc]
    assert sorted(holders) == sorted(str(submit_ticket(job)) for job in (second, third))
    assert await redis.hget(keys.TALLY, "submissions|held_back") == "1"  # type: ignore[misc]


async def test_a_transition_that_is_fenced_applies_nothing(
    redis: Redis, jobs: RedisJobStore, deliveries: RedisDeliveryStore, accept: Accept
) -> None:
    job = await accept(callback_url="https://client.example.com/hook")
    claimed = await jobs.claim(await held(redis, Role.SUBMIT, job.id))
    assert claimed
    before = await redis.hgetall(keys.job(job.id))  # type: ignore[misc]
    owing = OweEvent(events.make(new_job(id=job.id, state=JobState.FAILED, finished_at=1), None))
    effects = [SetFields({"progress": 1}), GiveBackSlot(0), owing, Tally(["submissions|x"])]
    fenced = Transition(JobEvent.UPSTREAM_REJECTED, Guard({"epoch": 7}), effects)
    assert (await jobs.apply(claimed, fenced)).outcome is Outcome.FENCED
    assert await redis.hgetall(keys.job(job.id)) == before  # type: ignore[misc]
    assert await redis.zcard(keys.slots(Role.SUBMIT)) == 1
    assert await redis.hget(keys.TALLY, "submissions|x") is None  # type: ignore[misc]
    assert await deliveries.of_job(job.id) == []


async def test_what_is_done_with_stays_when_the_event_was_refused_and_the_job_goes_on(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await accept()
    done = Finish([submit_ticket(job), confirm_ticket(job)])
    refused = Transition(JobEvent.UPSTREAM_SUCCEEDED, effects=[done, PollAfter(0)])
    assert (await jobs.apply(job, refused)).outcome is Outcome.REFUSED
    assert await redis.zcard(keys.slots(Role.SUBMIT)) == 1
    assert await redis.zcard(keys.due(Role.CONFIRM)) == 0


async def test_over_budget_nothing_is_done(redis: Redis, jobs: RedisJobStore, accept: Accept) -> None:
    job = await accept()
    effects = [UseResubmission("2026-11-22", 0), SetFields({"progress": 1})]
    over = Transition(JobEvent.CANCEL_REQUESTED, effects=effects)
    assert (await jobs.apply(job, over)).outcome is Outcome.OVER_BUDGET
    found = await jobs.read(job.id)
    assert found
    assert (found.state, found.progress) == (JobState.QUEUED, None)


@pytest.mark.parametrize("state", [*JobState, *DeliveryState])
def test_no_script_names_a_state(state: str) -> None:
    """But for names of what is stored: the fields of a sample and of an operators' event, and {gw}:dead."""
    for name, text in {**_PARTS, **script_library.verbs()}.items():
        code = re.sub(r"--[^\n]*|P \.\. 'dead'|'failed', failed", "", text)
        assert name == "record_sample" or f"'{state}'" not in code, name


def test_two_effects_of_a_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="of one kind"):
        Transition(JobEvent.CLAIM_LOST, effects=[GiveBackSlot(0), GiveBackSlot(1)])


def test_guards_compare_more_and_more() -> None:
    job = new_job(state=JobState.SUBMITTING, epoch=3, run="r", released_at=5)
    assert Guard.same_submission(job).fields == {"epoch": 3}
    assert Guard.same_claim(job).fields == {"epoch": 3, "run": "r"}
    assert Guard.same_state(job).fields == {"epoch": 3, "state": "submitting"}
    assert Guard.same_release(job).fields == {"epoch": 3, "state": "submitting", "released_at": 5}
    assert Guard.same_submission(job).without("evidence").fields == {"epoch": 3, "evidence": None}


def test_of_two_guards_both_hold() -> None:
    ticket = Ticket(Role.SUBMIT, "acme", "job_1", 7)
    job = new_job(epoch=3)
    both = Guard.held_by(ticket) & Guard.same_submission(job).without("evidence")
    assert both == Guard({"epoch": 3, "evidence": None}, ticket)


def test_before_its_first_submission_a_job_has_no_epoch() -> None:
    assert Guard.same_state(new_job()).fields == {"epoch": None, "state": "queued"}
