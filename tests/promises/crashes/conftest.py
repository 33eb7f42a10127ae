"""A server for the simulated runs, and what the single faults of a scenario came to."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from tests.effort import SCALE
from tests.promises.crashes.campaign import PAIRED, SCENARIOS, SHORT_ACTIONS, singles
from tests.promises.crashes.store import Server
from tests.promises.crashes.world import Report, run

SEED = 1
Explore = Callable[[str], list[Report]]


@pytest.fixture(scope="module")
def server(redis_url: str) -> Iterator[Server]:
    with contextlib.closing(Server(redis_url)) as opened:
        yield opened


@pytest.fixture(scope="module")
def explored(server: Server) -> Explore:
    """The runs of a scenario without a fault, and with a seventh or a tenth of the single ones (`make
    crashes`, and any FAULT_SCALE, tries them all); each scenario is run once."""
    known: dict[str, list[Report]] = {}

    def explore(name: str) -> list[Report]:
        if name not in known:
            calm = run(server, SCENARIOS[name], (), SEED)
            # At a point there are four actions, or three: each step meets all of them, from point to point.
            faults, step = (singles(calm), 7) if name in PAIRED else (singles(calm, SHORT_ACTIONS), 10)
            faults = faults if SCALE else faults[::step]
            known[name] = [calm, *(run(server, SCENARIOS[name], (fault,), SEED) for fault in faults)]
        return known[name]

    return explore
