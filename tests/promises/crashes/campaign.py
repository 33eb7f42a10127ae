"""Which faults are tried: every action at every point of a calm run, and then every second one after it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from typing import Final

from gateway.lifecycle import OnUnknown
from tests.promises.crashes.faults import Action, Fault
from tests.promises.crashes.upstream import Refusal, Scenario
from tests.promises.crashes.world import Report

#: Leases of a query and a delivery are longer than a submission's; grace, 120 s.
SCENARIOS: Final = {
    scenario.name: scenario
    for scenario in (
        Scenario("plain"),
        Scenario("silent", callback_seconds=None),
        Scenario("early", answer_seconds=5, task_seconds=1, callback_seconds=1),
        Scenario("slow", answer_seconds=28, callback_seconds=None),
        Scenario("late", task_seconds=160, callback_seconds=161),
        Scenario("resubmit", on_unknown=OnUnknown.RESUBMIT, callback_seconds=None),
        Scenario("resubmit_late", on_unknown=OnUnknown.RESUBMIT, task_seconds=160, callback_seconds=161),
        Scenario("busy", refusals=(Refusal.BUSY,)),
        Scenario("rejected", refusals=(Refusal.REJECTED,), callback_seconds=None),
        Scenario("failing", fails=True),
        Scenario("two", jobs=2),
    )
}
#: The scenarios whose pairs are tried.
PAIRED: Final = ("plain", "resubmit", "resubmit_late", "slow", "late")
#: All but the one that takes the longest to simulate.
SHORT_ACTIONS: Final = (Action.KILL, Action.FREEZE, Action.LOSE)
#: The second time may differ from the first; what is reached again and again is polling.
_OCCURRENCES: Final = 2
_POLLING: Final = 4


def points(report: Report) -> list[tuple[str, int]]:
    """Every point of the run in the order in which it was reached, and the how manieth time that was."""
    found, seen, often = [], Counter[str](), Counter(report.trace)
    for name in report.trace:
        seen[name] += 1
        if seen[name] <= (_OCCURRENCES if often[name] <= _POLLING else 1):
            found.append((name, seen[name]))
    return found


def singles(calm: Report, actions: Iterable[Action] = Action) -> list[Fault]:
    """Of the points of a run without faults; the longest of them the first times only."""
    return [
        Fault(name, action, nth)
        for name, nth in points(calm)
        for action in actions
        if nth == 1 or action is not Action.COMA
    ]


def seconds_after(report: Report) -> list[Fault]:
    """What may go wrong next, once one thing went wrong: points are reached then that never are in a calm
    run."""
    after = dict.fromkeys(report.trace[report.fired[0] :])
    return [Fault(name, action) for name in after for action in SHORT_ACTIONS]


def pairs(reports: Iterable[Report]) -> list[tuple[Fault, Fault]]:
    """Of the runs with one fault each."""
    return [
        (report.faults[0], second)
        for report in reports
        if report.fired and report.faults[0].nth == 1 and report.faults[0].action in SHORT_ACTIONS
        for second in seconds_after(report)
    ]


def sample(found: list[tuple[Fault, Fault]], most: int, seed: int) -> list[tuple[Fault, Fault]]:
    """The same ones for the same seed; all when there are no more."""
    return found if len(found) <= most else random.Random(seed).sample(found, most)
