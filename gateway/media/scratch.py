"""Local files that are still being written, and the sweep of those that a crash left behind."""

from __future__ import annotations

import asyncio
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from gateway.errors import MediaStoreUnavailable
from gateway.media.base import MediaStore

#: Far longer than a file may go without another byte.
_AGE_SECONDS: Final = 3600.0
_PAUSE_SECONDS: Final = 300.0


def private_folder() -> Path:
    """A folder in the system's temporary one (`TMPDIR`) that only this user can enter. It is made when it is
    missing. MediaStoreUnavailable if somebody else made it, or others can read it."""
    folder = Path(tempfile.gettempdir()) / f"vidu-gateway-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise MediaStoreUnavailable(f"{folder} cannot be made: {error.strerror}; set TMPDIR") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise MediaStoreUnavailable(
            f"{folder} is not a folder that only this user can enter; remove it, or set TMPDIR"
        )
    return folder


def remove_older(folder: Path, before: float) -> int:
    """Removes the files in `folder` that were last written before `before` (s since the epoch). Returns how
    many. OSError."""
    removed = 0
    if folder.is_dir():
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False) and _modified_at(entry) < before:
                    Path(entry).unlink(missing_ok=True)
                    removed += 1
    return removed


def _modified_at(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat(follow_symlinks=False).st_mtime
    except FileNotFoundError:  # finished meanwhile
        return float("inf")


async def keep_swept(media: MediaStore, clock: Callable[[], float]) -> None:
    """Runs for ever. `clock`: s since the epoch."""
    while True:
        try:
            await media.sweep_scratch(clock() - _AGE_SECONDS)
        except MediaStoreUnavailable as error:
            structlog.get_logger().warning("scratch_sweep_cut_short", reason=str(error))
        await asyncio.sleep(_PAUSE_SECONDS)
