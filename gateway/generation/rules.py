"""The rules that the model alone cannot check: they need two fields, a setting or the bytes of a file.

`examine` reads the parameters as they came, even if some have the wrong type, so that the client learns about
all other problems too. It skips values of the wrong type: the model refuses them.

Published rules: at most 4 images together with a video; one video of up to 8 s, or two of up to 5 s each. Our
own rules: settings may lower the limits of payload and prompt; a prompt is counted in code points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway import strict_json
from gateway.errors import MalformedBody, Notice, Problem
from gateway.generation import inspection, media
from gateway.generation.file_types import Kind
from gateway.generation.model import PUBLISHED_MODELS
from gateway.generation.texts import is_blank
from gateway.media.links import MediaLinks
from gateway.urls import MAX_CALLBACK_URL_CHARACTERS, url_fault

MAX_IMAGES = 7
MAX_IMAGES_WITH_VIDEO = 4
MAX_VIDEOS = 2
_SECONDS_OF_ONE_CLIP = 8.0
_SECONDS_OF_EACH_OF_TWO = 5.0
_LENGTHS_WITHOUT_BGM = (9, 10)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that settings can change. Settings can only lower the character limits, because the
    published ones apply as well.

    `links`: recognizes uploads. `inline_max_bytes`: the limit of each inline file, decoded: what fits into
    the upstream's largest body, as Base64 and beside the other parameters. `models`: the accepted model
    names, which may include more than the published one.
    """

    off_peak: bool = False
    allow_private_media_urls: bool = False
    prompt_warn_characters: int = 2000
    prompt_max_characters: int = 5000
    payload_max_characters: int = 1_048_576
    models: tuple[str, ...] = PUBLISHED_MODELS
    inline_max_bytes: int = 14_990_000
    links: MediaLinks = MediaLinks()  # noqa: RUF009  # frozen


@dataclass(slots=True)
class Findings:
    """The parameters of one request, and what the rules found."""

    fields: Mapping[str, object]
    limits: Limits
    problems: list[Problem] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    inline: list[media.InlineMedia] = field(default_factory=list)
    uploads: list[media.UploadUse] = field(default_factory=list)

    def refuse(self, param: str, code: str, message: str) -> None:
        self.problems.append(Problem(param, code, message))

    def notify(self, param: str, code: str, message: str) -> None:
        self.notices.append(Notice(param, code, message))


def examine(fields: Mapping[str, object], limits: Limits) -> Findings:
    """Applies all rules to the parameters of one request."""
    found = Findings(fields, limits)
    for name, value in fields.items():
        rule = _RULES.get(name)
        if rule is not None:
            rule(found, value)
    return found


def _model(found: Findings, model: object) -> None:
    if isinstance(model, str) and model not in found.limits.models:
        found.refuse("model", "unknown_model", f"is not served here; send {' or '.join(found.limits.models)}")


def _images(found: Findings, images: object) -> None:
    if not isinstance(images, list):
        return
    if _clip_count(found) and MAX_IMAGES_WITH_VIDEO < len(images) <= MAX_IMAGES:
        message = f"{len(images)} images; send at most {MAX_IMAGES_WITH_VIDEO} together with a video"
        found.refuse("images", "too_many_images_with_video", message)
    _references(found, images[:MAX_IMAGES], "images", "image", 0.0)


def _videos(found: Findings, videos: object) -> None:
    if isinstance(videos, list):
        seconds = _SECONDS_OF_ONE_CLIP if len(videos) == 1 else _SECONDS_OF_EACH_OF_TWO
        _references(found, videos[:MAX_VIDEOS], "videos", "video", seconds)


def _clip_count(found: Findings) -> int:
    videos = found.fields.get("videos")
    return len(videos) if isinstance(videos, list) else 0


