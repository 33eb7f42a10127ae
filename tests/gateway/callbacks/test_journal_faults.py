"""The journal of callbacks when lines are torn, disks fail and processes die."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.callbacks import journal as callback_journal
from gateway.callbacks.journal import Journal, replay_once
from gateway.callbacks.records import from_line, to_line
from gateway.errors import ConfigurationError, Unavailable
from gateway.store.base import CallbackOutcome
from tests.gateway.callbacks.journaling import ENVIRONMENT, Store, callback, journals, left_by_a_dead_process


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(folder: Path) -> Journal:
    return Journal(folder, ENVIRONMENT)


async def test_a_torn_last_line_is_skipped_with_a_warning(journal: Journal, folder: Path) -> None:
    whole = callback()
    left_by_a_dead_process(folder, to_line(whole) + to_line(callback())[:-20])
    store = Store()
    with capture_logs() as logged:
        await replay_once(journal, store)
    assert store.kept == [whole]
    assert [entry["log_level"] for entry in logged if entry["event"] == "callback_journal_torn"] == [
        "warning"
    ]
    assert os.listdir(folder) == []


async def test_an_unreadable_line_is_rejected_and_holds_up_no_other(journal: Journal, folder: Path) -> None:
    first, last = callback(1), callback(2)
    path = left_by_a_dead_process(folder, to_line(first) + b"\0\0\n{}\n" + to_line(last))
    store = Store()
    await replay_once(journal, store)
    assert store.kept == [first, last]
    assert path.with_suffix(".rejected").read_bytes() == b"\0\0\n{}\n"
    assert journals(folder) == []


async def test_a_callback_that_makes_the_store_fail_is_rejected_too(journal: Journal, folder: Path) -> None:
    for number in range(3):
        await journal.append(callback(number))
    (path,) = journals(folder)
    store = Store(poison=frozenset({"task-1"}))
    with capture_logs() as logged:
        await replay_once(journal, store)
    assert [one.task_id for one in store.kept] == ["task-0", "task-2"]
    assert from_line(path.with_suffix(".rejected").read_bytes()).task_id == "task-1"
    assert "callback_replay_failed" in [entry["event"] for entry in logged]


def failing(after_bytes: int) -> Callable[[int, bytes], int]:
    """A disk that is full after so many bytes."""
    real, left = os.write, [after_bytes]

    def write(file: int, data: bytes) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = real(file, data[: left[0]])
        left[0] -= count
        return count

    return write


@pytest.mark.parametrize("room", [0, 1, 100])
async def test_a_failing_disk_is_logged_and_acknowledged_callbacks_stay(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    first, second, third = callback(1), callback(2), callback(3)
    await journal.append(first)
    with monkeypatch.context() as full, capture_logs() as logged:
        full.setattr(os, "write", failing(room))
        for one in (second, second):
            with pytest.raises(Unavailable) as refused:
                await journal.append(one)
            assert refused.value.retry_after_seconds == 5
            assert str(folder) not in str(refused.value)
    assert [(entry["event"], entry["reason"]) for entry in logged] == [
        ("callback_journal_failed", "No space left on device")
    ]
    assert len(journals(folder)) == 1
    with capture_logs() as logged:
        await journal.append(third)
    assert [entry["event"] for entry in logged] == ["callback_journal_works"]
    store = Store()
    await replay_once(journal, store)
    assert store.kept == [first, third]


async def test_a_sync_that_fails_is_a_failure(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    def fdatasync(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", fdatasync)
        with pytest.raises(Unavailable):
            await journal.append(callback(1))
    await journal.append(callback(2))


async def test_a_full_journal_is_logged_once_and_again_when_it_has_room(folder: Path) -> None:
    left_by_a_dead_process(folder, to_line(callback(1)))
    journal = Journal(folder, ENVIRONMENT, max_bytes=len(to_line(callback(2))) * 3 // 2)
    with capture_logs() as logged:
        for _ in range(3):
            with pytest.raises(Unavailable):
                await journal.append(callback(2))
        await replay_once(journal, Store())
        await journal.append(callback(2))
    told_of = [entry["event"] for entry in logged if entry["event"] != "callbacks_replayed"]
    assert told_of == ["callback_journal_full", "callback_journal_has_room"]


async def test_an_append_fails_in_time_if_the_disk_hangs(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()
    real = os.fdatasync

    def fdatasync(file: int) -> None:
        goes_on.wait()
        real(file)

    first, second, third = callback(1), callback(2), callback(3)
    with monkeypatch.context() as hung, capture_logs() as logged:
        hung.setattr(os, "fdatasync", fdatasync)
        hung.setattr(callback_journal, "_DISK_SECONDS", 0.01)
        try:
            for one in (first, second):  # one is on its way to the disk, the other waits for it
                with pytest.raises(Unavailable) as refused:
                    await journal.append(one)
                assert refused.value.retry_after_seconds == 5
        finally:
            goes_on.set()
    await journal.append(third)
    assert [entry["event"] for entry in logged] == ["callback_journal_failed"]
    store = Store()
    await replay_once(journal, store)
    assert store.kept == [first, third]  # the second is not acknowledged, and takes no room


@pytest.mark.parametrize(
    ("effect", "warned"),
    [
        *(
            (effect, True)
            for effect in (
                CallbackOutcome.AHEAD,
                CallbackOutcome.ORPHAN,
                CallbackOutcome.CROSSED,
                CallbackOutcome.EARLIER,
            )
        ),
        *(
            (effect, False)
            for effect in (
                CallbackOutcome.MOVED,
                CallbackOutcome.REPEATED,
                CallbackOutcome.ABSORBED,
                CallbackOutcome.LATE,
            )
        ),
    ],
)
async def test_a_replayed_callback_that_is_out_of_place_is_logged(
    journal: Journal, effect: CallbackOutcome, warned: bool
) -> None:
    given = callback()
    await journal.append(given)
    with capture_logs() as logged:
        await replay_once(journal, Store(effect=effect))
    told_of = [(row["job"], row["reason"]) for row in logged if row["event"] == "callback_out_of_place"]
    assert told_of == ([(given.job_id, effect)] if warned else [])


async def test_an_unreadable_file_does_not_hold_up_others_and_is_logged_once(
    journal: Journal, folder: Path
) -> None:
    bad = folder / "0-not-a-file.jsonl"
    bad.mkdir()
    store = Store()
    with capture_logs() as logged:
        for number in range(3):
            await journal.append(callback(number))
            await replay_once(journal, store)
        bad.rmdir()
        await replay_once(journal, store)
    assert len(store.kept) == 3
    told_of = [entry for entry in logged if entry["event"] != "callbacks_replayed"]
    assert [entry["event"] for entry in told_of] == [
        "callback_journal_unreadable",
        "callback_journal_readable",
    ]
    assert told_of[0]["reason"] == "0-not-a-file.jsonl: Is a directory"


async def test_a_removed_folder_is_logged_and_appends_are_refused(journal: Journal, folder: Path) -> None:
    os.rmdir(folder)
    with capture_logs() as logged:
        await replay_once(journal, Store())
        with pytest.raises(Unavailable):
            await journal.append(callback())
    assert [entry["event"] for entry in logged] == ["callback_journal_unreadable", "callback_journal_failed"]


def test_a_folder_that_cannot_be_used_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigurationError, match="GATEWAY_CALLBACK_JOURNAL_DIR"):
            Journal(path, ENVIRONMENT)


WRITER = """
import asyncio, sys
from pathlib import Path
from gateway.callbacks.journal import Journal
from gateway.environment import Environment
from gateway.store.base import Callback

