"""Keeps genuine callbacks on disk while Redis is away, and gives them to the store when it is back.

One file a process, `<ulid>-<pid>.jsonl`, a callback a line, locked (`flock`) for as long as its process
appends to it. A file that nobody holds, because it was closed or its process died, is replayed by any process
that shares the folder, and removed when all of its callbacks were kept. Replaying one twice is harmless.

A last line that was torn by a loss of power was never acknowledged: it is skipped. Any other line that
cannot be used goes to `<file>.rejected`, for people to look at.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import structlog

from gateway.callbacks import records
from gateway.callbacks.records import from_line, to_line
from gateway.environment import Environment
from gateway.errors import ConfigurationError, StoreUnavailable, Unavailable
from gateway.store.base import Callback, CallbackOutcome
from gateway.telemetry import Outage

#: What waits in the folder, of all processes together.
MAX_BYTES: Final = 256 * 2**20
RETRY_SECONDS: Final = 5
_PAUSE_SECONDS: Final = 1.0
#: A disk that hangs must not keep the upstream waiting: it sends the callback again.
_DISK_SECONDS: Final = 5.0
#: A larger file is followed by another: what was replayed is not begun anew when Redis goes away again.
_FILE_BYTES: Final = 4 * 2**20
_SUFFIX: Final = ".jsonl"


class Journal:
    """Appends of one process, on disk when `append` returns. Those that come while the disk is busy share
    the next write."""

    def __init__(self, folder: Path, environment: Environment, *, max_bytes: int = MAX_BYTES) -> None:
        """Makes the folder. ConfigurationError when it cannot be written."""
        self.folder = folder
        self.trouble = Outage("callback_journal_unreadable", "callback_journal_readable")
        self._failing = Outage("callback_journal_failed", "callback_journal_works")
        self._full = Outage("callback_journal_full", "callback_journal_has_room")
        self._environment = environment
        self._max_bytes = max_bytes
        self._path = folder
        self._file: int | None = None
        self._written = 0
        self._asked: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._busy = asyncio.Lock()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sync_folder(folder.parent)
        except OSError as error:
            raise ConfigurationError(f"GATEWAY_CALLBACK_JOURNAL_DIR: {error.strerror}") from None
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise ConfigurationError("GATEWAY_CALLBACK_JOURNAL_DIR: is a folder that cannot be written")

    async def append(self, callback: Callback) -> None:
        """Returns when it is on disk. Unavailable when it may not be, and when the disk hangs."""
        await self._environment.reach("journal.before")
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asked = (to_line(callback), kept)
        self._asked.append(asked)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())
        try:
            async with asyncio.timeout(_DISK_SECONDS):
                await kept
        except TimeoutError:
            self._failing.begins("the disk does not answer")
            raise _unavailable("the callback could not be written down in time") from None
        finally:
            if asked in self._asked:  # nobody waits for it: it must not pile up before a disk that hangs
                self._asked.remove(asked)
        await self._environment.reach("journal.after")

    async def seal(self) -> bool:
        """Let go of the file, so that it can be replayed; the next append begins a new one. Whether there
        was one."""
        async with self._busy:
            had = self._file is not None
            self._let_go()
            return had

    async def close(self) -> None:
        """After the last append."""
        if self._writer is not None:
            await self._writer
        await self.seal()

    async def _write_all(self) -> None:
        while self._asked:
            async with self._busy:
                asked, self._asked = self._asked, []
                lines = b"".join(line for line, _ in asked)
                name = f"{self._environment.new_ulid()}-{os.getpid()}{_SUFFIX}"
                failure = await asyncio.to_thread(self._write, self.folder / name, lines)
            for _, kept in asked:
                if kept.done():  # who asked has gone away
                    continue
                if failure is None:
                    kept.set_result(None)
                else:
                    kept.set_exception(_unavailable(failure))

    def _write(self, new: Path, lines: bytes) -> str | None:
        """None when all is on disk, else why not. `new`: the file to begin, if one must be begun."""
        try:
            waiting = sum(_size(path) for path in _journals(self.folder))
            if waiting + len(lines) > self._max_bytes:
                self._full.begins(f"{waiting} bytes are waiting for Redis")
                return "too many callbacks are waiting for Redis"
            if self._written >= _FILE_BYTES:
                self._let_go()
            if self._file is None:
                self._path, self._file = new, _begin(new)
            _write_whole(self._file, lines)
        except OSError as error:
            self._failing.begins(str(error.strerror))
            self._give_up()
            return "the callback could not be written down"
        self._written += len(lines)
        self._failing.ends()
        self._full.ends()
        return None

    def _give_up(self) -> None:
        # What the disk holds beyond the last success is not known: nothing may be put behind it.
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._written)
                if not self._written:
                    self._path.unlink()
            self._let_go()

    def _let_go(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file, self._written = None, 0


class Keeper(Protocol):
    """What the journal needs of the store."""

    async def callback(self, callback: Callback) -> CallbackOutcome:
        """A genuine callback, in one durable step."""


async def replay(journal: Journal, jobs: Keeper) -> None:
    """Gives what waits in the folder to the store, for as long as the gateway runs."""
    while True:
        await replay_once(journal, jobs)
        await asyncio.sleep(_PAUSE_SECONDS)


async def replay_once(journal: Journal, jobs: Keeper) -> None:
    """Files that nobody holds, oldest first, and our own only when Redis took those: a long outage makes one
    file for each process, not one for each try."""
    try:
        if await _replay_all(journal, jobs) and await journal.seal():
            await _replay_all(journal, jobs)
    except OSError as error:
        journal.trouble.begins(str(error.strerror))


async def _replay_all(journal: Journal, jobs: Keeper) -> bool:
    """False when Redis is away. A file that cannot be read or removed is passed over."""
    failed = ""
    for path in sorted(_journals(journal.folder)):
        try:
            file = _claim(path)
            if file is not None:
                with file:
                    await _replay_file(path, file, jobs)
        except StoreUnavailable:
            return False
        except OSError as error:
            failed = f"{path.name}: {error.strerror}"
    if failed:
        journal.trouble.begins(failed)
    else:
        journal.trouble.ends()
    return True


async def _replay_file(path: Path, file: BinaryIO, jobs: Keeper) -> None:
    """In order; the file goes when each of its lines was kept or rejected."""
    log = structlog.get_logger().bind(file=path.name)
    *lines, torn = (await asyncio.to_thread(file.read)).split(b"\n")
    effects: Counter[str] = Counter()
    rejected: list[bytes] = []
    for line in lines:
        try:
            callback = from_line(line)
        except ValueError:
            rejected.append(line)
            continue
        try:
            effect = await jobs.callback(callback)
        except StoreUnavailable:
            raise
        except Exception:  # whatever it is about this one, it must not keep the others waiting
            log.exception("callback_replay_failed", job=callback.job_id)
            rejected.append(line)
            continue
        effects[effect.value] += 1
        records.warn_of(callback, effect)
    if torn:
        log.warning("callback_journal_torn", bytes=len(torn))
    if rejected:
        log.error("callback_journal_rejected", number=len(rejected))
        await asyncio.to_thread(_reject, path.with_suffix(".rejected"), rejected)
    await asyncio.to_thread(path.unlink)
    if effects:
        log.info("callbacks_replayed", number=effects.total(), effects=dict(effects))


def _unavailable(reason: str) -> Unavailable:
    error = Unavailable(reason)
    error.retry_after_seconds = RETRY_SECONDS
    return error


def _journals(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.suffix == _SUFFIX]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # replayed just now
        return 0


def _begin(path: Path) -> int:
    """A new file with its lock, in a folder that will still know it after a loss of power."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    if not _lock(file):
        os.close(file)
        raise BlockingIOError(errno.EAGAIN, "the new file was taken away")
    _sync_folder(path.parent)
    return file


def _claim(path: Path) -> BinaryIO | None:
    """The file with its lock; None when somebody holds it, or it is gone."""
    with contextlib.suppress(FileNotFoundError):
        file = path.open("r+b")  # a lock may need the right to write, on network file systems
        if _lock(file.fileno()):
            return file
        file.close()
    return None


def _lock(file: int) -> bool:
    """False when another holds it, or has replayed and removed the file."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(file).st_nlink > 0


def _write_whole(file: int, lines: bytes) -> None:
    rest = memoryview(lines)
    while rest:
        rest = rest[os.write(file, rest) :]
    os.fdatasync(file)


def _reject(path: Path, lines: Sequence[bytes]) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        _write_whole(file, b"".join(line + b"\n" for line in lines))
    finally:
        os.close(file)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
