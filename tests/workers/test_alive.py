"""The file that a probe looks at: fresh while all loops turn, whatever Redis does; stale when one hangs."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.errors import ConfigurationError
from gateway.local.shared_memory import Shared
from tests.conftest import KEYRING
from tests.gateway.local.test_valkey import eventually
from tests.nursery import Hatchling, Nursery
from workers import alive
from workers.alive import AliveFile


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alive, "TOUCH_SECONDS", 0.001)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "alive"


async def touched(path: Path) -> bool:
    """Whether it is touched again within many turns of the loop."""
    path.unlink(missing_ok=True)  # noqa: ASYNC240
    for _ in range(50):
        await asyncio.sleep(0.002)
        if path.exists():  # noqa: ASYNC240
            return True
    return False


def two_processes() -> Shared:
    shared = Shared(2)
    shared.began(0, os.getpid())
    shared.began(1, os.getpid() + 1)
    return shared


def other_turns(shared: Shared, now: float) -> None:
    shared.slot = 1
    shared.turned(now)
    shared.slot = 0


async def test_the_file_is_touched_while_the_loop_turns_and_not_afterwards(path: Path, clock: Clock) -> None:
    async with AliveFile(path, Shared(), clock).kept():
        assert await touched(path)
        assert await touched(path)
    assert not await touched(path)


async def test_nobody_touches_the_file_while_one_of_the_processes_hangs(path: Path, clock: Clock) -> None:
    shared = two_processes()
    other_turns(shared, clock.now)
    async with AliveFile(path, shared, clock).kept():
        clock.now += alive.HANGS_SECONDS
        assert await touched(path)
        clock.now += 0.001
        assert not await touched(path)
        other_turns(shared, clock.now)
        assert await touched(path)


async def test_the_file_waits_for_a_process_that_has_yet_to_begin(path: Path, clock: Clock) -> None:
    shared = two_processes()
    async with AliveFile(path, shared, clock).kept():
        assert not await touched(path)
        other_turns(shared, clock.now)
        assert await touched(path)
        shared.began(1, os.getpid() + 2)  # in place of one that died
        assert not await touched(path)


async def test_a_process_that_ended_is_left_to_its_parent(path: Path, clock: Clock) -> None:
    shared = two_processes()
    shared.ended(1, 0)
    async with AliveFile(path, shared, clock).kept():
        assert await touched(path)


def test_what_an_earlier_run_left_does_not_count(path: Path, clock: Clock) -> None:
    path.touch()
    AliveFile(path, Shared(), clock)
    assert not path.exists()


def test_a_place_that_cannot_be_written_is_named_at_the_start(tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(ConfigurationError, match=f"--alive-file: .*{tmp_path}/nowhere"):
        AliveFile(tmp_path / "nowhere" / "alive", Shared(), clock)
    with pytest.raises(ConfigurationError, match=f"--alive-file: .*{tmp_path}"):
        AliveFile(tmp_path, Shared(), clock)


async def test_a_folder_that_goes_away_is_told_once_and_ends_nothing(tmp_path: Path, clock: Clock) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with capture_logs() as log:
        async with AliveFile(folder / "alive", Shared(), clock).kept():
            assert await touched(folder / "alive")
            (folder / "alive").unlink()
            folder.rmdir()
            await asyncio.sleep(0.02)
            folder.mkdir()
            assert await touched(folder / "alive")
    assert [entry["event"] for entry in log] == ["alive_file_failed", "alive_file_works"]


@contextmanager
def two_real_ones(nursery: Nursery, folder: Path) -> Iterator[Hatchling]:
    """Workers in two processes whose Redis is away."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")},
        "GATEWAY_REDIS_URL": f"unix://{folder}/nothing",
        "GATEWAY_SECRET_KEYS": KEYRING,
        "GATEWAY_UPSTREAM_KEY": "key",
        "GATEWAY_BLOB_DIR": str(folder / "blobs"),
    }
    words = ("workers", "--processes", "2", "--alive-file", str(folder / "alive"))
    found = nursery.spawn(words, environment, folder / "log")
    try:
        yield found
    finally:
        found.terminate()
        found.wait(60)


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime


@pytest.mark.processes
def test_real_workers_are_alive_without_redis_until_one_process_hangs(
    nursery: Nursery, tmp_path: Path
) -> None:
    path = tmp_path / "alive"
    with two_real_ones(nursery, tmp_path) as parent:
        eventually(path.exists)
        first = path.stat().st_mtime
        eventually(lambda: path.stat().st_mtime > first)
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        assert len(children) == 2
        os.kill(int(children[0]), signal.SIGSTOP)
        try:
            eventually(lambda: _age(path) > alive.HANGS_SECONDS)
        finally:
            os.kill(int(children[0]), signal.SIGCONT)
        eventually(lambda: _age(path) < alive.HANGS_SECONDS)


@pytest.mark.processes
def test_workers_refuse_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    environment = {**os.environ, "GATEWAY_SECRET_KEYS": KEYRING, "GATEWAY_UPSTREAM_KEY": "key"}
    ended = subprocess.run(
        [sys.executable, "-m", "workers", "--alive-file", str(tmp_path / "nowhere" / "alive")],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert "workers cannot start:\n--alive-file: cannot write to the folder" in ended.stderr
