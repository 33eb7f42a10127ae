"""Every command of docs/webhooks.md is run as it stands there, against the real service."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.commands import api
from tests.extras import missing
from tests.nursery import Nursery
from tests.processes import ORDER, Machine, free_port, machine
from tests.test_webhook_examples import EXAMPLES, started

PAGE = Path(__file__).parents[1] / "docs" / "webhooks.md"
# A refusal fails the script. A stream goes on for ever: two seconds of it will do.
_PRELUDE = """set -e
curl() {
  case "$*" in
    *" -N "*|"-N "*) code=0; command curl -sS -f --max-time 2 "$@" || code=$?; test $code = 0 -o $code = 28 ;;
    *) command curl --fail-with-body --max-time 20 "$@" ;;
  esac
}
"""


def blocks() -> list[str]:
    """Those that call the gateway. The subscriber that one of them starts is started by the test."""
    found = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.S)
    return [re.sub(r"^python .*&\n", "", block, flags=re.M) for block in found if "curl " in block]


def run(made: Machine, script: str, **variables: str) -> str:
    """What it printed, errors included; AssertionError when a command failed."""
    known = {"GATEWAY": made.gateway, "KEY": made.key, **variables}
    ended = subprocess.run(
        ["sh", "-c", _PRELUDE + script],
        cwd=made.folder,
        env={**os.environ, **known},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, f"{script}\n{ended.stdout}"
    return ended.stdout


def delivered(made: Machine, endpoint: str, attempts: int) -> str:
    """The id of the endpoint's one delivery, when its subscriber has taken it so often."""
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = api.ask("GET", f"{made.gateway}/v1/deliveries?endpoint={endpoint}", made.key)["data"]
        if [(one["state"], one["attempts"]) for one in found] == [("delivered", attempts)]:
            return str(found[0]["id"])
        time.sleep(0.05)
    raise AssertionError(f"it was not delivered: {found}")


@pytest.mark.processes
@pytest.mark.timeout(120)
def test_every_command_works_in_the_order_of_the_page(tmp_path: Path, nursery: Nursery) -> None:
    if shutil.which("curl") is None:
        missing("curl, with which docs/webhooks.md calls the gateway")
    port = str(free_port())
    hour_ago = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    register, test, *rest = (
        block.replace("3000", port).replace("2026-11-22T08:00:00Z", hour_ago) for block in blocks()
    )
    with machine(tmp_path, nursery) as made:
        made.start_sandbox()
        made.start_gateway()
        made.start_workers()
        run(made, register)
        endpoint = json.loads((tmp_path / "endpoint.json").read_text())
        command = [sys.executable, str(EXAMPLES / "subscriber.py"), port]
        with started(command, tmp_path, endpoint["secret"]) as subscriber:
            assert json.loads(run(made, test, ENDPOINT=endpoint["id"]))["delivered"] is True
            subscriber.line_with("kept: evt_test_")
            job = api.ask("POST", f"{made.gateway}/v1/jobs", made.key, ORDER)["id"]
            subscriber.line_with("done: job.completed", job)
            known = {"ENDPOINT": endpoint["id"], "JOB": job}
            known["DELIVERY"] = delivered(made, endpoint["id"], 1)
            told = "".join(run(made, block, **known) for block in rest)
            assert "duplicate:" in subscriber.line_with("duplicate:", job.removeprefix("job_"))
            assert delivered(made, endpoint["id"], 2) == known["DELIVERY"]
    for part in (
        '"disabled_at":null',
        '"trigger":"manual"',
        '"id":"rec_',
        '"secret":"whsec_',
        "event: job.completed",
    ):
        assert part in told
