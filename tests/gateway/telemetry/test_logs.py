"""Log lines of our own and of libraries, as a process writes them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPT = """
import logging, structlog
from gateway.telemetry import logs
logs.configure("info", {form!r})
structlog.get_logger().info("ours", job="job_1")
logging.getLogger("uvicorn.error").error("theirs %s", "too")
logging.getLogger("arq.worker").warning("unheard")
try:
    secret = "very" + "-secret"
    raise ValueError("a fault")
except ValueError:
    structlog.get_logger().exception("failed")
    logging.getLogger("arq.worker").exception("theirs failed")
"""


def written(form: str) -> str:
    command = [sys.executable, "-W", "error", "-c", SCRIPT.format(form=form)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stderr


def test_each_line_is_a_json_object_also_those_of_libraries() -> None:
    lines = [json.loads(line) for line in written("json").splitlines()]
    assert [line["event"] for line in lines] == ["ours", "theirs too", "failed", "theirs failed"]
    assert lines[0]["job"] == "job_1"
    assert (lines[1]["logger"], lines[1]["level"]) == ("uvicorn.error", "error")
    assert all("ValueError: a fault" in line["exception"] for line in lines[2:])
    assert all(line["timestamp"] for line in lines)


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_line_shows_local_variables(form: str) -> None:
    text = written(form)
    assert "ValueError: a fault" in text
    assert "very-secret" not in text
    assert "unheard" not in text
