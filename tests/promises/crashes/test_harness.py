"""The simulation itself: what a kill, a freeze and a lost reply are, and that planted bugs are seen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence

import pytest

from gateway.errors import StoreUnavailable
from gateway.jobs import Job
from gateway.lifecycle import JobEvent
from gateway.store.effects import GiveBackSlot, UnsetFields
from gateway.store.transitions import Transition
from tests.promises.crashes.campaign import SCENARIOS, singles
from tests.promises.crashes.faults import Action, Fault, Plan, SimulatedProcess
from tests.promises.crashes.invariants import violations
from tests.promises.crashes.loop import Deadlock, VirtualLoop
from tests.promises.crashes.store import Server
from tests.promises.crashes.world import run
from workers.release_gate import ReleaseGate
from workers.sweep import Sweeper


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    with contextlib.closing(VirtualLoop()) as made:
        yield made


def process_on(loop: VirtualLoop, *faults: Fault) -> SimulatedProcess:
    return SimulatedProcess("worker", loop, Plan(faults), 1, lambda _: None)


async def steps(process: SimulatedProcess, seen: list[str]) -> None:
    beside = asyncio.create_task(tick(seen))
    try:
        await process.reach("here")
        seen.append("went on")
    except StoreUnavailable:
        seen.append("lost")
    finally:
        seen.append("finally")
        beside.cancel()


async def tick(seen: list[str]) -> None:
    while True:
        seen.append("tick")
        await asyncio.sleep(5)


async def watched(process: SimulatedProcess, seconds: float, seen: list[str]) -> list[str]:
    """What a process did within so many seconds; afterwards its tasks are ended for good."""
    process.start(steps(process, seen))
    await asyncio.sleep(seconds)
    so_far = list(seen)
    process.bury()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.sleep(0)
    return so_far


def test_an_hour_takes_no_time_and_is_exact(loop: VirtualLoop) -> None:
    loop.run_until_complete(asyncio.sleep(3600))
    assert loop.time() == pytest.approx(3600)


def test_nothing_left_to_happen_is_a_deadlock(loop: VirtualLoop) -> None:
    waiting = loop.create_future()
    with pytest.raises(Deadlock):
        loop.run_until_complete(waiting)


def test_a_killed_process_runs_no_finally_and_no_timer(loop: VirtualLoop) -> None:
    process = process_on(loop, Fault("here", Action.KILL))
    assert loop.run_until_complete(watched(process, 600, [])) == []
    assert process.dead


def test_a_frozen_process_goes_on_where_it_was(loop: VirtualLoop) -> None:
    process = process_on(loop, Fault("here", Action.FREEZE))
    assert loop.run_until_complete(watched(process, 39, [])) == []
    again = process_on(loop, Fault("here", Action.FREEZE))
    assert loop.run_until_complete(watched(again, 41, []))[:2] == ["went on", "finally"]


def test_a_lost_reply_is_an_error_of_the_store(loop: VirtualLoop) -> None:
    process = process_on(loop, Fault("here", Action.LOSE))
    assert loop.run_until_complete(watched(process, 1, [])) == ["lost", "finally"]


def test_the_second_fault_waits_for_the_first() -> None:
    plan = Plan([Fault("b", Action.KILL), Fault("a", Action.LOSE, nth=2)])
    met = [plan.meet(point) for point in "aabaa"]
    assert met == [None, None, Action.KILL, None, Action.LOSE]


def broken_by(server: Server, name: str, points: Sequence[str]) -> set[str]:
    """What single faults at these points break, in the first words of each sentence."""
    calm = run(server, SCENARIOS[name])
    plans = [(fault,) for fault in singles(calm) if fault.point in points]
    reports = [calm, *(run(server, SCENARIOS[name], plan) for plan in plans)]
    return {found for report in reports for found in violations(report)}


Change = Callable[[str, str], str]


def replaced(verb: str, old: str, new: str) -> Change:
    def change(name: str, source: str) -> str:
        if name != verb:
            return source
        assert old in source
        return source.replace(old, new)

    return change


@pytest.mark.parametrize(
    ("change", "name", "points"),
    [
        (replaced("release", "then return 0 end", "then return 1 end"), "plain", ["claimed.after"]),
        (
            replaced("lanes", "HDEL', r .. ':holders', ticket", "HGET', r .. ':holders', ticket"),
            "plain",
            [],
        ),
        (
            replaced("effects", "do lanes.finish(done.role, done.ticket) end", "do local _ = done end"),
            "plain",
            [],
        ),
        (
            replaced("transitions", "if before then records.count_state(kind, before, -1) end", ""),
            "plain",
            [],
        ),
    ],
    ids=[
        "a gate without a fence",
        "holders are kept",
        "an end keeps its slot",
        "counters only rise",
    ],
)
def test_a_bug_in_a_script_is_seen(redis_url: str, change: Change, name: str, points: Sequence[str]) -> None:
    with contextlib.closing(Server(redis_url, change)) as server:
        assert broken_by(server, name, points)


def test_a_sweep_that_calls_a_released_submission_unpaid_is_seen(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unpaid(self: Sweeper, job: Job) -> Transition:
        return Transition(JobEvent.CLAIM_LOST, effects=[UnsetFields(["released_at"]), GiveBackSlot(0)])

    monkeypatch.setattr(Sweeper, "_lease_lost", unpaid)
    found = broken_by(server, "plain", ["submit.last_byte.after"])
    assert "it was paid for 2 times, with 0 resubmissions chosen" in found


def test_a_gate_that_nobody_asks_is_seen(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def open_gate(self: ReleaseGate) -> None:
        """Passes without a release."""

    monkeypatch.setattr(ReleaseGate, "__call__", open_gate)
    found = broken_by(server, "plain", [])
    assert "task_1 was charged, and no release of its submission was recorded" in found
