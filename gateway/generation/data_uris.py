"""Reads and writes data URIs (RFC 2397): `data:image/png;base64,...`.

Everything before the comma is read as the RFC allows: case does not matter, and parameters such as `charset`
are passed over, because the gateway writes its own prefix on the way out. The data must be strict Base64 (RFC
4648, section 4). Each way in which clients get that wrong has its own message.
"""

from __future__ import annotations

import re
from typing import Final

import pybase64

from gateway.generation.file_types import EXTENSIONS, MIME_OF_EXTENSION, Kind

EXAMPLE: Final[dict[Kind, str]] = {
    "image": "data:image/png;base64,iVBORw0...",
    "video": "data:video/mp4;base64,AAAA...",
}
_MAX_PREFIX_CHARACTERS = 1024
# Beside the types of RFC 6838 there are older names for the same files.
_EXTENSION_OF_TYPE: Final[dict[Kind, dict[str, str]]] = {
    "image": {
        **{f"image/{name}": "png" for name in ("png", "x-png")},
        **{f"image/{name}": "jpg" for name in ("jpeg", "jpg", "pjpeg")},
        "image/webp": "webp",
    },
    "video": {
        **{f"video/{name}": "mp4" for name in ("mp4", "x-m4v")},
        **{f"video/{name}": "mov" for name in ("quicktime", "mov")},
        **{f"video/{name}": "avi" for name in ("x-msvideo", "avi", "msvideo", "vnd.avi")},
    },
}
_PLACE: Final[dict[Kind, str]] = {"image": "images", "video": "videos"}
_BASE64 = re.compile(r"[A-Za-z0-9+/=]*+")
_BARE_BASE64 = re.compile(r"(?:b['\"])?(?:[A-Za-z0-9+/]{32}|_9j_)")  # _9j_: a JPEG, in the URL-safe alphabet
_BEFORE_DATA = re.compile(r"[\s'\"(<b]{1,8}data:", re.IGNORECASE)
_URL_SAFE = ("a character of the URL-safe alphabet", "encode it with + and / instead of - and _")
_ODD_CHARACTERS: Final = {
    "-": _URL_SAFE,
    "_": _URL_SAFE,
    "%": ("a %", "it is percent-encoded: send + / and = as they are"),
    "\\": ("a backslash", "it was escaped twice: send the Base64 alone"),
}

Fault = tuple[str, str]


class BadDataURI(Exception):
    """A reference is not a data URI that is taken. `fault`: code and message of the problem."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.fault: Fault = code, message


def is_data_uri(reference: str) -> bool:
    """Whether the reference starts like a data URI."""
    return reference[:5].lower() == "data:"


def read(reference: str, kind: Kind, max_bytes: int) -> tuple[str, bytes]:
    """The extension that a data URI declares, and its data. Raises BadDataURI.

    `max_bytes`: the limit of the decoded data.
    """
    comma = reference.find(",", 0, _MAX_PREFIX_CHARACTERS)
    if comma < 0:
        raise BadDataURI("media_type", f"has no comma that ends its prefix; send {EXAMPLE[kind]}")
    declared, *parameters = reference[5:comma].lower().split(";")
    if not parameters or parameters[-1].lstrip(" ") != "base64":
        last = "base64" in (parameter.strip() for parameter in parameters)
        message = "must have ;base64 directly before its comma" if last else "must be encoded in Base64"
        raise BadDataURI("media_type", f"{message}; send {EXAMPLE[kind]}")
    extension = _EXTENSION_OF_TYPE[kind].get(declared)
    if extension is None:
        raise BadDataURI("media_type", _type_message(declared, kind))
    return extension, _decode(reference, comma + 1, max_bytes)


def write(extension: str, raw: bytes) -> str:
    """The file as a data URI, which an upstream accepts."""
    data = pybase64.b64encode_as_string(raw)
    return f"data:{MIME_OF_EXTENSION[extension]};base64,{data}"


def written_bytes(extension: str, size: int) -> int:
    """The length of the data URI of a file of `size` bytes."""
    return len(write(extension, b"")) + (size + 2) // 3 * 4


def near_miss(reference: str, kind: Kind) -> Fault | None:
    """Code and message if a reference that is no URL was meant as a file, else None."""
    if _BEFORE_DATA.match(reference):
        return (
            "media_type",
            f"has a space or quote before data: and must start like {EXAMPLE[kind]}",
        )
    if _BARE_BASE64.match(reference):
        return "bare_base64", f"looks like Base64, which needs its prefix; send {EXAMPLE[kind]}"
    return None


def _type_message(declared: str, kind: Kind) -> str:
    other: Kind = "video" if kind == "image" else "image"
    if declared in _EXTENSION_OF_TYPE[other]:
        return f"is declared as one of {_PLACE[other]}; put it there, or declare the real type"
    taken = " ".join(MIME_OF_EXTENSION[extension] for extension in EXTENSIONS[kind])
    if not declared:
        return f"declares no type; put one of {taken} after data:"
    message = f"declares a type that is not one of {taken}; declare the real type"
    return f"{message}, and convert a file of another type"


def _decode(reference: str, start: int, max_bytes: int) -> bytes:
    at_least = (len(reference) - start) // 4 * 3 - 2
    if at_least > max_bytes:
        message = f"has more than {max_bytes} bytes; make it smaller, or send a URL"
        raise BadDataURI("media_too_large", message)
    try:
        raw = pybase64.b64decode(reference[start:], validate=True)
    except ValueError:
        raise BadDataURI("base64", _base64_message(reference[start:])) from None
    if len(raw) > max_bytes:
        message = f"has {len(raw)} bytes; send at most {max_bytes}, or a URL"
        raise BadDataURI("media_too_large", message)
    return raw


def _base64_message(data: str) -> str:
    """What is wrong with the data, and the way out."""
    if is_data_uri(data.lstrip()):
        return "has its prefix twice; remove one"
    if data[:2] in ("b'", 'b"'):
        return "holds the printed form of Python bytes (b'...'); call .decode() on them first"
    good = _BASE64.match(data)
    position = good.end() if good else 0
    if position == len(data):
        return _padding_message(data)
    at = f"at character {position + 1} of its data"
    if data[position].isspace():
        return f"has a space or line break {at}; send one line, and check that + did not become a space"
    name, way_out = _ODD_CHARACTERS.get(
        data[position], ("a character that is not Base64", "encode the file again")
    )
    return f"has {name} {at}; {way_out}"


def _padding_message(data: str) -> str:
    body = data.rstrip("=")
    lacking = -len(body) % 4
    if "=" in body:
        return "has characters after its padding; encode the file in one piece, not in parts"
    if lacking == 3:
        return "ends too early; send all of its Base64"
    if len(data) - len(body) < lacking:
        return f"lacks its padding; end it with {'=' * lacking}"
    return "has more = at its end than it needs; encode the file again"
