"""Crash points: what is written is what happens, to a real process."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Final

import pytest
from structlog.testing import capture_logs

from gateway import crash_points
from gateway.environment import no_crash_point
from gateway.errors import ConfigurationError, StoreUnavailable

#: Counts the turns of its event loop while it passes the point `release.after` three times.
_PROGRAM: Final = """
import asyncio, structlog, sys
from gateway import crash_points

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

async def main():
    reach = crash_points.make_reach(sys.argv[1])
    turns = 0
    async def turn():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)
    turning = asyncio.create_task(turn())
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    for _ in range(3):
        before, began = turns, loop.time()
        await reach("release.after")
        print(turns - before, loop.time() - began, flush=True)
    turning.cancel()

asyncio.run(main())
"""


def run(points: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _PROGRAM, points]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_process_is_killed_at_the_chosen_time() -> None:
    ended = run("release.after:2:kill")
    assert ended.returncode == -signal.SIGKILL
    assert len(ended.stdout.splitlines()) == 1
    assert "crash_point " in ended.stderr


def test_a_whole_process_freezes_and_continues() -> None:
    ended = run("release.after:2:freeze=0.3")
    assert ended.returncode == 0
    passes = [line.split() for line in ended.stdout.splitlines()]
    turns, seconds = zip(*passes, strict=True)
    assert turns == ("0", "0", "0")
    assert float(seconds[1]) >= 0.3


def test_a_point_that_is_not_reached_does_nothing() -> None:
    ended = run("release.before:1:kill,release.after:4:kill")
    assert ended.returncode == 0
    assert len(ended.stdout.splitlines()) == 3


async def test_a_reply_is_lost_once() -> None:
    reach = crash_points.make_reach("accept.after:2:lose_reply, transition.after:1:lose_reply")
    await reach("accept.after")
    with pytest.raises(StoreUnavailable, match=r"accept\.after"):
        await reach("accept.after")
    await reach("accept.after")
    with pytest.raises(StoreUnavailable):
        await reach("transition.after")


async def test_one_point_may_fail_several_times() -> None:
    reach = crash_points.make_reach("accept.after:1:lose_reply,accept.after:2:lose_reply")
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await reach("accept.after")
    await reach("accept.after")


@pytest.mark.parametrize("text", ["", " ", ","])
def test_without_crash_points_nothing_is_called_and_nothing_is_logged(text: str) -> None:
    with capture_logs() as logged:
        assert crash_points.make_reach(text) is no_crash_point
    assert logged == []


def test_a_process_with_crash_points_logs_them_at_its_start() -> None:
    with capture_logs() as logged:
        crash_points.make_reach("release.after:1:kill")
    assert [(line["log_level"], line["points"]) for line in logged] == [("warning", "release.after:1:kill")]


@pytest.mark.parametrize(
    "text",
    [
        "release.after",
        "release.after:kill",
        "release.after:0:kill",
        "release.after:-1:kill",
        "release.after:x:kill",
        "release.after:1:explode",
        "release.after:1:kill=3",
        "release.after:1:lose_reply=1",
        "release.after:1:freeze",
        "release.after:1:freeze=",
        "release.after:1:freeze=soon",
        "release.after:1:freeze=0",
        "release.after:1:freeze=-1",
        "release.after:1:freeze=inf",
        "release.after:1:freeze=nan",
        "release.before:1:lose_reply",
        "submit.answered:1:lose_reply",
        ":1:kill",
        "release.after:1:kill;accept.after:1:kill",
        "release.after:1:kill,nonsense",
    ],
)
def test_an_invalid_setting_is_refused_and_named(text: str) -> None:
    with pytest.raises(ConfigurationError, match="GATEWAY_CRASH_POINTS"):
        crash_points.make_reach(text)
