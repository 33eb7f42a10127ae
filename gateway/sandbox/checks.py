"""Checks a creation strictly against every published limit, and refuses it at the first problem.

vtrix bodies are nested, {"model": M, "input": [{"params": {...}}]}; vidu bodies are flat. An unknown key, a
null, a number in quotes or an empty list is a 400, because the real upstream may refuse it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import orjson

from gateway.sandbox.media import check_clip, check_image
from gateway.sandbox.refusals import RequestRefused

MODEL = "viduq2_pro_reference"
VIDU_MODEL = "viduq2-pro"
BODY_LIMIT = 20_000_000
_PAYLOAD_LIMIT = 1_048_576
_PROMPT_LIMIT = 5_000
_CLIP_LIMIT = 20 * 2**20
_LARGEST_SEED = 2**31 - 1
_IMAGE_TYPES = {"png": "png", "jpeg": "jpeg", "jpg": "jpeg", "webp": "webp"}
_VIDEO_TYPES = {"mp4": "mp4", "quicktime": "mov", "mov": "mov", "x-msvideo": "avi", "avi": "avi"}
_DATA_URI = re.compile(r"data:(image|video)/([a-z0-9.+-]+);base64,", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reference:
    """An image or a clip: its URL, or its bytes."""

    url: str = ""
    data: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """The parameters of a creation that passed every check, with the published defaults filled in."""

    images: tuple[Reference, ...]
    prompt: str
    videos: tuple[Reference, ...] = ()
    bgm: bool = False
    duration: int = 5
    seed: int = 0
    aspect_ratio: str = "16:9"
    resolution: str = "720p"
    payload: str = field(default="", repr=False)
    off_peak: bool = False
    watermark: bool = False
    wm_position: int = 3
    wm_url: str = ""
    meta_data: str = ""
    callback_url: str = field(default="", repr=False)

    def without_media(self) -> TaskSpec:
        return replace(self, images=(), videos=())


def read_nested_spec(body: bytes) -> TaskSpec:
    """Reads a vtrix body. RequestRefused. Slow for large inline media: then call it in a thread."""
    return _spec(_params(_document(body)))


def read_flat_spec(body: bytes) -> TaskSpec:
    """Reads a vidu body: the parameters beside the model, and `movement_amplitude`, which has no effect on
    this model. RequestRefused."""
    document = _document(body)
    if not isinstance(document, dict):
        raise RequestRefused("FieldInvalid", "the body must be an object")
    params = dict(document)
    if "model" not in params:
        raise RequestRefused("FieldLacking", "model is required")
    if params.pop("model") != VIDU_MODEL:
        raise RequestRefused("FieldInvalid", f"model must be {VIDU_MODEL}")
    if "movement_amplitude" in params:
        _choice("auto", "small", "medium", "large")(params.pop("movement_amplitude"), "movement_amplitude")
    return _spec(_known(params, "the body"))


def _document(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise RequestRefused("BadRequest", "the body is not a JSON document") from None


def _spec(params: dict[str, Any]) -> TaskSpec:
    for name in ("images", "prompt"):
        if name not in params:
            raise RequestRefused("FieldLacking", f"{name} is required")
    values = {name: _READERS[name](value, name) for name, value in params.items()}
    spec = TaskSpec(**values)
    most = 4 if spec.videos else 7
    if len(spec.images) > most:
        raise RequestRefused(
            "FieldItemCountOutOfRange", f"images has {len(spec.images)} items; at most {most}"
        )
    _check_clips(spec.videos)
    return spec


def _params(document: object) -> dict[str, Any]:
    top = _object(document, "the body", {"model", "input"})
    if top["model"] != MODEL:
        raise RequestRefused("FieldInvalid", f"model must be {MODEL}")
    items = top["input"]
    if not isinstance(items, list) or len(items) != 1:
        raise RequestRefused("FieldInvalid", "input must be a list of exactly one item")
    params = _object(items[0], "input[0]", {"params"})["params"]
    if not isinstance(params, dict):
        raise RequestRefused("FieldInvalid", "input[0].params must be an object")
    return _known(params, "params")


def _known(params: dict[str, Any], where: str) -> dict[str, Any]:
    for name in params:
        if name not in _READERS:
            raise RequestRefused("FieldUnwanted", f"unknown field {name[:60]!r} in {where}")
    return params


def _object(value: object, where: str, keys: set[str]) -> dict[str, Any]:
    """An object with exactly these keys."""
    if not isinstance(value, dict):
        raise RequestRefused("FieldInvalid", f"{where} must be an object")
    for name in keys - value.keys():
        raise RequestRefused("FieldLacking", f"{name} is required in {where}")
    for name in value.keys() - keys:
        raise RequestRefused("FieldUnwanted", f"unknown field {name[:60]!r} in {where}")
    return value


def _text(most: int, least: int = 0) -> Callable[[object, str], str]:
    def read(value: object, name: str) -> str:
        if not isinstance(value, str):
            raise RequestRefused("FieldInvalid", f"{name} must be a string")
        if not least <= len(value) <= most:
            raise RequestRefused(
                "FieldInvalid", f"{name} has {len(value)} characters; {least} to {most} are allowed"
            )
        return value

    return read


def _prompt(value: object, name: str) -> str:
    text = _text(_PROMPT_LIMIT, 1)(value, name)
    if not text.strip():
        raise RequestRefused("FieldInvalid", f"{name} is blank")
    return text


def _whole(low: int, high: int) -> Callable[[object, str], int]:
    def read(value: object, name: str) -> int:
        if type(value) is not int or not low <= value <= high:
            raise RequestRefused("FieldInvalid", f"{name} must be an integer from {low} to {high}")
        return value

    return read


def _choice(*allowed: str) -> Callable[[object, str], str]:
    def read(value: object, name: str) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise RequestRefused("FieldInvalid", f"{name} must be one of {', '.join(allowed)}")
        return value

    return read


def _flag(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise RequestRefused("FieldInvalid", f"{name} must be true or false")
    return value


def _not_off_peak(value: object, name: str) -> bool:
    if _flag(value, name):
        raise RequestRefused("FieldInvalid", f"{name} is temporarily unavailable")
    return False


def _address(value: object, name: str) -> str:
    text = _text(8192, 1)(value, name)
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or any(c.isspace() for c in text):
        raise RequestRefused("FieldInvalid", f"{name} must be an http or https URL")
    return text


def _media(most: int, kind: str) -> Callable[[object, str], tuple[Reference, ...]]:
    def read(value: object, name: str) -> tuple[Reference, ...]:
        if not isinstance(value, list) or not 1 <= len(value) <= most:
            raise RequestRefused("FieldItemCountOutOfRange", f"{name} must be a list of 1 to {most} items")
        return tuple(_reference(item, f"{name}[{place}]", kind) for place, item in enumerate(value))

    return read


def _reference(value: object, where: str, kind: str) -> Reference:
    if not isinstance(value, str) or not value:
        raise RequestRefused("FieldInvalid", f"{where} must be a string")
    if not value.startswith("data:"):
        return Reference(url=_address(value, where))
    head = _DATA_URI.match(value)
    types = _IMAGE_TYPES if kind == "image" else _VIDEO_TYPES
    if head is None or head[1] != kind or head[2] not in types:
        raise RequestRefused(
            "FieldInvalid", f"{where} must start with data:{kind}/TYPE;base64, for a supported type"
        )
    try:
        data = base64.b64decode(value[head.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise RequestRefused("FieldInvalid", f"{where} is not valid Base64") from None
    if kind == "image" and (found := check_image(data, where)) != types[head[2]]:
        raise RequestRefused("ImageFormatInvalid", f"{where} is declared as {head[2]}, but it is {found}")
    if kind == "video" and len(data) >= _CLIP_LIMIT:
        raise RequestRefused(
            "FieldInvalid", f"{where} is {len(data)} bytes; less than {_CLIP_LIMIT} are allowed"
        )
    return Reference(data=data)


def _check_clips(videos: tuple[Reference, ...]) -> None:
    """Allows one clip of at most 8 s, or two of at most 5 s each."""
    for place, clip in enumerate(videos):
        if clip.data:
            check_clip(clip.data, f"videos[{place}]", 8.0 if len(videos) == 1 else 5.0)


_READERS: dict[str, Callable[[object, str], Any]] = {
    "images": _media(7, "image"),
    "videos": _media(2, "video"),
    "prompt": _prompt,
    "bgm": _flag,
    "duration": _whole(0, 10),
    "seed": _whole(0, _LARGEST_SEED),
    "aspect_ratio": _choice("16:9", "9:16", "4:3", "3:4", "1:1"),
    "resolution": _choice("540p", "720p", "1080p"),
    "payload": _text(_PAYLOAD_LIMIT),
    "off_peak": _not_off_peak,
    "watermark": _flag,
    "wm_position": _whole(1, 4),
    "wm_url": _address,
    "meta_data": _text(BODY_LIMIT),
    "callback_url": _address,
}
