"""Checks media references: the type of inline images and clips, and every published limit.

A reference is a URL, a data URI (`gateway.generation.data_uris`), or an upload, which the rules recognize.
For a data URI, the magic bytes must
match the declared type, and the structure of an image must be complete. Nothing is decoded here. Clips, and
images whose structure leaves a doubt, are inspected later: see `gateway.generation.inspection`.

Limits (published documentation): images png, jpeg, jpg, webp; clips mp4, mov, avi; both at least 128x128,
with an aspect ratio from 1:4 to 4:1, inclusive. URLs are checked by syntax only and never downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.errors import Problem
from gateway.generation import data_uris
from gateway.generation.file_types import EXTENSIONS, HEAD_BYTES, MIME_OF_EXTENSION, Kind, name_of, sniff
from gateway.generation.still_image import Fault, examine_image
from gateway.urls import url_fault

MIN_PIXELS = 128
MAX_RATIO = 4
MAX_URL_CHARACTERS = 8192  # pre-signed URLs are long, but a URL must not be able to fill Redis
_OTHER_PLACE: dict[Kind, str] = {"image": "videos", "video": "images"}


@dataclass(frozen=True, slots=True)
class InlineMedia:
    """One file that was sent inside the request. `param`: its position, such as `images[2]`.

    `max_seconds`: the longest allowed length of a clip, which depends on the number of clips; 0 for an image.
    `needs_inspection`: not everything could be checked without decoding.
    """

    param: str
    kind: Kind
    mime: str
    extension: str
    raw: bytes = field(repr=False)
    max_seconds: float = 0.0
    needs_inspection: bool = False


@dataclass(frozen=True, slots=True)
class UploadUse:
    """One upload that the request names, by its id or its address. `param` and `max_seconds`: as of
    `InlineMedia`. Whether there is such an upload, the intake finds out."""

    param: str
    kind: Kind
    upload_id: str
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
    if not data_uris.is_data_uri(reference):
        fault = _not_inline_fault(reference, kind, private_urls)
        if fault is not None:
            problems.append(Problem(param, *fault))
        return None
    try:
        extension, raw = data_uris.read(reference, kind, max_bytes)
    except data_uris.BadDataURI as error:
        problems.append(Problem(param, *error.fault))
        return None
    fault, in_doubt = _examine(raw, kind, extension)
    if fault is not None:
        problems.append(Problem(param, *fault))
        return None
    mime = MIME_OF_EXTENSION[extension]
    return InlineMedia(param, kind, mime, extension, raw, max_seconds, in_doubt)


def unknown_upload(param: str) -> Problem:
    """There is no such upload, or it is another tenant's; a client cannot see which."""
    message = "names no upload of yours; it may have expired: upload the file again, and use its new id"
    return Problem(param, "unknown_upload", message)


def dimensions_fault(width: int, height: int) -> tuple[str, str] | None:
    """Code and message if `width` x `height` pixels are too small or too narrow, else None."""
    if min(width, height) < MIN_PIXELS:
        return "media_too_small", f"is {width}x{height}; send at least {MIN_PIXELS}x{MIN_PIXELS} pixels"
    if max(width, height) > MAX_RATIO * min(width, height):
        return "media_ratio", f"is {width}x{height}; crop it to an aspect ratio within 1:4 to 4:1"
    return None


def _not_inline_fault(reference: str, kind: Kind, private_urls: bool) -> tuple[str, str] | None:
    fault = url_fault(reference, max_characters=MAX_URL_CHARACTERS, public=not private_urls)
    if fault is None:
        return None
    example = data_uris.EXAMPLE[kind]
    if reference.startswith("upl_"):
        return "unknown_upload", "is not the id of an upload; ids look like upl_ and 26 letters and digits"
    if not reference:
        return "blank", f"is empty; send a URL, or the file itself as {example}"
    if fault[0] in ("url_scheme", "url_not_public"):
        fault = fault[0], f"{fault[1]}, or the file itself as {example}"
    return data_uris.near_miss(reference, kind) or fault


def _examine(raw: bytes, kind: Kind, extension: str) -> tuple[Fault | None, bool]:
    """The fault of a file, and whether it needs inspection."""
    proved = sniff(raw[:HEAD_BYTES])
    if proved is None:
        return ("media_unknown", unknown_type_message(raw[:HEAD_BYTES], kind)), False
    # Players and cameras write QuickTime and MP4 brands into each other's files.
    if proved != extension and {proved, extension} != {"mp4", "mov"}:
        message = f"is declared {MIME_OF_EXTENSION[extension]}, but is {MIME_OF_EXTENSION[proved]}"
        misplaced = proved not in EXTENSIONS[kind]
        way_out = f"put it into {_OTHER_PLACE[kind]}" if misplaced else "declare the real type"
        return ("media_type_mismatch", f"{message}; {way_out}"), False
    if kind == "video":
        return None, True
    image = examine_image(raw, extension)
    fault = image.fault or (dimensions_fault(*image.size) if image.size else None)
    return fault, image.in_doubt


def unknown_type_message(head: bytes, *kinds: Kind) -> str:
    """Why a file with this head is none of these kinds, and the way out."""
    taken = ", ".join(extension for kind in kinds for extension in EXTENSIONS[kind])
    if not head:
        return f"is empty; send a file that is one of {taken}"
    name = name_of(head)
    if name is None:
        return f"is not one of {taken}, judging by its first bytes; convert it to one of these"
    return f"is {name}, judging by its first bytes; convert it to one of {taken}"
