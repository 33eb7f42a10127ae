"""The gateway as a process: what it says when it starts and ends, and when its port is taken."""

from __future__ import annotations

import json
import signal
import socket
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.gateway.web.test_process import environment, eventually, free_port
from tests.nursery import Nursery

pytestmark = pytest.mark.processes


def test_a_port_in_use_is_a_wrong_setting(nursery: Nursery, redis_url: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        child = nursery.spawn(["gateway"], environment(redis_url, port, tmp_path), tmp_path / "log")
        assert child.wait(60) == 2
    said = (tmp_path / "log").read_text()
    assert f"GATEWAY_PORT: 127.0.0.1 port {port} is in use" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("proxies", ["", "127.0.0.0/8"])
def test_it_says_where_it_listens_and_that_it_stopped(
    nursery: Nursery, redis_url: str, tmp_path: Path, proxies: str
) -> None:
    port, log = free_port(), tmp_path / "log"
    chosen = environment(redis_url, port, tmp_path) | {"GATEWAY_TRUSTED_PROXIES": proxies}
    process = nursery.spawn(["gateway"], chosen, log)
    eventually(lambda: "gateway_ready" in log.read_text())
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == -signal.SIGTERM
    lines = [json.loads(text) for text in log.read_text().splitlines()]
    ready = next(line for line in lines if line["event"] == "gateway_ready")
    assert (ready["host"], ready["port"]) == ("127.0.0.1", port)
    assert ready["version"] == version("vidu-gateway")
    assert lines[-1]["event"] == "gateway_stopped"
