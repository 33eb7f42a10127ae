"""The command line as a person meets it, in processes of its own. Those of `run` come from the nursery."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Protocol

import pytest

from gateway.keyring import Keyring
from gateway.local.valkey import valkey
from tests.gateway.local.test_valkey import eventually, is_gone
from tests.nursery import Nursery


def vidu_gateway(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway.cli", *words]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "COLUMNS": "200", **environment},
    )


class Run(Protocol):
    def __call__(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def run(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """As `vidu_gateway`, in a process that need not import anything."""
    folder = tmp_path_factory.mktemp("run")
    numbers = count()

    def run_words(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        out, err = (folder / f"{name}-{next(numbers)}" for name in ("out", "err"))
        chosen = {**os.environ, "COLUMNS": "200", **environment}
        code = nursery.spawn(["gateway.cli", *words], chosen, out, err).wait(100)
        return subprocess.CompletedProcess(words, code, out.read_text(), err.read_text())

    return run_words


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def free() -> list[int]:
    probes = [socket.socket() for _ in range(2)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def descendants(pid: int) -> list[int]:
    """Of the process and of all its threads, the children and theirs."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            found += [child, *descendants(child)]
    return found


def test_help_names_the_commands() -> None:
    shown = vidu_gateway("--help")
    assert shown.returncode == 0
    assert " up " in shown.stdout
    assert " demo " in shown.stdout


def test_the_version_is_the_packages() -> None:
    from importlib.metadata import version

    assert vidu_gateway("--version").stdout == f"vidu-gateway {version('vidu-gateway')}\n"


def test_the_command_line_loads_nothing_heavy() -> None:
    heavy = ("redis", "pydantic_core", "starlette", "httpx", "aiohttp", "arq", "av", "asyncio", "http.client")
    script = f"import sys, gateway.cli; print([name for name in {heavy!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


@pytest.mark.parametrize("option", ["--port", "--sandbox-port"])
def test_a_port_in_use_is_named_with_its_option(
    option: str, taken: int, free: list[int], tmp_path: Path, run: Run
) -> None:
    other = "--sandbox-port" if option == "--port" else "--port"
    words = ("up", "--data-dir", str(tmp_path / "data"), option, str(taken), other, str(free[0]))
    refused = run(*words)
    assert refused.returncode == 1
    assert f"port {taken} (Address already in use): choose another with {option}\n" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "data").exists()


def test_a_data_directory_that_is_a_file_is_refused_in_a_sentence(
    free: list[int], tmp_path: Path, run: Run
) -> None:
    (tmp_path / "data").write_text("")
    words = ("--data-dir", str(tmp_path / "data"), "--port", str(free[0]), "--sandbox-port", str(free[1]))
    refused = run("up", *words)
    assert refused.returncode == 1
    assert "--data-dir" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_keys_are_made_and_listed_by_the_data_directory(tmp_path: Path, run: Run) -> None:
    (tmp_path / "secret-keys").write_text(Keyring.generate())
    where = ("--data-dir", str(tmp_path))
    with valkey(tmp_path / "valkey") as server:
        (tmp_path / "redis-url").write_text(server.url)
        made = vidu_gateway("keys", "create", "--tenant", "acme", *where)
        assert made.returncode == 0, made.stderr
        assert any(line.startswith("vgw_") and " " not in line for line in made.stdout.splitlines())
        _, listed = run("keys", "list", *where).stdout.splitlines()
        key_id = listed.split()[0]
        assert f"id      {key_id}\n" in made.stdout
        assert listed.endswith(" endpoints:write jobs:read jobs:write")
        assert run("keys", "revoke", key_id, *where).returncode == 0
        [row] = run("keys", "list", *where, "--json").stdout.splitlines()
        assert json.loads(row)["revoked_at"] in run("keys", "list", *where).stdout


def test_keys_and_tenants_take_secrets_from_files(tmp_path: Path, run: Run) -> None:
    with valkey(tmp_path / "valkey") as server:
        for name, value in (("SECRET_KEYS", Keyring.generate()), ("REDIS_URL", server.url)):
            (tmp_path / name).write_text(f"{value}\n")
        files = {f"GATEWAY_{name}_FILE": str(tmp_path / name) for name in ("SECRET_KEYS", "REDIS_URL")}
        assert run("keys", "create", "--tenant", "acme", **files).returncode == 0
        assert "acme" in run("tenants", "list", **files).stdout
        files["GATEWAY_REDIS_URL_FILE"] = str(tmp_path / "none")
        refused = run("tenants", "list", **files)
        assert (refused.returncode, "Traceback" in refused.stderr) == (1, False)
        assert f"GATEWAY_REDIS_URL_FILE: cannot read {tmp_path / 'none'}" in refused.stderr


