"""A parent of several processes, with small stand-ins for the service. They print what happens to them."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.local import forked
from gateway.local.supervisor import backoff_seconds
from tests.gateway.local.test_valkey import eventually as until

pytestmark = pytest.mark.processes

#: Ends at the second order, so that none may be lost or come twice.
PROGRAM = """
import asyncio, json, os, sys
from gateway.local.forked import Parent, on_order
from gateway.local.shared_memory import Shared

def say(**what):
    os.write(1, json.dumps(what).encode() + b"\\n")

async def stay(slot, orders):
    got = asyncio.Semaphore(0)
    on_order(orders, got.release)
    say(slot=slot, pid=os.getpid(), up=True)
    await got.acquire()
    say(slot=slot, ordered=1)
    await got.acquire()
    say(slot=slot, ordered=2)
    return 0

def serve(slot, orders):
    FIRST
    return asyncio.run(stay(slot, orders))

shared = Shared(2)
PARENT
sys.exit(Parent(shared, serve, at_stop=lambda: say(stopping=True)).run())
"""


class Family:
    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    def said(self, **wanted: Any) -> list[dict[str, Any]]:
        """What was printed so far and has these values."""
        whole = self._log.read_text().split("\n")[:-1]
        lines = [json.loads(line) for line in whole if line.startswith("{")]
        return [line for line in lines if wanted.items() <= line.items()]

    def children(self) -> dict[int, int]:
        """{slot: the pid that came up last}."""
        return {line["slot"]: line["pid"] for line in self.said(up=True)}

    def order(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)


@contextmanager
def family(folder: Path, first: str = "pass", *, parent: str = "") -> Iterator[Family]:
    """`first`: a statement that each child runs at its start. `parent`: what the parent runs before."""
    log = folder / "log"
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.replace("FIRST", first).replace("PARENT", parent)],
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield Family(process, log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_each_order_reaches_each_process_once_although_all_are_signalled(tmp_path: Path) -> None:
    with family(tmp_path) as found:
        until(lambda: len(found.said(up=True)) == 2)
        os.killpg(found.process.pid, signal.SIGINT)  # as a terminal does; a service manager does the same
        until(lambda: len(found.said(ordered=1)) == 2)
        os.killpg(found.process.pid, signal.SIGTERM)
        assert found.process.wait(60) == 0
        assert [len(found.said(ordered=number)) for number in (1, 2)] == [2, 2]
        assert len(found.said(stopping=True)) == 1


def test_a_process_that_dies_is_started_again_and_the_other_goes_on(tmp_path: Path) -> None:
    with family(tmp_path) as found:
        until(lambda: len(found.said(up=True)) == 2)
        before = found.children()
        os.kill(before[1], signal.SIGKILL)
        until(lambda: len(found.said(up=True)) == 3)
        after = found.children()
        assert (after[0] == before[0], after[1] == before[1]) == (True, False)
        [line] = [line for line in (tmp_path / "log").read_text().splitlines() if "process_ended" in line]
        assert "SIGKILL" in line
        found.order()
        until(lambda: len(found.said(ordered=1)) == 2)
        found.order()
        assert found.process.wait(60) == 0
        assert len(found.said(up=True)) == 3


def test_the_processes_are_notified_when_their_parent_dies(tmp_path: Path) -> None:
    with family(tmp_path) as found:
        until(lambda: len(found.said(up=True)) == 2)
        os.kill(found.children()[0], signal.SIGKILL)  # its successor knows the pipe of the other, too
        until(lambda: len(found.said(up=True)) == 3)
        found.process.kill()
        until(lambda: len(found.said(ordered=1)) == 2)


def test_a_wrong_setting_ends_all_of_them(tmp_path: Path) -> None:
    first = "orders = orders if slot == 0 else sys.exit(2)"
    with family(tmp_path, first) as found:
        until(lambda: bool(found.said(ordered=1)))
        found.order()
        assert found.process.wait(60) == 2


def test_a_setting_with_which_another_process_runs_ends_none(tmp_path: Path) -> None:
    flag = tmp_path / "refused"
    first = f"""if slot == 1 and not os.path.exists({str(flag)!r}):
        open({str(flag)!r}, "w").close()
        sys.exit(2)"""
    settled = (
        "from gateway.local import forked\nforked.QUICK_SECONDS = -1\nforked.LONGEST_BACKOFF_SECONDS = 0.1"
    )
    with family(tmp_path, first, parent=settled) as found:
        until(lambda: len(found.said(up=True)) == 2)
        assert found.said(ordered=1) == []
    assert "exit code 2" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("what", ["fork", "pipe"])
def test_a_process_that_cannot_be_started_is_started_again_and_the_other_goes_on(
    what: str, tmp_path: Path
) -> None:
    number = 2 if what == "fork" else 3  # the first pipe is the parent's own
    parent = f"""
from itertools import count
from gateway.local import forked
forked.LONGEST_BACKOFF_SECONDS = 0.1
real, numbers = os.{what}, count(1)
def fail_once():
    if next(numbers) == {number}:
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return real()
os.{what} = fail_once
"""
    with family(tmp_path, parent=parent) as found:
        until(lambda: len(found.said(up=True)) == 2)
        assert "process_not_started" in (tmp_path / "log").read_text()
        for number in (1, 2):
            found.order()
            until(lambda number=number: len(found.said(ordered=number)) == 2)  # type: ignore[misc]
        assert found.process.wait(60) == 0


def test_the_processes_are_killed_with_a_parent_that_is_killed_with_its_own(tmp_path: Path) -> None:
    tied = "import ctypes\nctypes.CDLL(None).prctl(1, 9)"
    with family(tmp_path, parent=tied) as found:
        until(lambda: len(found.said(up=True)) == 2)
        found.process.kill()
        until(lambda: not any(map(runs, found.children().values())))


def test_a_stopped_process_with_the_lock_does_not_stop_the_parent(tmp_path: Path) -> None:
    first = """if slot == 0:
        shared.lock.__enter__()
        say(slot=slot, pid=os.getpid(), stopped=True)
        os.kill(os.getpid(), 19)"""
    with family(tmp_path, first) as found:
        until(lambda: len(found.said(stopped=True)) == len(found.said(up=True)) == 1)
        os.kill(found.children()[1], signal.SIGKILL)
        until(lambda: not runs(found.children()[1]))
        found.order()
        until(lambda: bool(found.said(stopping=True)))
        os.kill(found.said(stopped=True)[0]["pid"], signal.SIGKILL)
        assert found.process.wait(60) == 0


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_pause_before_a_restart_has_a_limit_after_any_number_of_quick_exits() -> None:
    assert [backoff_seconds(number) for number in (1, 2, 10_000)] == [0.2, 0.4, 5.0]


@pytest.mark.parametrize("text", ["0", "65", "-1", "two", "1.5"])
def test_a_number_of_processes_that_cannot_be_is_refused_with_the_limits(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    forked.add_option(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--processes", text])
    assert "--processes: must be a number from 1 to 64" in capsys.readouterr().err


def test_it_gives_up_when_no_process_stays(tmp_path: Path) -> None:
    with family(tmp_path, "sys.exit(3)") as found:
        assert found.process.wait(60) == 1
    assert "exit code 3" in (tmp_path / "log").read_text()


def test_an_error_at_the_start_of_a_process_is_shown(tmp_path: Path) -> None:
    with family(tmp_path, "raise RuntimeError('a fault of ours')"):
        until(lambda: "a fault of ours" in (tmp_path / "log").read_text())
