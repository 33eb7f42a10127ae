"""The files of the callback journal: create, lock, write and list them. Every function blocks."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

SUFFIX: Final = ".jsonl"


def journal_files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.suffix == SUFFIX]


def size_of(path: Path) -> int:
    """In bytes; 0 if the file is gone."""
    try:
        return path.stat().st_size
    except FileNotFoundError:  # replayed by another process just now
        return 0


def create(path: Path) -> int:
    """Creates and locks a file, and makes its folder entry durable. Returns the file descriptor."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    if not _lock(file):
        os.close(file)
        raise BlockingIOError(errno.EAGAIN, "another process took the new file")
    sync_folder(path.parent)
    return file


def open_unlocked(path: Path) -> BinaryIO | None:
    """Opens and locks a file; None if another process holds the lock, or if the file is gone."""
    with contextlib.suppress(FileNotFoundError):
        file = path.open("r+b")  # on network file systems, a lock may need the right to write
        if _lock(file.fileno()):
            return file
        file.close()
    return None


def write(file: int, lines: bytes) -> None:
    """Writes all bytes to disk. OSError."""
    rest = memoryview(lines)
    while rest:
        rest = rest[os.write(file, rest) :]
    os.fdatasync(file)


def append_rejected(path: Path, lines: Sequence[bytes]) -> None:
    """Appends lines that cannot be replayed to `path`. OSError."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        write(file, b"".join(line + b"\n" for line in lines))
    finally:
        os.close(file)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(file: int) -> bool:
    """False if another process holds the lock, or has replayed and removed the file."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(file).st_nlink > 0
