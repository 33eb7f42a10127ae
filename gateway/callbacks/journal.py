"""Keeps genuine callbacks on disk while Redis is away, and gives them to the store when it is back.

Each process appends to its own file, `<ulid>-<pid>.jsonl`, one callback per line, and holds a lock (`flock`)
on it. Any process that shares the folder replays the files that nobody holds, because they were closed or
their process died. A file is removed when the store has kept all of its callbacks. Replaying a callback twice
does no harm.

A last line without its end was cut off by a power failure and was never acknowledged: it is skipped. Any
other line that cannot be used goes to `<file>.rejected`, for an operator to look at.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from collections import Counter
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import structlog

from gateway.callbacks import journal_files, records
from gateway.callbacks.records import from_line, to_line
from gateway.environment import Environment
from gateway.errors import ConfigurationError, StoreUnavailable, Unavailable
from gateway.store.base import Callback, CallbackOutcome
from gateway.telemetry.logs import Outage

#: The limit of all files in the folder together, of all processes.
MAX_BYTES: Final = 256 * 2**20
RETRY_SECONDS: Final = 5
_PAUSE_SECONDS: Final = 1.0
_REPORT_SECONDS: Final = 5.0
#: If the disk hangs longer, the upstream gets an error and sends the callback again.
_DISK_SECONDS: Final = 5.0
#: A file of this size is followed by a new one, so that a second outage does not replay everything again.
_FILE_BYTES: Final = 4 * 2**20


class Journal:
    """The appends of one `process`. Callbacks that arrive while the disk is busy share the next write.
    `failovers`: of the store, that the process knows of."""

    def __init__(self, folder: Path, environment: Environment, *, max_bytes: int = MAX_BYTES) -> None:
        """Creates the folder. ConfigurationError if it cannot be written."""
        self.folder = folder
        self.replay_outage = Outage("callback_journal_unreadable", "callback_journal_readable")
        self._write_outage = Outage("callback_journal_failed", "callback_journal_works")
        self._space_outage = Outage("callback_journal_full", "callback_journal_has_room")
        self.process, self.failovers = environment.new_ulid(), 0
        self._environment = environment
        self._max_bytes = max_bytes
        self._path = folder
        self._file: int | None = None
        self._written = 0
        self._pending: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._file_lock = asyncio.Lock()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            journal_files.sync_folder(folder.parent)
        except OSError as error:
            raise ConfigurationError(f"GATEWAY_CALLBACK_JOURNAL_DIR: {error.strerror}") from None
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise ConfigurationError("GATEWAY_CALLBACK_JOURNAL_DIR: the folder cannot be written")

    async def append(self, callback: Callback) -> None:
        """Returns when the callback is on disk. Unavailable if this failed or took too long; the callback
        may be on disk even then."""
        await self._environment.reach("journal.before")
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (to_line(callback), written)
        self._pending.append(entry)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_pending())
        try:
            async with asyncio.timeout(_DISK_SECONDS):
                await written
        except TimeoutError:
            self._write_outage.failed("the disk does not answer")
            raise _unavailable("the callback could not be written to disk in time") from None
        finally:
            if entry in self._pending:  # its caller is gone: entries must not pile up while the disk hangs
                self._pending.remove(entry)
        await self._environment.reach("journal.after")

    async def seal(self) -> bool:
        """Closes the current file, so that it can be replayed; the next append creates a new one. Returns
        whether there was a file."""
        async with self._file_lock:
            had_file = self._file is not None
            self._close_file()
            return had_file

    async def close(self) -> None:
        """Call it after the last append."""
        if self._writer is not None:
            await self._writer
        await self.seal()

    async def _write_pending(self) -> None:
        while self._pending:
            async with self._file_lock:
                entries, self._pending = self._pending, []
                lines = b"".join(line for line, _ in entries)
                name = f"{self._environment.new_ulid()}-{os.getpid()}{journal_files.SUFFIX}"
                failure = await asyncio.to_thread(self._write, self.folder / name, lines)
            for _, written in entries:
                if written.done():  # its caller is gone
                    continue
                if failure is None:
                    written.set_result(None)
                else:
                    written.set_exception(_unavailable(failure))

    def _write(self, new: Path, lines: bytes) -> str | None:
        """None if everything is on disk, else the reason why not. `new`: the path for a new file, if one is
        needed."""
        try:
            waiting = sum(journal_files.size_of(path) for path in journal_files.journal_files(self.folder))
            if waiting + len(lines) > self._max_bytes:
                self._space_outage.failed(f"{waiting} bytes are waiting for Redis")
                return "too many callbacks are waiting for Redis"
            if self._written >= _FILE_BYTES:
                self._close_file()
            if self._file is None:
                self._path, self._file = new, journal_files.create(new)
            journal_files.write(self._file, lines)
        except OSError as error:
            self._write_outage.failed(str(error.strerror))
            self._drop_unwritten()
            return "the callback could not be written to disk"
        self._written += len(lines)
        self._write_outage.recovered()
        self._space_outage.recovered()
        return None

    def _drop_unwritten(self) -> None:
        # We do not know what the disk holds after the last successful write: nothing may follow it.
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._written)
                if not self._written:
                    self._path.unlink()
            self._close_file()

    def _close_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file, self._written = None, 0


class CallbackStore(Protocol):
    """What the journal needs of the store."""

    async def callback(self, callback: Callback) -> CallbackOutcome:
        """Stores a genuine callback in one durable step."""

    async def report_journal(self, process: str, failovers: int, *, leaves: bool = False) -> int:
        """Says that this process has replayed its journal: after a failover, submissions wait for that.
        Returns how many failovers there were; if not `failovers`, the report does not count."""


async def replay(journal: Journal, jobs: CallbackStore) -> None:
    """Gives the callbacks in the folder to the store, and reports when none is left. Runs as long as the
    gateway does."""
    reported = -math.inf
    while True:
        try:
            if await replay_once(journal, jobs) and time.monotonic() - reported >= _REPORT_SECONDS:
                failovers = await jobs.report_journal(journal.process, journal.failovers)
                if failovers == journal.failovers:
                    reported = time.monotonic()
                journal.failovers = failovers
        except StoreUnavailable:
            pass  # callbacks go to disk meanwhile, and others log it
        except Exception:  # noqa: BLE001  # a fault of ours must not end the replay of all that is to come
            structlog.get_logger().exception("callback_replay_cut_short")
        await asyncio.sleep(_PAUSE_SECONDS)


async def replay_once(journal: Journal, jobs: CallbackStore) -> bool:
    """Replays the files that nobody holds, oldest first, and then our own file. Returns whether Redis has
    all of them: not if one cannot be read.

    Our own file is closed only if Redis took the others: otherwise a long outage would create a new file at
    each attempt.
    """
    try:
        if not await _replay_all(journal, jobs):
            return False
        taken = not await journal.seal() or await _replay_all(journal, jobs)
        return taken and not journal.replay_outage.is_on
    except OSError as error:
        journal.replay_outage.failed(str(error.strerror))
        return False


async def _replay_all(journal: Journal, jobs: CallbackStore) -> bool:
    """False if Redis is away. A file that cannot be read or removed is skipped."""
    failed = ""
    for path in sorted(journal_files.journal_files(journal.folder)):
        try:
            file = journal_files.open_unlocked(path)
            if file is not None:
                with file:
                    await _replay_file(path, file, jobs)
        except StoreUnavailable:
            return False
        except OSError as error:
            failed = f"{path.name}: {error.strerror}"
    if failed:
        journal.replay_outage.failed(failed)
    else:
        journal.replay_outage.recovered()
    return True


async def _replay_file(path: Path, file: BinaryIO, jobs: CallbackStore) -> None:
    """Replays the lines in order. Removes the file when each line was kept or rejected."""
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
        except Exception:  # whatever is wrong with this one, it must not hold up the others
            log.exception("callback_replay_failed", job=callback.job_id)
            rejected.append(line)
            continue
        effects[effect.value] += 1
        records.warn_if_unexpected(callback, effect)
    if torn:
        log.warning("callback_journal_torn", bytes=len(torn))
    if rejected:
        log.error("callback_journal_rejected", number=len(rejected))
        await asyncio.to_thread(journal_files.append_rejected, path.with_suffix(".rejected"), rejected)
    await asyncio.to_thread(path.unlink)
    if effects:
        log.info("callbacks_replayed", number=effects.total(), effects=dict(effects))


def _unavailable(reason: str) -> Unavailable:
    error = Unavailable(reason)
    error.retry_after_seconds = RETRY_SECONDS
    return error
