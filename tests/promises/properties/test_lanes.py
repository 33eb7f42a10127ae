"""Whatever enters a lane is served, fairly and within every limit, until it leaves."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.promises.crashes.store import Server
from tests.promises.properties.lanes_machine import LanesMachine
from tests.promises.properties.profile import effort
from tests.promises.properties.retries_machine import RetriesMachine


@pytest.mark.timeout(7200)
def test_lanes_lose_nothing_and_serve_alike_within_every_limit(redis_url: str, tmp_path: Path) -> None:
    server, seen = Server(redis_url), Counter[str]()
    machine: Any = lambda: LanesMachine(server, tmp_path, seen)  # noqa: E731
    run_state_machine_as_test(machine, settings=effort(6, 40))
    server.close()
    wanted = {"probe", "came back", "served alike", "later moved", "done moved", "accepted moved"}
    wanted |= {"failover", "sent with main", "sent with second", "probe beside others"}
    missing = wanted - set(seen)
    assert not missing, f"never happened: {missing}"


@pytest.mark.timeout(7200)
def test_retries_and_first_attempts_share_the_slots_and_none_is_kept_waiting(
    redis_url: str, tmp_path: Path
) -> None:
    server, seen = Server(redis_url), Counter[str]()
    machine: Any = lambda: RetriesMachine(server, tmp_path, seen)  # noqa: E731
    run_state_machine_as_test(machine, settings=effort(12, 50))
    server.close()
    full = {"share of all is full", "share of the lane is full", "tenant is full"}
    wanted = {"new", "retry", "recovered", "taking turns", *full, "all served", "dispatched again"}
    missing = wanted - set(seen)
    assert not missing, f"never happened: {missing}"
