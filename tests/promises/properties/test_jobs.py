"""Any order of what may happen to jobs leaves the store as the documents say."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis.stateful import run_state_machine_as_test
from structlog.testing import capture_logs

from gateway.store.base import CallbackOutcome, Outcome
from tests.promises.crashes.store import Server
from tests.promises.properties.jobs_machine import JobsMachine
from tests.promises.properties.profile import effort
from tests.promises.properties.stage import ACCOUNTS
from tests.promises.properties.tours import TOURS

#: Every outcome and effect, and every branch that is easily missed.
MUST_HAPPEN = (
    {f"outcome {outcome}" for outcome in Outcome if outcome is not Outcome.ON_HOLD}  # needs two servers
    | {f"effect {effect}" for effect in CallbackOutcome}
    | {f"answer {kind}" for kind in ("accepted", "busy", "busy, later", "refused", "rejected", "unknown")}
    | {f"polled {state}" for state in ("submitted", "completed", "failed", "unknown", "queued", "canceled")}
    | {"failover", *(f"{what} {name}" for what in ("bound to", "polled with") for name in ACCOUNTS)}
    | {"decided", "forgotten", "full", "heavy", "let go moved", "mismatch", "replayed key", "sent again"}
)


@pytest.mark.timeout(7200)
def test_jobs_are_as_the_model_says_after_every_step(redis_url: str, tmp_path: Path) -> None:
    server, seen = Server(redis_url), Counter[str]()
    machine: Any = lambda: JobsMachine(server, tmp_path, seen)  # noqa: E731
    with capture_logs():
        for tour in TOURS:
            tour(machine())
        run_state_machine_as_test(machine, settings=effort(80, 40))
    server.close()
    missing = MUST_HAPPEN - set(seen)
    assert not missing, f"the search was too shallow: never happened: {missing}"
