from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from gateway.sandbox.__main__ import _arguments
from tests.gateway.sandbox.running import CREATE, VIDU_CREATE, VIDU_TASKS, flat, nested
from tests.nursery import Hatchling, Nursery

pytestmark = pytest.mark.processes


@pytest.fixture
def sandbox(nursery: Nursery, tmp_path: Path) -> Iterator[tuple[Hatchling, httpx.Client]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ("--port", str(port), "--data-dir", str(tmp_path), "--key", "k", "--fsync", "--list-payload")
    process = nursery.spawn(["gateway.sandbox", *words, "--concurrency", "0"], os.environ, tmp_path / "log")
    headers = {"Authorization": "Bearer k"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
        until(lambda: answers(client))
        yield process, client
    process.kill()
    process.wait()


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def until(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not is_true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_render_process_outlives_the_sandbox(
    sandbox: tuple[Hatchling, httpx.Client], how: signal.Signals
) -> None:
    process, client = sandbox
    params = {"images": [client.get("/samples").json()["images"][0]], "duration": 8}
    task_id = client.post(CREATE, json=nested(**params)).json()["id"]
    until(lambda: bool(client.get(f"{CREATE}/task/{task_id}").json()["progress"]))
    children = children_of(process.pid)
    assert len(children) == 1
    process.send_signal(how)
    process.wait(timeout=60)
    until(lambda: not is_running(children[0]))


def test_the_options_of_the_vidu_dialect_work(
    sandbox: tuple[Hatchling, httpx.Client],
) -> None:
    _, client = sandbox
    headers = {"Authorization": "Token k"}
    made = client.post(VIDU_CREATE, json=flat(payload="job_1"), headers=headers).json()
    row = client.get(VIDU_TASKS, headers=headers).json()["tasks"][0]
    assert (row["id"], row["state"], row["payload"]) == (made["task_id"], "queueing", "job_1")
    cancel = f"{VIDU_TASKS}/{made['task_id']}/cancel"
    assert client.post(cancel, json={"id": made["task_id"]}, headers=headers).json() == {}


def test_the_event_loop_of_a_real_process_ends_connections_as_asked(
    sandbox: tuple[Hatchling, httpx.Client],
) -> None:
    process, client = sandbox
    broken: dict[str, type[httpx.TransportError]] = {
        "reset_early": httpx.ReadError,
        "drop": httpx.TransportError,
        "truncated": httpx.RemoteProtocolError,
    }
    for fault, error in broken.items():
        client.post("/admin/faults", json={"fault": fault})
        with pytest.raises(error):
            client.post(CREATE, json=nested())
    charged = [line["charged"] for line in client.get("/admin/ledger?kind=post").json()]
    assert charged == [None, None, "0.2750"]
    assert process.poll() is None


def test_a_missing_key_stops_it_from_starting(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gateway.sandbox", "--data-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "--key" in done.stderr


def test_it_listens_on_the_loopback_address_and_demands_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sandbox", "--data-dir", str(tmp_path)])
    monkeypatch.delenv("SANDBOX_KEY", raising=False)
    with pytest.raises(SystemExit):
        _arguments()
    assert "--key" in capsys.readouterr().err
    monkeypatch.setenv("SANDBOX_KEY", "from the environment")
    given = _arguments()
    assert (given.host, given.key) == ("127.0.0.1", "from the environment")
