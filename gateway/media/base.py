"""The media store: files of jobs, in a folder or in a bucket, behind one interface.

It holds inline media (`<job id>/<sha256>.<extension>`), uploads (`uploads/<upload id>/...`), copies of
results (`results/<job id>/...`), and archived jobs (`archive/<hour>/<job id>/...`). A key is a relative path
of plain names. An object is visible whole or not at all. It is durable before `put` or `put_file` returns.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from gateway.errors import MediaStoreUnavailable

_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}"
KEY: Final = re.compile(rf"{_NAME}(?:/{_NAME}){{0,3}}")


#: The media type of each extension that a file of ours can have.
MEDIA_TYPES: Final = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "webp": "image/webp",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "avi": "video/x-msvideo",
}


class Space(NamedTuple):
    """Bytes of the disk: how many are free, and how many must stay free."""

    free: int
    needed: int

    @property
    def headroom(self) -> float:
        """Free bytes divided by needed ones."""
        return self.free / max(1, self.needed)


class Entry(NamedTuple):
    """One name directly below a prefix. `modified_at`: seconds since the epoch, of the newest object in it
    as far as the store knows."""

    name: str
    modified_at: float


class Unmarked(MediaStoreUnavailable):
    """The place has no marker: no gateway has used it yet, or it is another one than the gateways'."""


class MediaStore(Protocol):
    """A marker in the store shows that the place is the right one, and not, for example, the empty mount
    point of a volume that is not mounted. Without it nothing is stored, and a missing object is an outage and
    no lost file. Only gateways make it: they take the files that a worker would miss in a wrong place.

    Every call raises MediaStoreUnavailable if the store cannot be reached, and ValueError for a key that
    is not a key."""

    @property
    def scratch(self) -> Path:
        """A local folder for files that are still being written; it exists. `put_file` takes them from there
        without a copy, where it can. Whoever makes a file in it removes it; `sweep_scratch` removes what a
        crash left."""
        ...

    async def mark(self) -> None:
        """Makes sure that the marker is there. Raises Unmarked if it is not and this process makes none.
        `put` and `put_file` do this too."""
        ...

    async def put(self, key: str, raw: bytes) -> None:
        """Stores an object; an object that has the key already is replaced. Raises DiskFull."""
        ...

    async def put_file(self, key: str, path: Path) -> None:
        """Stores the file at `path`, and removes it from there. Raises DiskFull."""
        ...

    async def read(self, key: str) -> bytes:
        """The whole object. Raises NotFound."""
        ...

    def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` to before `end` (None: the end of the object) in pieces. Raises NotFound
        with the first piece."""
        ...

    async def size(self, key: str) -> int:
        """The bytes of the object. Raises NotFound."""
        ...

    async def drop(self, prefix: str) -> None:
        """Deletes the object with this key, and everything below `<prefix>/`, if there is any."""
        ...

    async def entries(self, prefix: str, starting: str = "") -> list[Entry]:
        """The names directly below `<prefix>/`, or at the top for "", that start with `starting`. Objects and
        folders alike; without names that start with a dot."""
        ...

    async def sign(self, key: str, seconds: int, *, media_type: str, filename: str | None) -> str | None:
        """A URL that serves the object for so long, at most a week, without any key. `filename`: under which
        it is to be downloaded; None: it is shown inline.

        None if the store cannot do this: a folder; in a bucket a download, or another type than the one that
        was stored with the object (`media_type_of`). The caller then serves the bytes itself."""
        ...

    async def space(self) -> Space | None:
        """The room on the disk; None for a store without a known limit (a bucket)."""
        ...

    async def sweep_scratch(self, before: float) -> int:
        """Removes the files in `scratch` that were last written before `before` (s since the epoch), and
        returns their number."""
        ...

    async def probe(self) -> str:
        """Writes, reads and deletes something small. Returns what kind of store it is, and where."""
        ...


def check_key(key: str) -> str:
    """The key. ValueError if it is not one, so that no name of a client can leave the store."""
    if not KEY.fullmatch(key) or ".." in key:
        raise ValueError("a key of the media store is one to four plain names")
    return key


def media_type_of(key: str) -> str:
    """The media type that the extension of a key stands for."""
    return MEDIA_TYPES.get(key.rpartition(".")[2], "application/octet-stream")


def filename_of(key: str) -> str:
    """The name under which a browser would save the object: the last two names of its key."""
    return "-".join(key.split("/")[-2:])
