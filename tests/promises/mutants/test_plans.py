"""The simulated runs in which planted bugs showed, made without them: all promises hold."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.promises.crashes.campaign import SCENARIOS
from tests.promises.crashes.faults import Fault
from tests.promises.crashes.invariants import explain, violations
from tests.promises.crashes.store import Server
from tests.promises.crashes.world import run
from tests.promises.mutants.mutant import planned
from tests.promises.mutants.mutants import MUTANTS

_PLANS = dict.fromkeys(
    found for mutant in MUTANTS.values() for test in mutant.caught_by if (found := planned(test))
)


@pytest.fixture(scope="module")
def server(redis_url: str) -> Iterator[Server]:
    with contextlib.closing(Server(redis_url)) as opened:
        yield opened


@pytest.mark.timeout(30)
@pytest.mark.parametrize(("scenario", "faults"), _PLANS, ids=[" ".join(plan) for plan in _PLANS])
def test_a_run_that_showed_a_bug_is_in_order_without_it(server: Server, scenario: str, faults: str) -> None:
    plan = tuple(Fault.parse(part) for part in faults.split(",") if faults != "none")
    report = run(server, SCENARIOS[scenario], plan)
    found = violations(report)
    assert not found, explain(report, found)
    assert len(report.fired) == len(plan), f"never happened: {report.replay}"
