"""Tells by the structure of a png, jpg or webp file whether it is a complete still picture.

It decodes nothing. If the structure leaves that open, `gateway.generation.inspection` decodes the picture. An
animated picture is refused, because nobody can say which of its frames the upstream would use. Sources: PNG
(W3C, third edition), ITU-T T.81 annex B, the WebP container specification.
"""

from __future__ import annotations

import io
import mmap
import struct
from typing import NamedTuple

import imagesize

_PNG_FIRST_CHUNK = 8
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_JPEG_END = b"\xff\xd9"
_PADDING = b"\0\r\n"  # some programs write a little of it behind the end
_PADDING_BYTES = 64
_HEADER_BYTES = 256 * 1024  # beyond that, a JPEG with endless segments would keep us busy
_MAX_CHUNKS = 1000
_WEBP_ANIMATION_FLAG = 0x02
_WEBP_SMALLEST = 30

_ANIMATED = ("animated_image", "is animated; send a still picture, or the animation as a clip in videos")
_TRUNCATED = ("media_truncated", "ends too early; send the complete file")

Fault = tuple[str, str]
#: A file, in memory or mapped into it.
Bytes = bytes | mmap.mmap


def size_of(raw: Bytes) -> tuple[int, int] | None:
    """Width and height in pixels; None if the first 256 KiB do not say."""
    width, height = imagesize.get(io.BytesIO(raw[:_HEADER_BYTES]), exif_rotation=False)
    return (width, height) if width > 0 and height > 0 else None


class StillImage(NamedTuple):
    """What the structure of a picture tells. `size`: None if it is not in the first 256 KiB.

    `in_doubt`: only decoding shows whether a picture without a fault is complete, or how large it is.
    """

    size: tuple[int, int] | None
    fault: Fault | None
    in_doubt: bool = False


def examine_image(raw: Bytes, extension: str) -> StillImage:
    """`extension`: png, jpg or webp, proved by the magic bytes."""
    size = size_of(raw)
    if extension == "jpg":
        ends_well = raw[-_PADDING_BYTES:].rstrip(_PADDING).endswith(_JPEG_END)
        if not ends_well and raw.find(_JPEG_END, 2) < 0:  # most files need not be read to find that out
            return StillImage(size, _TRUNCATED)
        if size is None and len(raw) <= _HEADER_BYTES:
            return StillImage(size, _damaged(extension))
        # An EXIF thumbnail has an end marker, too. A photo with a clip or a depth map behind it is complete.
        return StillImage(size, None, size is None or not ends_well)
    if extension == "png":
        return StillImage(size, _png_fault(raw, sizeless=size is None), raw[-len(_PNG_END) :] != _PNG_END)
    return StillImage(size, _damaged(extension) if size is None else _webp_fault(raw))


def _png_fault(raw: Bytes, *, sizeless: bool) -> Fault | None:
    first = raw[_PNG_FIRST_CHUNK + 4 : _PNG_FIRST_CHUNK + 8]
    if first == b"CgBI":
        return "media_unreadable", "is a PNG that Xcode rewrote for Apple's devices; send the original image"
    if first != b"IHDR" or sizeless:
        return _damaged("png")
    at = _PNG_FIRST_CHUNK
    for _ in range(_MAX_CHUNKS):
        if at + 8 > len(raw):
            return _TRUNCATED
        length, name = struct.unpack_from(">I4s", raw, at)
        if name == b"acTL":
            return _ANIMATED
        if name == b"IDAT":
            ends = raw[-len(_PNG_END) :] == _PNG_END or raw.find(b"IEND", at) >= 0
            return None if ends else _TRUNCATED
        at += 12 + length
    return "media_unreadable", "has too many chunks before its pixels; export the image again"


def _webp_fault(raw: Bytes) -> Fault | None:
    if len(raw) < _WEBP_SMALLEST:
        return _damaged("webp")
    end = struct.unpack_from("<I", raw, 4)[0] + 8
    if end > len(raw):
        return _TRUNCATED
    if raw[12:16] == b"VP8X" and raw[20] & _WEBP_ANIMATION_FLAG:
        return _ANIMATED
    at = 12
    for _ in range(_MAX_CHUNKS):
        if at + 8 > end:
            return _damaged("webp")
        name, length = struct.unpack_from("<4sI", raw, at)
        at += 8 + length
        if name in (b"VP8 ", b"VP8L"):
            return None if at <= end else _TRUNCATED
    return _damaged("webp")


def _damaged(extension: str) -> Fault:
    return "media_unreadable", f"has a damaged {extension} header; export the image again"
