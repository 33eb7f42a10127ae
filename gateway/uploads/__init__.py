"""The upload: a file that a client hands over once, to name it in its jobs.

Its record is in the store, its file in the media store as `uploads/<id>.<extension>`. Jobs that are not
finished hold it. Its life ends some time after its last use, or when its owner deletes it; its file stays
until no job holds it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.generation.file_types import EXTENSIONS, MIME_OF_EXTENSION, Kind
from gateway.media.base import MediaStore
from gateway.media.links import UPLOAD_ID

#: Largest file of each kind in bytes. The documentation says 50 and 100 MB; the smaller meaning is safe.
MAX_BYTES: Final[Mapping[Kind, int]] = {"image": 50_000_000, "video": 100_000_000}
FOLDER: Final = "uploads"
#: What the store answers when an upload is retired whose file must stay, because jobs hold it.
IN_USE: Final = "in_use"
_REFERENCE: Final = re.compile(rf"upload:(?P<id>{UPLOAD_ID.pattern})\.(?P<extension>[a-z0-9]{{1,8}})")
#: The name of a file in the media store.
FILE: Final = re.compile(rf"(?P<id>{UPLOAD_ID.pattern})\.[a-z0-9]{{1,8}}")


@dataclass(frozen=True, slots=True)
class Upload:
    """`size`: bytes. `width`, `height`: pixels; `seconds`: of a clip; None if nobody inspected it. Times are
    milliseconds since the epoch. `pins`: unfinished jobs that hold it; meanwhile `expires_at` does not count.
    `retired_at`: since when no new job may use it."""

    id: str
    tenant: str
    sha256: str
    size: int
    extension: str
    created_at: int
    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    expires_at: int = 0
    pins: int = 0
    retired_at: int | None = None

    @property
    def kind(self) -> Kind:
        return "video" if self.extension in EXTENSIONS["video"] else "image"

    @property
    def media_type(self) -> str:
        return MIME_OF_EXTENSION[self.extension]

    @property
    def key(self) -> str:
        """Its file in the media store."""
        return key_of(self.id, self.extension)

    @property
    def reference(self) -> str:
        """What a job's stored parameters have in its place."""
        return f"upload:{self.id}.{self.extension}"

    def usable(self, now_ms: int) -> bool:
        """Whether a new job may use it."""
        return self.retired_at is None and (self.pins > 0 or self.expires_at > now_ms)


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Of each tenant: bytes and number of its uploads. `life_ms`: how long one lives after its last use."""

    bytes_max: int
    count_max: int
    life_ms: int


class Uploads(Protocol):
    async def read(self, upload_ids: Collection[str]) -> dict[str, Upload]:
        """Those of these uploads that exist, of any tenant, by id. Raises StoreUnavailable."""


class NoUploads:
    """Knows no upload."""

    async def read(self, upload_ids: Collection[str]) -> dict[str, Upload]:
        del upload_ids
        return {}


def key_of(upload_id: str, extension: str) -> str:
    return f"{FOLDER}/{upload_id}.{extension}"


def read_reference(reference: str) -> tuple[str, str] | None:
    """The id and the extension in a stored reference; None for any other text."""
    found = _REFERENCE.fullmatch(reference)
    return (found["id"], found["extension"]) if found else None


class Forgetting(Protocol):
    async def forget(self, upload_id: str) -> bool:
        """Removes the record of a retired upload. Raises StoreUnavailable."""


async def remove(records: Forgetting, media: MediaStore, upload_id: str, retired: str | None) -> bool:
    """Removes a retired upload that nobody holds: first its file, then its record. `retired`: what `retire`
    found. Raises StoreUnavailable, MediaStoreUnavailable; the sweep then goes on."""
    if retired is None or retired == IN_USE:
        return False
    await media.drop(key_of(upload_id, retired))
    return await records.forget(upload_id)
