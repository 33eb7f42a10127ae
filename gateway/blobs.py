"""Stores files that were sent inside requests, in a folder: `<folder>/<job id>/<sha256>.<extension>`.

A file and its folder entries are on disk before `put` returns, so an accepted job can never miss its files.
The name is the hash of the content: a repeated `put` changes nothing, and damage is detected when the file is
read. All file operations run in threads; their errors become `BlobStoreUnavailable`.

A marker file shows that the folder is the right one, and not, for example, the empty mount point of a volume
that is not mounted.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from gateway.environment import Environment
from gateway.errors import BlobStoreUnavailable, DiskFull, NotFound

_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_EXTENSION = re.compile(r"[a-z0-9]{1,8}")
_REFERENCE = re.compile(rf"blob:({_JOB_ID.pattern})/(([0-9a-f]{{64}})\.{_EXTENSION.pattern})")
_SWEEP_BATCH = 500
MARKER: Final = ".vidu-gateway-blobs"
WATERMARK: Final = 0.85
#: However large the disk is, it needs no more free bytes than this.
_ENOUGH_FREE_BYTES: Final = 4 * 2**30

IsLive = Callable[[list[str]], Awaitable[set[str]]]


class Space(NamedTuple):
    """Bytes of the disk: how many are free, and how many must stay free."""

    free: int
    needed: int

    @property
    def headroom(self) -> float:
        """Free bytes divided by needed ones."""
        return self.free / max(1, self.needed)


class BlobStore:
    """A folder of blobs. All processes of the service must share it."""

    def __init__(
        self, folder: Path, clock: Callable[[], float] | None = None, watermark: float = WATERMARK
    ) -> None:
        """`clock`: seconds since the epoch; it must agree with the clock of the file system. `watermark`:
        share of its disk above which nothing is stored."""
        self._folder = folder
        self._clock = clock or Environment().clock
        self._watermark = watermark

    def space(self) -> Space:
        """The free bytes of the disk, for files of this process' user. Blocks. Raises
        BlobStoreUnavailable."""
        with _errors_as_unavailable("measured"):
            folder = self._folder.absolute()
            while not folder.exists():  # it is made with the first file
                folder = folder.parent
            disk = shutil.disk_usage(folder)
        return Space(disk.free, min(int(disk.total * (1 - self._watermark)), _ENOUGH_FREE_BYTES))

    async def put(self, job_id: str, raw: bytes, extension: str) -> str:
        """Stores a file for a job durably. Returns its reference, `blob:<job_id>/<sha256>.<extension>`.
        Raises DiskFull, BlobStoreUnavailable."""
        if not _JOB_ID.fullmatch(job_id) or not _EXTENSION.fullmatch(extension):
            raise ValueError("a blob needs a job id and an extension of plain letters and digits")
        return await asyncio.to_thread(self._put, job_id, raw, extension)

    async def read(self, reference: str) -> bytes:
        """The content of a file. `NotFound` if it was dropped, never existed or is damaged;
        `BlobStoreUnavailable` if the whole folder is missing."""
        matched = _REFERENCE.fullmatch(reference)
        if matched is None:
            raise NotFound("blob", reference)
        job_id, name, digest = matched.groups()
        return await asyncio.to_thread(self._read, self._folder / job_id / name, digest, reference)

    async def drop(self, job_id: str) -> None:
        """Deletes all files of a job, if there are any."""
        if _JOB_ID.fullmatch(job_id):
            await asyncio.to_thread(self._drop, job_id)

    async def sweep(self, is_live: IsLive, older_than_seconds: float) -> int:
        """Deletes the files of jobs that are not live, and returns the number of these jobs.

        `is_live`: gets job ids and returns those of live jobs. `older_than_seconds` must be longer than
        accepting a job can take, because its files are stored before the job.
        """
        before = self._clock() - older_than_seconds
        found = await asyncio.to_thread(self._older_than, before)
        dropped = 0
        for at in range(0, len(found), _SWEEP_BATCH):
            batch = found[at : at + _SWEEP_BATCH]
            live = await is_live(batch)
            for job_id in batch:
                if job_id not in live:
                    await self.drop(job_id)
                    dropped += 1
        return dropped

    def _put(self, job_id: str, raw: bytes, extension: str) -> str:
        folder = self._folder / job_id
        name = f"{_hash(raw)}.{extension}"
        space = self.space()
        if space.free - len(raw) < space.needed:
            raise DiskFull(space.free, space.needed, inline=True)
        with _errors_as_unavailable("written"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._folder / MARKER).touch(mode=0o600)
            if not (folder / name).exists():
                _write(folder / name, raw)
            # Also for a file that exists already: its writer may have died before this point.
            _sync_folder(folder)
            _sync_folder(self._folder)
        return f"blob:{job_id}/{name}"

    def _read(self, path: Path, digest: str, reference: str) -> bytes:
        with _errors_as_unavailable("read"):
            try:
                raw = path.read_bytes()
            except FileNotFoundError:
                self._check_folder()
                raise NotFound("blob", reference) from None
        if _hash(raw) != digest:
            raise NotFound("undamaged blob", reference)
        return raw

    def _check_folder(self) -> None:
        if not (self._folder / MARKER).exists():
            structlog.get_logger().error("blob_folder_missing", folder=str(self._folder.absolute()))
            raise BlobStoreUnavailable(
                "GATEWAY_BLOB_DIR: the folder of inline media is missing, or is not the gateway's"
            )

    def _drop(self, job_id: str) -> None:
        with _errors_as_unavailable("removed"), contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._folder / job_id)

    def _older_than(self, before: float) -> list[str]:
        with _errors_as_unavailable("listed"):
            if not self._folder.exists():
                return []
            with os.scandir(self._folder) as entries:
                return [
                    entry.name
                    for entry in entries
                    if _JOB_ID.fullmatch(entry.name)
                    and entry.is_dir(follow_symlinks=False)
                    and entry.stat(follow_symlinks=False).st_mtime < before
                ]


def _hash(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _write(path: Path, raw: bytes) -> None:
    """Writes the file under a temporary name and renames it, so that no reader ever sees a part of it."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with open(descriptor, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


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
        raise BlobStoreUnavailable(f"a blob could not be {done}: {reason}") from error
