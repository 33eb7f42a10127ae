"""A media store in a folder of this machine, or of a volume that all processes share.

A file and its folder entries are on disk before `put` returns, so an accepted job can never miss its files.
All file operations run in threads; their errors become MediaStoreUnavailable.

A gateway makes the marker once in its life. If it is gone later, the volume is no longer mounted.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO, Final

import structlog

from gateway.errors import DiskFull, MediaStoreUnavailable, NotFound
from gateway.media import scratch
from gateway.media.base import Entry, Space, Unmarked, check_key

MARKER: Final = ".vidu-gateway-blobs"
WATERMARK: Final = 0.85
SCRATCH: Final = ".incoming"
#: However large the disk is, it needs no more free bytes than this.
_ENOUGH_FREE_BYTES: Final = 4 * 2**30
_CHUNK: Final = 256 * 1024
#: Below these many names no folder is removed that has become empty: others may be putting files into it.
_FLAT: Final = 2


class FolderStore:
    """`watermark`: share of its disk above which nothing is stored. `makes_marker`: as a gateway does."""

    def __init__(self, folder: Path, watermark: float = WATERMARK, *, makes_marker: bool = True) -> None:
        self._folder = folder
        self._watermark = watermark
        self._may_make_marker = makes_marker

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def scratch(self) -> Path:
        folder = self._folder / SCRATCH
        with _errors_as_unavailable("written"):
            self._mark()
            folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def path(self, key: str) -> Path:
        """Where the object is, for readers that need a local file."""
        return self._folder / check_key(key)

    async def mark(self) -> None:
        await asyncio.to_thread(self._mark)

    async def put(self, key: str, raw: bytes) -> None:
        await asyncio.to_thread(self._put, self.path(key), raw)

    async def put_file(self, key: str, path: Path) -> None:
        await asyncio.to_thread(self._put_file, self.path(key), path)

    async def read(self, key: str) -> bytes:
        return await asyncio.to_thread(self._read, self.path(key))

    async def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        file = await asyncio.to_thread(self._open, self.path(key), start)
        left = None if end is None else end - start
        with _errors_as_unavailable("read"):
            try:
                while left is None or left > 0:
                    most = _CHUNK if left is None else min(_CHUNK, left)
                    if not (chunk := await asyncio.to_thread(file.read, most)):
                        return
                    left = None if left is None else left - len(chunk)
                    yield chunk
            finally:
                file.close()

    async def size(self, key: str) -> int:
        return await asyncio.to_thread(self._size, self.path(key))

    async def drop(self, prefix: str) -> None:
        await asyncio.to_thread(self._drop, self.path(prefix))

    async def entries(self, prefix: str, starting: str = "") -> list[Entry]:
        folder = self.path(prefix) if prefix else self._folder
        return await asyncio.to_thread(self._entries, folder, starting)

    async def sign(self, key: str, seconds: int, *, media_type: str, filename: str | None) -> str | None:
        del seconds, media_type, filename
        check_key(key)
        return None

    async def space(self) -> Space:
        return await asyncio.to_thread(self._space)

    async def sweep_scratch(self, before: float) -> int:
        with _errors_as_unavailable("removed"):
            return await asyncio.to_thread(scratch.remove_older, self._folder / SCRATCH, before)

    async def probe(self) -> str:
        return await asyncio.to_thread(self._probe)

    def _probe(self) -> str:
        folder = self._folder.absolute()
        with _errors_as_unavailable("written"), tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            if file.read() != b"x":
                raise MediaStoreUnavailable("the media store does not return what was written")
        return f"the folder {folder}"

    def _space(self) -> Space:
        with _errors_as_unavailable("measured"):
            folder = self._folder.absolute()
            while not folder.exists():  # a gateway makes it
                folder = folder.parent
            disk = shutil.disk_usage(folder)
        return Space(disk.free, min(int(disk.total * (1 - self._watermark)), _ENOUGH_FREE_BYTES))

    def _put(self, path: Path, raw: bytes) -> None:
        self._check_space(len(raw))
        with _errors_as_unavailable("written"):
            self._prepare(path)
            descriptor, temporary = tempfile.mkstemp(dir=self.scratch)
            try:
                with open(descriptor, "wb") as file:
                    file.write(raw)
                _move(Path(temporary), path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
            self._sync_folders(path)

    def _put_file(self, path: Path, source: Path) -> None:
        self._check_space(0)  # it is on this disk already
        with _errors_as_unavailable("written"):
            self._prepare(path)
            _move(source, path)
            self._sync_folders(path)

    def _check_space(self, more: int) -> None:
        space = self._space()
        if space.free - more < space.needed:
            raise DiskFull(space.free, space.needed, inline=True)

    def _prepare(self, path: Path) -> None:
        self._mark()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _mark(self) -> None:
        with _errors_as_unavailable("written"):
            marker = self._folder / MARKER
            if not marker.exists():
                if not self._may_make_marker:
                    raise _unmarked()
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                marker.touch(mode=0o600)
                _sync_folder(self._folder)
                structlog.get_logger().info("media_folder_marked", folder=str(self._folder.absolute()))
            self._may_make_marker = False

    def _sync_folders(self, path: Path) -> None:
        for folder in path.relative_to(self._folder).parents:
            _sync_folder(self._folder / folder)

    def _read(self, path: Path) -> bytes:
        with _errors_as_unavailable("read"), self._missing_as_not_found(path):
            return path.read_bytes()

    def _open(self, path: Path, start: int) -> IO[bytes]:
        with _errors_as_unavailable("read"), self._missing_as_not_found(path):
            file = path.open("rb")
            file.seek(start)
            return file

    def _size(self, path: Path) -> int:
        with _errors_as_unavailable("read"), self._missing_as_not_found(path):
            return path.stat().st_size

    @contextlib.contextmanager
    def _missing_as_not_found(self, path: Path) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            self._check_folder()
            raise NotFound("file", path.name) from None

    def _check_folder(self) -> None:
        if not (self._folder / MARKER).exists():
            structlog.get_logger().error("media_folder_missing", folder=str(self._folder.absolute()))
            raise _unmarked()

    def _drop(self, path: Path) -> None:
        with _errors_as_unavailable("removed"), contextlib.suppress(FileNotFoundError):
            try:
                shutil.rmtree(path)
            except NotADirectoryError:
                path.unlink()
            else:
                if len(path.relative_to(self._folder).parts) > _FLAT:  # a folder of the archive for one hour
                    with contextlib.suppress(OSError):  # others are in it
                        path.parent.rmdir()

    def _entries(self, folder: Path, starting: str) -> list[Entry]:
        with _errors_as_unavailable("listed"):
            if not folder.exists():
                return []
            found = []
            with os.scandir(folder) as entries:
                for entry in entries:
                    ours = entry.name.startswith(starting) and not entry.name.startswith(".")
                    if ours and not entry.is_symlink():
                        with contextlib.suppress(FileNotFoundError):  # dropped meanwhile
                            found.append(Entry(entry.name, entry.stat(follow_symlinks=False).st_mtime))
            return found


def _unmarked() -> Unmarked:
    return Unmarked("the folder of media is missing, or is not the gateway's")


def _move(source: Path, path: Path) -> None:
    """Makes the file durable, then renames it, so that no reader ever sees a part of it."""
    descriptor = os.open(source, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    source.replace(path)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot sync a folder
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _errors_as_unavailable(done: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise MediaStoreUnavailable(f"a file could not be {done}: {reason}") from error