def _references(found: Findings, references: list[object], name: str, kind: Kind, seconds: float) -> None:
    limits = found.limits
    for at, reference in enumerate(references):
        if not isinstance(reference, str) or _is_upload(found, reference, f"{name}[{at}]", kind, seconds):
            continue
        inline = media.check(
            reference,
            param=f"{name}[{at}]",
            kind=kind,
            private_urls=limits.allow_private_media_urls,
            max_bytes=limits.inline_max_bytes,
            max_seconds=seconds,
            problems=found.problems,
        )
        if inline is not None:
            found.inline.append(inline)
            if inline.needs_inspection and not inspection.can_inspect():
                found.notices.append(inspection.not_inspected(inline.param, kind))


def _is_upload(found: Findings, reference: str, param: str, kind: Kind, seconds: float) -> bool:
    """Whether the reference can only mean an upload. Whether there is one, the intake finds out."""
    try:
        upload_id = found.limits.links.upload_of(reference)
    except ValueError:
        found.problems.append(media.unknown_upload(param))
        return True
    if upload_id is None:
        return False
    found.uploads.append(media.UploadUse(param, kind, upload_id, seconds))
    return True


def _prompt(found: Findings, prompt: object) -> None:
    if not isinstance(prompt, str):
        return
    most, long = found.limits.prompt_max_characters, found.limits.prompt_warn_characters
    if is_blank(prompt):
        found.refuse("prompt", "blank", "is blank; describe the video")
    elif len(prompt) > most:
        found.refuse("prompt", "too_long", f"has {len(prompt)} characters; shorten it to at most {most}")
    elif len(prompt) > long:
        message = f"has {len(prompt)} characters; the part after {long} may be ignored"
        found.notify("prompt", "prompt_long", message)


def _bgm(found: Findings, bgm: object) -> None:
    duration = found.fields.get("duration")
    if bgm is not True or isinstance(duration, bool):
        return
    if duration in _LENGTHS_WITHOUT_BGM:
        message = "has no effect when duration is 9 or 10; choose 8 or less to hear music"
        found.notify("bgm", "bgm_no_effect", message)
    elif duration == 0:
        message = "may have no effect: the model chooses the duration, and at 9 or 10 s there is no music"
        found.notify("bgm", "bgm_may_not_apply", message)


def _payload(found: Findings, payload: object) -> None:
    most = found.limits.payload_max_characters
    if isinstance(payload, str) and len(payload) > most:
        found.refuse("payload", "too_long", f"has {len(payload)} characters; send at most {most}")


def _off_peak(found: Findings, off_peak: object) -> None:
    if off_peak is True and not found.limits.off_peak:
        message = "is temporarily unavailable; leave it out, or send false"
        found.refuse("off_peak", "off_peak_unavailable", message)


def _wm_position(found: Findings, _position: object) -> None:
    _notify_missing_watermark(found, "wm_position")


def _wm_url(found: Findings, url: object) -> None:
    _notify_missing_watermark(found, "wm_url")
    public = not found.limits.allow_private_media_urls
    if isinstance(url, str):
        fault = url_fault(url, max_characters=media.MAX_URL_CHARACTERS, public=public)
        if fault is not None:
            found.refuse("wm_url", *fault)


def _notify_missing_watermark(found: Findings, param: str) -> None:
    if found.fields.get("watermark") is not True:
        message = "has no effect without a watermark; send watermark: true with it"
        found.notify(param, "watermark_off", message)


def _meta_data(found: Findings, meta_data: object) -> None:
    if not isinstance(meta_data, str):
        return
    try:
        strict_json.loads(meta_data.encode())
    except MalformedBody:
        message = "is not JSON; the upstream expects JSON encoded as a string"
        found.notify("meta_data", "meta_data_not_json", message)


def _callback_url(found: Findings, url: object) -> None:
    if isinstance(url, str):
        fault = url_fault(url, max_characters=MAX_CALLBACK_URL_CHARACTERS, fragment=False)
        if fault is not None:
            found.refuse("callback_url", *fault)


_RULES: dict[str, Callable[[Findings, object], None]] = {
    "model": _model,
    "images": _images,
    "videos": _videos,
    "prompt": _prompt,
    "bgm": _bgm,
    "payload": _payload,
    "off_peak": _off_peak,
    "wm_position": _wm_position,
    "wm_url": _wm_url,
    "meta_data": _meta_data,
    "callback_url": _callback_url,
}
