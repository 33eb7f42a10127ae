"""Whatever one process does at whatever point, and another after it: no promise is broken.

Here it is a slice of all; `make crashes` tries every fault, and more of the pairs.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.effort import scaled
from tests.promises.crashes.campaign import PAIRED, SCENARIOS, pairs, sample
from tests.promises.crashes.conftest import SEED, Explore
from tests.promises.crashes.faults import Action, Fault
from tests.promises.crashes.invariants import explain, outcomes, violations
from tests.promises.crashes.store import Server
from tests.promises.crashes.world import run

pytestmark = pytest.mark.timeout(600)  # a test is hundreds of runs, and the machine may be busy

_SLICE = scaled(6)

#: Effects around which something must have gone wrong, or the runs prove nothing.
_EFFECTS = {
    "accept",
    "attempt_succeeded",
    "begin_confirm",
    "begin_delivery",
    "callback",
    "claim_confirm",
    "claim_deliver",
    "claim_lost",
    "claim_submit",
    "claimed",
    "deadline_passed",
    "deliver",
    "dispatch",
    "expired_leases",
    "late_success",
    "outcome_lost",
    "postpone",
    "query",
    "release",
    "renew",
    "resubmit_chosen",
    "redispatch",
    "submit.last_byte",
    "upstream_accepted",
    "upstream_succeeded",
}
_OUTCOMES = {
    "completed",
    "failed(submission_unknown)",
    "late result",
    "requeued for free",
    "resubmitted",
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_single_fault_breaks_a_promise(explored: Explore, name: str) -> None:
    for report in explored(name):
        found = violations(report)
        assert not found, explain(report, found)
        assert len(report.fired) == len(report.faults), f"never happened: {report.replay}"


@pytest.mark.parametrize("name", PAIRED)
def test_no_pair_of_faults_breaks_a_promise(server: Server, explored: Explore, name: str) -> None:
    for plan in sample(pairs(explored(name)[1:]), _SLICE, SEED):
        report = run(server, SCENARIOS[name], plan, SEED)
        found = violations(report)
        assert not found, explain(report, found)
        assert len(report.fired) == 2, f"never happened: {report.replay}"


def test_what_matters_was_reached(explored: Explore) -> None:
    reports = [report for name in PAIRED for report in explored(name)]
    reached = {point for report in reports for point in report.trace}
    assert {f"{name}.{side}" for name in _EFFECTS for side in ("before", "after")} <= reached
    assert "submit.answered" in reached
    came = Counter(outcome for report in reports for outcome in outcomes(report))
    assert set(came) >= _OUTCOMES


@pytest.mark.parametrize(
    ("name", "plan"),
    [
        ("plain", ()),
        ("plain", (Fault("release.after", Action.KILL),)),
        ("early", (Fault("upstream_accepted.before", Action.FREEZE),)),
        ("resubmit", (Fault("submit.answered", Action.LOSE), Fault("resubmit_chosen.after", Action.KILL))),
        ("late", (Fault("submit.last_byte.before", Action.COMA), Fault("callback.after", Action.LOSE))),
    ],
)
def test_a_run_is_the_same_again(server: Server, name: str, plan: tuple[Fault, ...]) -> None:
    once, again = (run(server, SCENARIOS[name], plan, SEED) for _ in range(2))
    assert once == again
    assert len(once.fired) == len(plan)