def test_a_directory_of_no_service_has_no_keys(tmp_path: Path, run: Run) -> None:
    refused = run("keys", "list", "--data-dir", str(tmp_path))
    assert refused.returncode == 1
    assert "vidu-gateway up" in refused.stderr


def test_a_key_cannot_be_made_without_a_keyring(run: Run) -> None:
    refused = run("keys", "create", "--tenant", "acme", GATEWAY_SECRET_KEYS="", COLUMNS="200")
    assert refused.returncode == 2
    assert "GATEWAY_SECRET_KEYS" in refused.stderr


def test_one_port_cannot_serve_both(free: list[int], tmp_path: Path, run: Run) -> None:
    words = ("up", "--data-dir", str(tmp_path), "--port", str(free[0]), "--sandbox-port", str(free[0]))
    assert "--port and --sandbox-port must differ" in run(*words).stderr


def test_the_real_upstream_needs_a_key(run: Run) -> None:
    refused = run("up", "--upstream-url", "https://upstream.example", GATEWAY_UPSTREAM_KEY="")
    assert refused.returncode == 2
    assert "--upstream-key" in refused.stderr


def test_a_folder_that_is_not_there_is_refused_before_anything_starts(tmp_path: Path, run: Run) -> None:
    refused = run("demo", "--output", str(tmp_path / "none" / "demo.mp4"), TMPDIR=str(tmp_path))
    assert refused.returncode == 1
    assert "there is no folder" in refused.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.processes
def test_the_demo_ends_with_a_video_and_a_verified_webhook(tmp_path: Path) -> None:
    video = tmp_path / "demo.mp4"
    words = ("demo", "--json", "--duration", "2", "--resolution", "540p", "--aspect-ratio", "1:1")
    shown = vidu_gateway(*words, "--output", str(video), TMPDIR=str(tmp_path))
    assert shown.returncode == 0, shown.stderr
    result = json.loads(shown.stdout.splitlines()[-1])
    assert result["webhook_verified"] is True
    assert result["width"] == result["height"]
    assert result["seconds"] == pytest.approx(2, abs=0.1)
    assert result["job"]["status"] == "completed"
    assert {"queued", "submitting", "rendering", "delivering", "total"} <= set(result["timings"])
    assert list(tmp_path.iterdir()) == [video]


@pytest.mark.processes
def test_the_demo_shows_what_was_refused_and_keeps_the_logs(tmp_path: Path) -> None:
    shown = vidu_gateway(
        "demo", "--duration", "11", "--output", str(tmp_path / "v.mp4"), TMPDIR=str(tmp_path)
    )
    assert shown.returncode == 1
    assert "duration" in shown.stderr
    logs = Path(shown.stderr.split("The logs are in ")[1].strip())
    assert (logs / "gateway.log").exists()


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_interrupted_says_so_and_leaves_nothing_running(
    number: signal.Signals, tmp_path: Path
) -> None:
    words = ("demo", "--output", str(tmp_path / "v.mp4"))
    environment = {**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "200"}
    command = [sys.executable, "-m", "gateway.cli", *words]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as running:
        eventually(lambda: any(tmp_path.glob("*/logs/gateway.log")))  # all of its processes have been started
        pids = descendants(running.pid)
        running.send_signal(number)
        assert running.stderr is not None
        said = running.stderr.read()
    assert running.returncode == 1
    assert "interrupted" in said
    assert "Traceback" not in said
    assert pids
    eventually(lambda: all(is_gone(pid) for pid in pids))


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_up_leaves_nothing_running(number: signal.Signals, free: list[int], tmp_path: Path) -> None:
    words = ["--data-dir", str(tmp_path / "data"), "--port", str(free[0]), "--sandbox-port", str(free[1])]
    words += [] if number == signal.SIGINT else ["--render", "none"]  # once with all, which takes long
    command = [sys.executable, "-m", "gateway.cli", "up", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if line.startswith("curl "):
                break
        pids = descendants(running.pid)
        assert len(pids) >= 4  # valkey, sandbox, workers, gateway
        kept = [tmp_path / "data", *(tmp_path / "data").rglob("*")]
        assert all(path.stat().st_mode & 0o077 == 0 for path in kept)
        posted = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
        assert json.loads(posted.stdout)["status"] in ("queued", "in_progress")
        running.send_signal(number)
        running.stdout.read()
    assert running.returncode == (-number if number == signal.SIGKILL else 0)
    eventually(lambda: all(is_gone(pid) for pid in pids))
