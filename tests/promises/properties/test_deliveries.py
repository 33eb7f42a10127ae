"""What is owed stays owed until it is delivered, dead or held, and only the newest dispatch may say so."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis.stateful import run_state_machine_as_test
from structlog.testing import capture_logs

from tests.promises.crashes.store import Server
from tests.promises.properties.deliveries_machine import DeliveriesMachine
from tests.promises.properties.profile import effort


@pytest.mark.timeout(7200)
def test_deliveries_are_owed_until_the_newest_dispatch_ends_them(redis_url: str, tmp_path: Path) -> None:
    server, seen = Server(redis_url), Counter[str]()
    machine: Any = lambda: DeliveriesMachine(server, tmp_path, seen)  # noqa: E731
    with capture_logs():
        run_state_machine_as_test(machine, settings=effort(10, 40))
    server.close()
    missing = {"succeeded moved", "failed repeated", "exhausted moved", "disabled moved", "succeeded stale"}
    assert not missing - set(seen), f"never happened: {missing - set(seen)}"
