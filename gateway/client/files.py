"""Files on their way to the gateway: read from a path, from memory, or from an open binary file."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from .checks import shown
from .errors import GatewayError

#: A file: its path, its bytes, or a binary file that can be read from where it stands.
File = Path | bytes | BinaryIO
#: Called again and again with the bytes so far, and with all of them if that is known.
Progress = Callable[[int, int | None], None]

#: Larger files are uploaded; smaller ones go inside the job.
INLINE_BYTES: Final = 1_000_000
_CHUNK_BYTES: Final = 262_144
_TYPES: Final = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
)


class Source:
    """A file to send, from its beginning at each attempt. `size`: in bytes."""

    def __init__(self, file: File, progress: Progress | None = None, *, name: str = "file") -> None:
        _check(name, file)
        self._file = file
        self._progress = progress
        self._start = 0
        if isinstance(file, Path):
            self.size = file.stat().st_size
        elif isinstance(file, bytes):
            self.size = len(file)
        else:
            if not file.seekable():
                raise ValueError(
                    f"{name}: this file cannot be read twice, which a retry needs; pass its bytes instead"
                )
            self._start = file.tell()
            self.size = file.seek(0, 2) - self._start
            file.seek(self._start)

    def chunks(self) -> Iterator[bytes]:
        sent = 0
        for chunk in self._pieces():
            yield chunk
            sent += len(chunk)
            if self._progress is not None:
                self._progress(sent, self.size)
        if sent != self.size:
            raise GatewayError(
                f"the file had {self.size} bytes, and now has {sent}: it was changed meanwhile"
            )

    def _pieces(self) -> Iterable[bytes]:
        if isinstance(self._file, bytes):
            for at in range(0, len(self._file), _CHUNK_BYTES):
                yield self._file[at : at + _CHUNK_BYTES]
        elif isinstance(self._file, Path):
            with self._file.open("rb") as opened:
                yield from _read(opened)
        else:
            self._file.seek(self._start)
            yield from _read(self._file)

    def data_uri(self) -> str:
        """The whole file as a data URI."""
        raw = b"".join(self._pieces())
        return f"data:{_media_type(raw)};base64,{base64.b64encode(raw).decode()}"


def _check(name: str, file: object) -> None:
    """TypeError for what is no file, or one of text."""
    if isinstance(file, io.TextIOBase):
        raise TypeError(f"{name}: this file has text, not bytes: open it with 'rb'")
    if not isinstance(file, Path | bytes) and not (hasattr(file, "read") and hasattr(file, "seek")):
        raise TypeError(
            f"{name}: a file is a Path, bytes or a file that was opened with 'rb', not {shown(file)}"
        )


def _read(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk


def _media_type(raw: bytes) -> str:
    """The type by the first bytes. The gateway refuses other files, and says what they are."""
    for start, name in _TYPES:
        if raw.startswith(start):
            return name
    if raw[:4] == b"RIFF":
        return "image/webp" if raw[8:12] == b"WEBP" else "video/x-msvideo"
    if raw[4:8] == b"ftyp":
        return "video/quicktime" if raw[8:12] == b"qt  " else "video/mp4"
    return "video/quicktime" if raw[4:8] in (b"moov", b"mdat", b"wide", b"free") else "image/png"
