"""Numbers by name in memory that a process shares with the processes that it forks.

`Shared` is made before the fork. It holds what must be one for all processes of a gateway: what its tenants
hold, when its rates allow the next request, and the counts of its metrics. Nothing here is for threads.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import mmap
import os
import tempfile
import time
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager
from hashlib import blake2b
from typing import Final

from gateway.errors import GatewayError, Unavailable

_NAME_BYTES: Final = 96
_ROWS: Final = 16_384
_COUNT_ROWS: Final = 4096
#: How many rows are looked at for a name that may be forgotten.
_WINDOW: Final = 32
#: A process tries so often to get the lock, with these pauses. It is held for microseconds.
_LOCK_TRIES: Final = 400
_LOCK_PAUSE_SECONDS: Final = 0.0005


class Shared:
    """`processes`: how many share it. `slot`: which of them this one is; a process sets it after its fork.
    `lock`: keeps the others out, `with lock as locked`; False if its holder does not let go of it. `times`:
    under names of ours, such as those of tenants; `times_of_strangers`: under names that anybody chooses."""

    def __init__(self, processes: int = 1) -> None:
        self.processes = processes
        self.slot = 0
        self.lock: AbstractContextManager[bool] = (
            _FileLock() if processes > 1 else contextlib.nullcontext(enter_result=True)
        )
        self.counts = Counts(self)
        self.held = Held(self)
        self.times = Times(self)
        self.times_of_strangers = Times(self)
        self.parent = os.getpid()
        # The pids by slot, and then the CPU seconds of the processes that ended.
        self._cells = _numbers(processes + 1)
        self._turns = _numbers(processes)
        if processes == 1:
            self.began(0, self.parent)

    def pids(self) -> list[int]:
        """Of the processes that run, without their parent."""
        return [int(pid) for pid in self._cells[: self.processes] if pid]

    def ended_cpu_seconds(self) -> float:
        return float(self._cells[self.processes])

    def running(self) -> tuple[list[int], float]:
        """`pids` and `ended_cpu_seconds`, of the same moment."""
        with self.lock:
            return self.pids(), self.ended_cpu_seconds()

    def turned(self, now: float) -> None:
        """The loop of this process turns."""
        self._turns[self.slot] = now

    def last_turn_of_all(self) -> float:
        """Until when the loops of all running processes have turned; 0 while one has yet to begin."""
        turns = [self._turns[slot] for slot in range(self.processes) if self._cells[slot]]
        return min(turns, default=0.0)

    def began(self, slot: int, pid: int) -> None:
        self._turns[slot] = 0
        self._cells[slot] = pid

    def ended(self, slot: int, cpu_seconds: float) -> None:
        """Releases what a dead process held; what it counted remains. Call it locked: whoever adds up CPU
        seconds must see a process either running or ended."""
        self._cells[slot] = 0
        self._cells[self.processes] += cpu_seconds
        self.held.clear(slot)


class Counts:
    """Counts by labels, which only grow."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._table = _Table(_COUNT_ROWS, shared.processes, window=_COUNT_ROWS)
        self._cells: dict[tuple[str, ...], int] = {}

    def add(self, *labels: str) -> None:
        cell = self._cells.get(labels)
        if cell is None:
            with self._shared.lock as locked:
                row = self._table.row("\0".join(labels), spare=-1 if locked else None)
            if row is None:  # rather uncounted than unanswered
                return
            cell = self._cells[labels] = self._table.cell(row, self._shared.slot)
        self._table.numbers[cell] += 1

    def sums(self) -> dict[tuple[str, ...], int]:
        """The sums over all processes, of those that have ended too."""
        return {tuple(name.split("\0")): int(self._table.sum(row)) for row, name in self._table.names()}


