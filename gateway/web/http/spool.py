"""Writes a body to a file while it comes in, and hashes it on the way."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from gateway.errors import MediaStoreUnavailable

#: So much is written at once. One piece is written while the next one comes in.
_PIECE: Final = 2**20
_FULL_RETRY_SECONDS: Final = 30


@dataclass(slots=True)
class Spool:
    """`size`: bytes taken so far. Every call raises MediaStoreUnavailable if the disk cannot be written."""

    path: Path
    file: BinaryIO
    size: int = 0
    _hash: Any = field(default_factory=hashlib.sha256)
    _waiting: bytearray = field(default_factory=bytearray)
    _writing: asyncio.Future[None] | None = None

    async def take(self, piece: bytes) -> None:
        self._waiting += piece
        self.size += len(piece)
        if len(self._waiting) >= _PIECE:
            await self._write()

    async def sha256(self) -> str:
        """The digest of everything, when all of it is written."""
        await self._write()
        await self.written()
        return str(self._hash.hexdigest())

    async def written(self) -> None:
        """Waits until the file may be closed."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            with disk_errors():
                await writing

    async def _write(self) -> None:
        await self.written()
        piece, self._waiting = self._waiting, bytearray()
        self._writing = asyncio.get_running_loop().run_in_executor(None, self._put, piece)

    def _put(self, piece: bytearray) -> None:
        with memoryview(piece) as left:
            self._hash.update(left)
            at = 0
            while at < len(left):
                at += os.write(self.file.fileno(), left[at:])


@contextlib.asynccontextmanager
async def spooled(path: Path) -> AsyncIterator[Spool]:
    """A new file, which is removed after the block if it is still there. Raises MediaStoreUnavailable."""
    with disk_errors():
        file = await asyncio.to_thread(_create, path)
    spool = Spool(path, file)
    try:
        yield spool
    finally:
        # also when the request is cancelled: no thread may write to a descriptor that is closed
        await asyncio.shield(_end(spool))


async def _end(spool: Spool) -> None:
    with contextlib.suppress(MediaStoreUnavailable):
        await spool.written()
    await asyncio.to_thread(_remove, spool)


def _create(path: Path) -> BinaryIO:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    return open(descriptor, "r+b", buffering=0)


def _remove(spool: Spool) -> None:
    spool.file.close()
    spool.path.unlink(missing_ok=True)


@contextlib.contextmanager
def disk_errors() -> Any:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        away = MediaStoreUnavailable(f"the file could not be written: {reason}; send it again later")
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            away.retry_after_seconds = _FULL_RETRY_SECONDS
        raise away from error
