"""The types of files that are taken, and the names of others, so that a message can say what a file is.

The first bytes of a file decide, never its name or the type that a client declares.
"""

from __future__ import annotations

from typing import Final, Literal

from gateway.media.base import MEDIA_TYPES

Kind = Literal["image", "video"]

#: The media type we send upstream for each extension of a file we store.
MIME_OF_EXTENSION: Final = MEDIA_TYPES
EXTENSIONS: Final[dict[Kind, tuple[str, ...]]] = {
    "image": ("png", "jpg", "webp"),
    "video": ("mp4", "mov", "avi"),
}
HEAD_BYTES: Final = 64  # what `sniff` and `name_of` want to see

_QUICKTIME_ATOMS: Final = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip"})  # older than `ftyp`
# Brands of ISO files that hold only a picture or only sound (mp4ra.org).
_BRANDS: Final = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), "a HEIC photo"),
    **dict.fromkeys((b"mif1", b"mif2", b"msf1", b"miaf", b"avci", b"avcs", b"jpeg", b"jpgs"), "a HEIF photo"),
    **dict.fromkeys((b"avif", b"avis", b"avio"), "an AVIF picture"),
    b"crx ": "a raw photo (CR3)",
    b"jxl ": "a JPEG XL picture",
    **dict.fromkeys((b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B "), "sound without a picture (M4A)"),
}
_NAMES: Final = (
    (b"GIF8", "a GIF picture"),
    (b"BM", "a BMP picture"),
    ((b"II*\0", b"MM\0*"), "a TIFF picture or a raw photo"),
    ((b"\xff\x0a", b"\0\0\0\x0cJXL "), "a JPEG XL picture"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"8BPS", "a Photoshop file"),
    (b"\0\0\1\0", "an icon"),
    (b"%PDF", "a PDF file"),
    (b"\x1aE\xdf\xa3", "a WebM or Matroska clip"),
    (b"FLV\1", "a Flash clip"),
    (b"0&\xb2u", "a Windows Media file"),
    ((b"\0\0\1\xba", b"\0\0\1\xb3"), "an MPEG clip"),
    (b"OggS", "an Ogg file"),
    (b"ID3", "an MP3 file"),
    (b"PK\3\4", "a ZIP file"),
    (b"\x1f\x8b", "a gzip file"),
    ((b"/9j/", b"iVBORw0K", b"UklGR", b"data:"), "a file that was encoded in Base64 twice"),
)
_TEXTS: Final = ((b"<svg", "an SVG picture"), (b"<!doctype html", "a web page"), (b"<html", "a web page"))


def sniff(head: bytes) -> str | None:
    """The extension that the first bytes prove, or None. Any ISO clip that is not QuickTime is `mp4`."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpg"
    if head[:4] == b"RIFF":
        return {b"WEBP": "webp", b"AVI ": "avi"}.get(head[8:12])
    if head[4:8] == b"ftyp":
        if head[8:12] in _BRANDS:
            return None
        return "mov" if head[8:12] == b"qt  " else "mp4"
    return "mov" if head[4:8] in _QUICKTIME_ATOMS else None


def name_of(head: bytes) -> str | None:
    """What a file is that `sniff` does not know, for a message; None if that is unknown here, too."""
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12])
    for start, name in _NAMES:
        if head.startswith(start):
            return name
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"<?xml"):
        return "an XML text, perhaps an SVG picture or an error message"
    return next((name for start, name in _TEXTS if text.startswith(start)), None)
