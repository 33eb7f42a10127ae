"""Processes from the nursery end, answer and are seen to end as others do."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import KEYRING
from tests.nursery import Nursery


def test_a_process_has_its_own_environment_log_and_exit_code(nursery: Nursery, tmp_path: Path) -> None:
    for module in ("gateway", "workers"):
        child = nursery.spawn([module], {"GATEWAY_UPSTREAM_SLOTS": "none"}, tmp_path / f"{module}.log")
        assert child.wait(30) == 2
        said = (tmp_path / f"{module}.log").read_text()
        assert "GATEWAY_UPSTREAM_SLOTS" in said
        assert "Warning" not in said


def test_arguments_are_those_of_the_command_line(nursery: Nursery, tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert nursery.spawn(["gateway.cli", "--version"], {}, log).wait(30) == 0
    assert nursery.spawn(["gateway.sandbox", "--port", "many"], {}, log).wait(30) == 2
    assert log.read_text().startswith("vidu-gateway ")
    assert "invalid int value: 'many'" in log.read_text()


def test_a_signal_is_seen_in_the_exit_code_and_a_process_that_ended_takes_none(
    nursery: Nursery, tmp_path: Path, redis_url: str
) -> None:
    environment = {
        "GATEWAY_REDIS_URL": redis_url,
        "GATEWAY_DURABILITY": "assume",
        "GATEWAY_SECRET_KEYS": KEYRING,
        "GATEWAY_UPSTREAM_KEY": "key",
    }
    child = nursery.spawn(["workers"], environment, tmp_path / "log")
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.05)
    child.kill()
    assert child.wait(30) == -signal.SIGKILL
    child.terminate()
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_no_process_outlives_its_nursery(tmp_path: Path, redis_url: str) -> None:
    environment = {
        "GATEWAY_REDIS_URL": redis_url,
        "GATEWAY_DURABILITY": "assume",
        "GATEWAY_SECRET_KEYS": KEYRING,
        "GATEWAY_UPSTREAM_KEY": "key",
    }
    with Nursery() as nursery:
        pid = nursery.spawn(["workers"], environment, tmp_path / "log").pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
