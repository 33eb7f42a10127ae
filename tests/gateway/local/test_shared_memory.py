"""Memory that forked processes share: limits hold over all of them, and a dead one leaves only its counts."""

from __future__ import annotations

import copy
import os
import signal
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from gateway.errors import Conflict, Unavailable
from gateway.local import shared_memory
from gateway.local.shared_memory import Held, Shared


def in_processes(shared: Shared, work: Callable[[], int]) -> list[int]:
    """What `work` returned in each process, 0 to 255; they run it at the same time."""
    start, begin = os.pipe()
    pids = []
    for slot in range(shared.processes):
        with warnings.catch_warnings(action="ignore"):  # of threads, which the child does not need
            pid = os.fork()
        if pid == 0:
            code = 255
            try:
                shared.slot = slot
                os.close(begin)
                os.read(start, 1)
                code = work()
            finally:
                os._exit(code)
        pids.append(pid)
    os.close(start)
    os.close(begin)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def held_by(shared: Shared, slot: int) -> Held:
    """What is held, as another process sees and changes it."""
    other, held = copy.copy(shared), copy.copy(shared.held)
    other.slot, held._shared = slot, other
    return held


def test_a_limit_holds_over_all_processes_and_none_is_refused_early() -> None:
    shared = Shared(4)
    taken = in_processes(shared, lambda: sum(shared.held.take("waits acme", 100) for _ in range(200)))
    assert sum(taken) == 100
    assert shared.held.sum("waits acme") == 100
    assert shared.held.take("waits other", 100)


def test_one_process_may_hold_everything() -> None:
    shared = Shared(2)
    shared.slot = 1
    assert [shared.held.take("waits acme", 3) for _ in range(4)] == [True] * 3 + [False]
    shared.slot = 0
    assert not shared.held.take("waits acme", 3)


def test_what_a_dead_process_held_is_free_and_what_it_counted_remains() -> None:
    shared = Shared(2)
    for slot in range(2):
        shared.slot = slot
        shared.held.take("waits acme", 10, 3)
        shared.counts.add("request", "/v1/jobs", "202")
    with shared.lock:
        shared.ended(0, 1.5)
    assert shared.held.sum("waits acme") == 3
    assert shared.counts.sums() == {("request", "/v1/jobs", "202"): 2}
    assert shared.ended_cpu_seconds() == 1.5


def test_counts_of_all_processes_are_added_also_of_the_same_label_at_once() -> None:
    shared = Shared(4)

    def work() -> int:
        for number in range(1000):
            shared.counts.add("request", f"/{number % 50}", "200")
        return 0

    assert in_processes(shared, work) == [0] * 4
    assert shared.counts.sums() == {("request", f"/{number}", "200"): 80 for number in range(50)}


def test_a_process_that_dies_with_the_lock_does_not_keep_it() -> None:
    shared = Shared(2)

    def die() -> int:
        shared.lock.__enter__()
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    assert in_processes(shared, die) == [-signal.SIGKILL] * 2
    assert shared.held.take("waits acme", 1)


def test_a_stopped_process_with_the_lock_stops_no_other() -> None:
    shared = Shared(2)
    for name in ("waits acme", "waits free"):
        assert shared.held.take(name, 2)
    shared.held.give("waits free")
    with warnings.catch_warnings(action="ignore"):
        pid = os.fork()
    if pid == 0:
        shared.lock.__enter__()
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    try:
        os.waitpid(pid, os.WUNTRACED)
        with shared.lock as locked:
            assert not locked
        assert [shared.held.take("waits acme", 2) for _ in range(2)] == [True, False]
        assert shared.held.take("waits new", 0)  # rather too many than none
        shared.counts.add("request", "/v1/jobs", "202")
        with shared.times.changing("requests acme", 1.0) as found:
            assert found == [0.0]
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    with shared.lock as locked:
        assert locked
    shared.held.give("waits new")
    shared.held.give("waits acme", 2)
    assert [shared.held.sum(f"waits {name}") for name in ("acme", "free", "new")] == [0, 0, 0]
    assert not shared.held.take("waits new", 0)


def test_a_process_that_dies_while_it_writes_a_name_leaves_none() -> None:
    class Dying(bytearray):
        def __setitem__(self, where: Any, value: Any) -> None:
            super().__setitem__(where, value)
            raise InterruptedError

    counts = Shared().counts
    whole, counts._table._names = counts._table._names, Dying(counts._table._names)  # type: ignore[assignment]
    with pytest.raises(InterruptedError):
        counts.add("request", "/v1/jobs", "202")
    assert counts.sums() == {}
    counts._table._names = whole


def test_a_hold_ends_with_its_block_and_a_refused_one_holds_nothing() -> None:
    held = Shared().held
    with held.one("tests acme", 1, Conflict("first")):
        with pytest.raises(Conflict, match="second"), held.one("tests acme", 1, Conflict("second")):
            raise AssertionError("it was held twice")
        assert held.sum("tests acme") == 1
    assert held.sum("tests acme") == 0


def test_names_that_hold_nothing_make_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "_ROWS", 8)
    held = Shared(2).held
    for number in range(100):
        held.take(f"waits {number}", 1)
        held.give(f"waits {number}")
    for number in range(8):
        assert held.take(f"busy {number}", 2)
    with pytest.raises(Unavailable):
        held.take("waits one more", 1)
    assert [held.sum(f"busy {number}") for number in range(8)] == [1] * 8


def test_the_earliest_times_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "_ROWS", 4)
    times = Shared(2).times

    def put(name: str, time: float, now: float = 0.0) -> float:
        with times.changing(name, now) as found:
            before, found[0] = found[0], time
        return before

    for number in range(1, 5):
        assert put(f"name {number}", number) == 0
    assert put("name 5", 5) == 0
    assert [put(f"name {number}", number) for number in (2, 3, 4, 5)] == [2, 3, 4, 5]
    assert put("name 6", 6, now=3.5) == 0
    assert [put(f"name {number}", number) for number in (3, 4, 5, 6)] == [3, 4, 5, 6]


def test_long_names_are_distinguished() -> None:
    held = Shared().held
    assert held.take("a" * 500 + "b", 1)
    assert held.take("a" * 500 + "c", 1)
    assert not held.take("a" * 500 + "b", 1)
