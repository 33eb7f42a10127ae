"""The gateway as a process: what it says when it starts and ends, and when its port is taken."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.gateway.web.test_process import environment, free_port

pytestmark = pytest.mark.processes


def test_a_port_in_use_is_a_wrong_setting(redis_url: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "gateway"],
            env=environment(redis_url, port, tmp_path),
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert ended.returncode == 2
    assert f"GATEWAY_PORT: 127.0.0.1 port {port} is in use" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_it_says_where_it_listens_and_that_it_stopped(redis_url: str, tmp_path: Path) -> None:
    port = free_port()
    chosen = environment(redis_url, port, tmp_path)
    command = [sys.executable, "-m", "gateway"]
    with subprocess.Popen(command, env=chosen, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = []
        for text in process.stderr:
            lines.append(json.loads(text))
            if lines[-1]["event"] == "gateway_ready":
                process.send_signal(signal.SIGTERM)
    ready = next(line for line in lines if line["event"] == "gateway_ready")
    assert (ready["host"], ready["port"]) == ("127.0.0.1", port)
    assert ready["version"] == version("vidu-gateway")
    assert lines[-1]["event"] == "gateway_stopped"
