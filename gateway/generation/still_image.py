"""Checks that a png, jpg or webp file is complete and is a still picture.

It reads only the structure and decodes nothing. An animated picture is refused, because nobody can say which
of its frames the upstream would use. Sources: PNG (W3C, third edition), ITU-T T.81 annex B, the WebP
container specification.
"""

from __future__ import annotations

import struct

_PNG_FIRST_CHUNK = 8
_MAX_CHUNKS_BEFORE_PIXELS = 1000
_WEBP_ANIMATION_FLAG = 0x02

_ANIMATED = ("animated_image", "is animated; send a still picture, or the animation as a clip in videos")
_TRUNCATED = ("media_truncated", "ends too early; send the complete file")


def still_image_fault(raw: bytes, extension: str) -> tuple[str, str] | None:
    """Code and message of the fault, or None. `extension`: png, jpg or webp, proved by the magic bytes."""
    if extension == "png":
        return _png_fault(raw)
    if extension == "webp":
        return _webp_fault(raw)
    return None if b"\xff\xd9" in raw[2:] else _TRUNCATED


def _png_fault(raw: bytes) -> tuple[str, str] | None:
    at = _PNG_FIRST_CHUNK
    for _ in range(_MAX_CHUNKS_BEFORE_PIXELS):
        if at + 8 > len(raw):
            return _TRUNCATED
        length, name = struct.unpack_from(">I4s", raw, at)
        if name == b"acTL":
            return _ANIMATED
        if name == b"IDAT":
            return None if raw.find(b"IEND", at) >= 0 else _TRUNCATED
        at += 12 + length
    return "media_unreadable", "has too many chunks before its pixels; export the image again"


def _webp_fault(raw: bytes) -> tuple[str, str] | None:
    if struct.unpack_from("<I", raw, 4)[0] + 8 > len(raw):
        return _TRUNCATED
    if raw[12:16] == b"VP8X" and raw[20] & _WEBP_ANIMATION_FLAG:
        return _ANIMATED
    return None
