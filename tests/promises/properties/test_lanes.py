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


@pytest.mark.timeout(7200)
def test_lanes_lose_nothing_and_serve_alike_within_every_limit(redis_url: str, tmp_path: Path) -> None:
    server, seen = Server(redis_url), Counter[str]()
    machine: Any = lambda: LanesMachine(server, tmp_path, seen)  # noqa: E731
    run_state_machine_as_test(machine, settings=effort(12, 40))
    server.close()
    wanted = {"probe", "came back", "served alike", "later moved", "done moved", "accepted moved"}
    missing = wanted - set(seen)
    assert not missing, f"never happened: {missing}"
