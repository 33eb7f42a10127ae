"""What a job was asked for, as its owner sees it: the parameters as they were posted."""

from __future__ import annotations

from typing import Any, Final, NotRequired, cast

from typing_extensions import TypedDict

from gateway import jobs
from gateway.media.base import MEDIA_TYPES
from gateway.views.shapes import shape

_INLINE: Final = "blob:"
_UPLOAD: Final = "upload:"


@shape
class InlineFile(TypedDict):
    """A file that was inside the request. Its content is kept only until the job is finished, and never
    shown."""

    media_type: str
    bytes: int | None
    """null: of a job from before this was noted."""


@shape
class JobRequest(TypedDict):
    """The parameters of a job as they were posted; those that were not are absent. `payload` and
    `callback_url` are beside it."""

    model: str
    images: list[str | InlineFile]
    videos: NotRequired[list[str | InlineFile]]
    prompt: str
    bgm: NotRequired[bool]
    duration: NotRequired[int]
    seed: NotRequired[int]
    aspect_ratio: NotRequired[str]
    resolution: NotRequired[str]
    off_peak: NotRequired[bool]
    watermark: NotRequired[bool]
    wm_position: NotRequired[int]
    wm_url: NotRequired[str]
    meta_data: NotRequired[str]


def request_of(job: jobs.Job) -> JobRequest | None:
    """None if only the upstream still knew of the job when its record was made again."""
    if not job.params:
        return None
    shown: dict[str, Any] = {"model": job.model, **job.params}
    for name in ("images", "videos"):
        if name in job.params:
            shown[name] = [
                _reference(job, f"{name}[{at}]", reference) for at, reference in enumerate(job.params[name])
            ]
    return cast(JobRequest, shown)


def _reference(job: jobs.Job, param: str, reference: str) -> str | InlineFile:
    """A URL, the id of an upload, or what an inline file is."""
    if reference.startswith(_UPLOAD):
        return reference.removeprefix(_UPLOAD).partition(".")[0]
    if not reference.startswith(_INLINE):
        return reference
    extension = reference.rpartition(".")[2]
    media_type = MEDIA_TYPES.get(extension, "application/octet-stream")
    return {"media_type": media_type, "bytes": job.inline_bytes.get(param)}