class Held:
    """How much of something each process holds, by name.

    While a stopped process keeps the lock, a name that is not there yet is not limited.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._table = _Table(_ROWS, shared.processes, window=_WINDOW)

    def take(self, name: str, most: float, number: float = 1) -> bool:
        """Whether there is room for `number` more, which are then held. Raises Unavailable if too many names
        are in use."""
        with self._shared.lock as locked:
            row = self._table.row(name, spare=0 if locked else None)
            if row is None and not locked:
                return True
            if row is None:
                raise Unavailable("this process is overloaded; send this again in a moment")
            if self._table.sum(row) + number > most:
                return False
            self._table.numbers[self._table.cell(row, self._shared.slot)] += number
        return True

    def give(self, name: str, number: float = 1) -> None:
        with self._shared.lock:
            row = self._table.row(name)
            if row is not None:  # it was taken with the lock
                cell = self._table.cell(row, self._shared.slot)
                self._table.numbers[cell] = max(0.0, self._table.numbers[cell] - number)

    def sum(self, name: str) -> int:
        """What all processes hold."""
        with self._shared.lock:
            row = self._table.row(name)
        return 0 if row is None else int(self._table.sum(row))

    @contextlib.contextmanager
    def one(self, name: str, most: int, refusal: GatewayError) -> Iterator[None]:
        """Holds one within the block. Raises `refusal` if that would be more than `most`."""
        if not self.take(name, most):
            raise refusal
        try:
            yield
        finally:
            self.give(name)

    def clear(self, slot: int) -> None:
        self._table.clear(slot)


class Times:
    """A time by name, the same for all processes. Those in the past may be forgotten, and if there are too
    many, the earliest are."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._table = _Table(_ROWS, 1, window=_WINDOW)

    @contextlib.contextmanager
    def changing(self, name: str, now: float) -> Iterator[list[float]]:
        """A list of the time, 0 if there is none, which may be changed within the block."""
        with self._shared.lock as locked:
            row = self._table.row(name, spare=now if locked else None)
            if row is None and locked:
                row = self._table.row(name, spare=float("inf"))
            found = [0.0 if row is None else float(self._table.numbers[row])]
            yield found
            if row is not None:
                self._table.numbers[row] = found[0]


class _FileLock:
    """A lock between processes that ends with its holder, unlike a semaphore.

    A holder that is stopped or swapped out must not stop the others: they wait for it once, and then go on
    without it until it is free.
    """

    def __init__(self) -> None:
        self._file, path = tempfile.mkstemp()
        os.unlink(path)
        weakref.finalize(self, os.close, self._file)
        self._tries = _LOCK_TRIES

    def __enter__(self) -> bool:
        for number in range(self._tries):
            if number:
                time.sleep(_LOCK_PAUSE_SECONDS)
            with contextlib.suppress(BlockingIOError):
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._tries = _LOCK_TRIES
                return True
        self._tries = 1
        return False

    def __exit__(self, *_: object) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN)


class _Table:
    """A row of `columns` numbers per name. A name is in one of the `window` rows that begin at its hash."""

    def __init__(self, rows: int, columns: int, *, window: int) -> None:
        self.numbers = _numbers(rows * columns)
        self._rows = rows
        self._window = window
        self._names = mmap.mmap(-1, rows * _NAME_BYTES)

    def row(self, name: str, spare: float | None = None) -> int | None:
        """The row of the name, or a new one with zeros. None if the window has no free row.

        `spare`: a row is free if it has no name, or only numbers up to this; the one with the smallest is
        taken. None: no new row. Only who has the lock may make one.
        """
        key = _key(name)
        # Python hashes with a secret of this process, which the processes that it forks share.
        start = hash(key)
        free, lowest = None, -math.inf if spare is None else spare
        for row in ((start + step) % self._rows for step in range(self._window)):
            found = self._name(row)
            if found == key:
                return row
            if not found[0]:
                free = row if free is None else free
                break  # a name never lies beyond a row that was never used
            most = max(self.numbers[row :: self._rows])
            if most < lowest or (most == lowest and free is None):
                free, lowest = row, most
        if free is None or spare is None:
            return None
        for cell in range(free, len(self.numbers), self._rows):
            self.numbers[cell] = 0
        start = free * _NAME_BYTES
        self._names[start + 1 : start + _NAME_BYTES] = key[1:]
        self._names[start] = key[0]  # last: a new name is seen whole or not at all
        return free

    def clear(self, column: int) -> None:
        start = column * self._rows
        self.numbers[start : start + self._rows] = memoryview(bytes(8 * self._rows)).cast("d")

    def cell(self, row: int, column: int) -> int:
        return column * self._rows + row

    def sum(self, row: int) -> float:
        return float(sum(self.numbers[row :: self._rows]))

    def names(self) -> Iterator[tuple[int, str]]:
        for row in range(self._rows):
            if self._names[row * _NAME_BYTES]:
                yield row, self._name(row).rstrip(b"\0").decode(errors="replace")

    def _name(self, row: int) -> bytes:
        return self._names[row * _NAME_BYTES : (row + 1) * _NAME_BYTES]


def _numbers(count: int) -> memoryview[float]:
    return memoryview(mmap.mmap(-1, 8 * count)).cast("d")


def _key(name: str) -> bytes:
    raw = name.encode()
    if len(raw) > _NAME_BYTES:
        raw = blake2b(raw, digest_size=_NAME_BYTES // 2).hexdigest().encode()
    return raw.ljust(_NAME_BYTES, b"\0")