async def main():
    environment = Environment()
    journal = Journal(Path(sys.argv[1]), environment)
    async def one(number):
        await journal.append(Callback(environment.new_job_id(), "acme", 1, "completed", task_id=str(number)))
        print(number, flush=True)
    for start in range(0, 10**6, 5):
        await asyncio.gather(*map(one, range(start, start + 5)))

asyncio.run(main())
"""


def writing(folder: Path) -> subprocess.Popen[str]:
    """Another process, which names each callback that it has acknowledged."""
    return subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True)


@pytest.mark.processes
async def test_everything_acknowledged_before_a_sigkill_is_replayed(journal: Journal, folder: Path) -> None:
    process = writing(folder)
    try:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline().strip() for _ in range(57)]
        store = Store()
        await replay_once(journal, store)
        assert store.kept == []  # it lives, and holds its file
    finally:
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
    acknowledged += whole_lines(rest)
    with journals(folder)[-1].open("ab") as file:
        file.write(to_line(callback())[:33])  # as a loss of power leaves it
    await replay_once(journal, store)
    kept = [one.task_id for one in store.kept]
    assert set(acknowledged) <= set(kept)
    assert len(kept) == len(set(kept))
    assert journals(folder) == []


def whole_lines(output: str) -> Iterable[str]:
    return [line.strip() for line in output.splitlines(keepends=True) if line.endswith("\n")]
