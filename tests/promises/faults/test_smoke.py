"""P1 to P4 and P7 under some twenty seeded faults; `make faults` is the same with more of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.promises.faults import checker
from tests.promises.faults.run import run

pytestmark = pytest.mark.processes

_SCALE = 0.1


@pytest.mark.timeout(600)
def test_faults_lose_nothing_and_pay_for_nothing_twice(tmp_path: Path) -> None:
    seed = int(os.environ.get("FAULTS_SEED", "4"))
    figures = run(tmp_path, _SCALE, seed, print)
    found = checker.check(checker.load(tmp_path))
    again = f"make faults SCALE={_SCALE} SEED={seed}; the ledgers are in {tmp_path}"
    assert not found, "\n".join([*map(str, found), again])
    assert figures.kills >= 8
