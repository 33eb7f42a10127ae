"""Reads the real format, size and length of an image or a clip from its bytes.

Pillow and PyAV are imported on first use, so that a sandbox without inline media works without them.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from gateway.sandbox.refusals import RequestRefused

ACCEPTED_IMAGES = ("PNG", "JPEG", "WEBP")
SMALLEST_SIDE = 128
MOST_RATIO = 4.0
_MOST_PIXELS = 80_000_000  # our own limit: a small file may decompress to gigabytes
_SLACK_SECONDS = 0.1  # containers round the length of a clip to whole frames


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """Pixels and seconds."""

    width: int
    height: int
    seconds: float


def check_image(data: bytes, where: str) -> str:
    """The format of a valid image: png, jpeg or webp. RequestRefused for any other."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data), formats=ACCEPTED_IMAGES) as image:
            found, size = str(image.format).lower(), image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels(where) from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        raise RequestRefused("ImageFormatInvalid", f"{where} is not a png, jpeg or webp image") from None
    if size[0] * size[1] > _MOST_PIXELS:
        raise _too_many_pixels(where)
    check_shape(*size, where, "ImageSizeInvalid")
    return found


def _too_many_pixels(where: str) -> RequestRefused:
    return RequestRefused("ImageSizeInvalid", f"{where} has more than {_MOST_PIXELS} pixels")


def check_clip(data: bytes, where: str, most_seconds: float) -> str:
    """The container of a valid clip: mp4, mov or avi. RequestRefused for any other."""
    container = clip_container(data)
    if container is None:
        raise RequestRefused("VideoFormatInvalid", f"{where} is not an mp4, mov or avi file")
    facts = _clip_facts(data, container, where)
    check_shape(facts.width, facts.height, where, "VideoFormatInvalid")
    if facts.seconds > most_seconds + _SLACK_SECONDS:
        raise RequestRefused(
            "VideoFormatInvalid", f"{where} lasts {facts.seconds:.1f} s; at most {most_seconds:g} s"
        )
    return container


def check_shape(width: int, height: int, where: str, code: str) -> None:
    if min(width, height) < SMALLEST_SIDE:
        raise RequestRefused(code, f"{where} is {width}x{height}; at least {SMALLEST_SIDE}x{SMALLEST_SIDE}")
    if max(width, height) > MOST_RATIO * min(width, height):
        raise RequestRefused(code, f"{where} is {width}x{height}; its ratio must be within 1:4 and 4:1")


def clip_container(data: bytes) -> str | None:
    """The container, judging only by the magic bytes."""
    if data[:4] == b"RIFF" and data[8:12] == b"AVI ":
        return "avi"
    if data[4:8] == b"ftyp":
        return "mov" if data[8:12] == b"qt  " else "mp4"
    return "mov" if data[4:8] in (b"moov", b"mdat", b"wide", b"free") else None


def _clip_facts(data: bytes, container: str, where: str) -> ClipFacts:
    import av

    try:
        with av.open(io.BytesIO(data), "r", format="avi" if container == "avi" else "mov") as clip:
            stream = clip.streams.video[0]
            seconds = (clip.duration or 0) / av.time_base
            return ClipFacts(stream.width, stream.height, seconds)
    except (av.FFmpegError, IndexError, ValueError):
        raise RequestRefused("VideoFormatInvalid", f"{where} cannot be read") from None
