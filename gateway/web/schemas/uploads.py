"""Schemas of uploads."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field
from typing_extensions import TypedDict

from gateway.generation.file_types import MIME_OF_EXTENSION
from gateway.web.schemas.jobs import Timestamp
from gateway.web.schemas.shape import shape

UPLOAD_ID: Final = "^upl_[0-9A-HJKMNP-TV-Z]{26}$"


@shape
class Upload(TypedDict):
    """A file that jobs can name."""

    id: Annotated[str, Field(pattern=UPLOAD_ID)]
    """Send it in `images` or `videos` of a job."""
    object: Literal["upload"]
    bytes: Annotated[int, Field(ge=1)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    media_type: Annotated[str, Field(json_schema_extra={"enum": list(MIME_OF_EXTENSION.values())})]
    """What the file is, judging by its bytes."""
    width: int | None
    """In pixels. null: the file was not inspected."""
    height: int | None
    seconds: float | None
    """Length of a clip. null: a picture, or not inspected."""
    url: str | None
    """Means the same as `id` in a job, where only URLs are allowed. Whoever has it can fetch the file until
    it expires. null: this service does not know its own address."""
    created_at: Timestamp
    expires_at: Timestamp | None
    """When it is removed, unless a job uses it before. null: an unfinished job holds it."""


@shape
class UploadList(TypedDict):
    object: Literal["list"]
    data: list[Upload]
    """Newest first."""
    has_more: bool
    next: str | None
    """Path of the next page."""
