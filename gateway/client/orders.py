"""What a job is ordered with: its parameters, its pictures and its clips."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypedDict, get_args

from . import uploads
from .checks import known, one_of, shown, whole_seconds
from .files import INLINE_BYTES, File, Progress, Source
from .models import Upload
from .steps import Call

MODEL: Final = "viduq2_pro_reference"
#: A picture or clip: its URL or data URI, the id of an upload, an upload, or a file.
Media = str | Upload | File

Priority = Literal["low", "normal", "high"]
OnUnknown = Literal["hold", "resubmit", "manual"]

_LONGEST_DEADLINE_SECONDS: Final = 604_800
_DEADLINES: Final = ("start_deadline", "total_deadline")
_OPTIONS: Final = (*_DEADLINES, "on_unknown", "priority", "callback_events")
#: What a text in `images` or `videos` may be. The gateway knows which of them it accepts.
_REFERENCE: Final = re.compile(r"[a-z][a-z0-9+.-]+:|upl_", re.IGNORECASE)


class JobParams(TypedDict, total=False):
    """Parameters of a job. What you leave out has the gateway's default.

    * `duration`: seconds, 1 to 10; 0: the model chooses
    * `resolution`: "540p", "720p" or "1080p"
    * `aspect_ratio`: "16:9", "9:16", "4:3", "3:4" or "1:1"
    * `seed`: a whole number; 0: at random
    * `bgm`: True for background music
    * `payload`: your own text; it comes back with the job
    * `callback_url`: your URL that hears how the job ended; `callback_events`: what else it hears, as a list
      such as `["submitted", "completed", "failed"]`
    * `priority`: "low", "normal" or "high", among your own jobs
    * `start_deadline`: seconds; the job fails at no cost if it was not sent by then
    * `total_deadline`: seconds; the job fails if it is not finished by then
    * `on_unknown`: "hold", "resubmit" or "manual": what to do if nobody knows whether the upstream got it
    * `watermark`: True marks the video; `wm_position`: 1 to 4; `wm_url`: a picture as the mark
    * `off_peak`: True for cheaper and later; `meta_data`: JSON in a text; `model`: its name
    * `traceparent`: W3C trace context; the gateway's spans join your trace
    * `extra`: a dict of parameters that this version of the client does not know
    """

    model: str
    duration: int
    resolution: Literal["540p", "720p", "1080p"]
    aspect_ratio: Literal["16:9", "9:16", "4:3", "3:4", "1:1"]
    seed: int
    bgm: bool
    payload: str
    callback_url: str
    callback_events: Sequence[str]
    off_peak: bool
    watermark: bool
    wm_position: int
    wm_url: str
    meta_data: str
    start_deadline: int
    total_deadline: int
    on_unknown: OnUnknown
    priority: Priority
    traceparent: str
    extra: dict[str, Any]


_OWN: Final = ("prompt", "images", "videos", "idempotency_key", "wait", "progress")


def options(params: JobParams) -> dict[str, str]:
    """The parameters that travel as headers. TypeError or ValueError for what cannot be meant."""
    names = (*_OWN, *JobParams.__annotations__)
    known(names, tuple(params), "One that only a newer gateway knows goes into extra={...}.")
    given: dict[str, Any] = {**params}
    if "priority" in given:
        one_of("priority", given["priority"], get_args(Priority))
    if "on_unknown" in given:
        one_of("on_unknown", given["on_unknown"], get_args(OnUnknown))
    for name in _DEADLINES:
        if name in given:
            whole_seconds(name, given[name], 1, _LONGEST_DEADLINE_SECONDS)
    if "callback_events" in given:
        if isinstance(given["callback_events"], str):
            raise TypeError("callback_events: pass a list, also for one event")
        given["callback_events"] = ",".join(given["callback_events"])
    headers = {
        f"Gateway-{name.replace('_', '-').title()}": str(given[name]) for name in _OPTIONS if name in given
    }
    return headers | ({"traceparent": params["traceparent"]} if "traceparent" in params else {})


def body(
    prompt: str,
    images: Sequence[Media],
    videos: Sequence[Media],
    params: JobParams,
    progress: Progress | None,
) -> Call[dict[str, Any]]:
    """The body of the order. Large files are uploaded once all pictures and clips can be sent."""
    made: dict[str, Any] = {"model": MODEL, "prompt": prompt, **params, **params.get("extra", {})}
    for name in (*_OPTIONS, "traceparent", "extra"):
        made.pop(name, None)
    given = {"images": _media("images", images, progress), "videos": _media("videos", videos, progress)}
    if not given["images"]:
        raise ValueError("images: pass 1 to 7 pictures")
    for name, media in given.items():
        if media:
            made[name] = []
            for one in media:
                made[name].append((yield from _reference(one)))
    return made


def _media(name: str, given: Any, progress: Progress | None) -> list[str | Source]:
    """References, and files to send."""
    if isinstance(given, str | bytes | Path | Upload) or hasattr(given, "read"):
        raise TypeError(f"{name}: pass a list, also for one file")
    if not isinstance(given, Sequence):
        raise TypeError(f"{name}: pass a list, not {shown(given)}")
    return [_one(name, one, progress) for one in given]


def _one(name: str, media: Any, progress: Progress | None) -> str | Source:
    if isinstance(media, Upload):
        return media.id
    if not isinstance(media, str):
        return Source(media, progress, name=name)
    if not _REFERENCE.match(media):
        raise ValueError(f"{name}: a text is a URL; for a file pass Path({media!r})")
    return media


def _reference(media: str | Source) -> Call[str]:
    if isinstance(media, str):
        return media
    return media.data_uri() if media.size <= INLINE_BYTES else (yield from uploads.create(media)).id
