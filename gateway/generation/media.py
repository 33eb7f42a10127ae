"""Checks media references: the type of inline images and clips, and every published limit.

A reference is a URL, or a data URI with one of the exact prefixes in `PREFIXES`. For a data URI, the Base64
is decoded strictly, the magic bytes must match the declared type, and the size of an image is read from its
header. Pixels are never decoded, so a decompression bomb does no harm. The length and size of a clip need a
demultiplexer: see `gateway.generation.clips`.

Limits (published documentation): images png, jpeg, jpg, webp; clips mp4, mov, avi; both at least 128x128,
with an aspect ratio from 1:4 to 4:1, inclusive. URLs are checked by syntax only and never downloaded.
"""

from __future__ import annotations

import binascii
import io
import re
from dataclasses import dataclass, field
from typing import Literal

import imagesize

from gateway.errors import Problem
from gateway.generation.still_image import still_image_fault
from gateway.urls import url_fault

Kind = Literal["image", "video"]

MIN_PIXELS = 128
MAX_RATIO = 4
MAX_URL_CHARACTERS = 8192  # pre-signed URLs are long, but a URL must not be able to fill Redis
_HEADER_BYTES = 256 * 1024  # a JPEG may have this much before its size; we do not search further

#: The media type we send upstream for each kind of file we store.
MIME_OF_EXTENSION = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "webp": "image/webp",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "avi": "video/x-msvideo",
}
_EXTENSION_OF_DECLARED: dict[Kind, dict[str, str]] = {
    "image": {"png": "png", "jpeg": "jpg", "jpg": "jpg", "webp": "webp"},
    "video": {"mp4": "mp4", "quicktime": "mov", "mov": "mov", "x-msvideo": "avi", "avi": "avi"},
}
PREFIXES: dict[Kind, dict[str, str]] = {
    kind: {f"data:{kind}/{declared};base64,": extension for declared, extension in known.items()}
    for kind, known in _EXTENSION_OF_DECLARED.items()
}
_LONGEST_PREFIX = max(len(prefix) for known in PREFIXES.values() for prefix in known)
_EXAMPLE: dict[Kind, str] = {
    "image": "data:image/png;base64,iVBORw0...",
    "video": "data:video/mp4;base64,AAAA...",
}
_BARE_BASE64 = re.compile(r"[A-Za-z0-9+/]{32}")
# Brands of ISO files that hold only a picture or only sound.
_NOT_CLIPS = frozenset({b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1", b"M4A ", b"M4B "})
_QUICKTIME_ATOMS = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip"})  # of files older than `ftyp`


@dataclass(frozen=True, slots=True)
class InlineMedia:
    """One file that was sent inside the request. `param`: its position, such as `images[2]`.

    `max_seconds`: the longest allowed length of a clip, which depends on the number of clips; 0 for an image.
    """

    param: str
    kind: Kind
    mime: str
    extension: str
    raw: bytes = field(repr=False)
    max_seconds: float = 0.0


def check(
    reference: str,
    *,
    param: str,
    kind: Kind,
    private_urls: bool,
    max_bytes: int,
    max_seconds: float,
    problems: list[Problem],
) -> InlineMedia | None:
    """Checks one image or clip and appends what is wrong to `problems`.

    Returns the file if it is inline and valid, else None. `max_bytes`: the limit of the decoded file.
    """
    if reference[:5].lower() != "data:":
        fault = _not_inline_fault(reference, kind, private_urls)
        if fault is not None:
            problems.append(Problem(param, *fault))
        return None
    prefix = reference[: reference.find(",", 0, _LONGEST_PREFIX) + 1]
    extension = PREFIXES[kind].get(prefix)
    if extension is None:
        message = f"a data URI here starts with one of {_list_prefixes(kind)}"
        problems.append(Problem(param, "media_type", message))
        return None
    raw, fault = _decoded(reference, len(prefix), max_bytes)
    fault = fault or _content_fault(raw, kind, extension)
    if fault is not None:
        problems.append(Problem(param, *fault))
        return None
    return InlineMedia(param, kind, MIME_OF_EXTENSION[extension], extension, raw, max_seconds)


def data_uri(mime: str, raw: bytes) -> str:
    """The file as a data URI, which an upstream accepts."""
    return f"data:{mime};base64,{binascii.b2a_base64(raw, newline=False).decode()}"


def dimensions_fault(width: int, height: int) -> tuple[str, str] | None:
    """Code and message if `width` x `height` pixels are too small or too narrow, else None."""
    if min(width, height) < MIN_PIXELS:
        return "media_too_small", f"is {width}x{height}; send at least {MIN_PIXELS}x{MIN_PIXELS} pixels"
    if max(width, height) > MAX_RATIO * min(width, height):
        return "media_ratio", f"is {width}x{height}; crop it to an aspect ratio within 1:4 to 4:1"
    return None


def sniff(head: bytes) -> str | None:
    """The extension that the first 16 bytes prove, or None. Any ISO clip that is not QuickTime is `mp4`."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpg"
    if head[:4] == b"RIFF":
        return {b"WEBP": "webp", b"AVI ": "avi"}.get(head[8:12])
    if head[4:8] == b"ftyp":
        if head[8:12] in _NOT_CLIPS:
            return None
        return "mov" if head[8:12] == b"qt  " else "mp4"
    return "mov" if head[4:8] in _QUICKTIME_ATOMS else None


def _not_inline_fault(reference: str, kind: Kind, private_urls: bool) -> tuple[str, str] | None:
    fault = url_fault(reference, max_characters=MAX_URL_CHARACTERS, public=not private_urls)
    if fault is None:
        return None
    if not reference:
        return "blank", f"is empty; send a URL, or the file itself as {_EXAMPLE[kind]}"
    if _BARE_BASE64.match(reference):
        return "bare_base64", f"looks like Base64, which needs its prefix; send {_EXAMPLE[kind]}"
    if fault[0] in ("url_scheme", "url_not_public"):
        return fault[0], f"{fault[1]}, or the file itself as {_EXAMPLE[kind]}"
    return fault


def _decoded(reference: str, start: int, max_bytes: int) -> tuple[bytes, tuple[str, str] | None]:
    at_least = (len(reference) - start) // 4 * 3 - 2
    if at_least > max_bytes:
        return b"", ("media_too_large", f"has more than {max_bytes} bytes; make it smaller, or send a URL")
    try:
        raw = binascii.a2b_base64(reference[start:], strict_mode=True)
    except ValueError as error:
        message = f"is not strict Base64 ({error}); send it without line breaks and with padding"
        return b"", ("base64", message)
    if len(raw) > max_bytes:
        return b"", ("media_too_large", f"has {len(raw)} bytes; send at most {max_bytes}, or a URL")
    return raw, None


def _content_fault(raw: bytes, kind: Kind, extension: str) -> tuple[str, str] | None:
    proved = sniff(raw[:16])
    if proved is None:
        return (
            "media_unknown",
            f"is not one of {_list_kinds(kind)}, judging by its first bytes; convert it to one of these",
        )
    # Players and cameras write QuickTime and MP4 brands into each other's files.
    if proved != extension and {proved, extension} != {"mp4", "mov"}:
        message = f"is declared {MIME_OF_EXTENSION[extension]}, but is {MIME_OF_EXTENSION[proved]}"
        return "media_type_mismatch", f"{message}; declare the real type"
    if kind == "video":
        return None
    width, height = imagesize.get(io.BytesIO(raw[:_HEADER_BYTES]), exif_rotation=False)
    if width <= 0 or height <= 0:
        return "media_unreadable", f"has a damaged {extension} header; export the image again"
    return dimensions_fault(width, height) or still_image_fault(raw, extension)


def _list_prefixes(kind: Kind) -> str:
    return " ".join(PREFIXES[kind])


def _list_kinds(kind: Kind) -> str:
    return ", ".join(dict.fromkeys(_EXTENSION_OF_DECLARED[kind].values()))
