"""Parts of a file: conditional requests and requests for a range (RFC 9110, 13 and 14)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from gateway.web.http.headers import Headers
from gateway.web.http.problems import Refusal

_RANGE: Final = re.compile(
    rb"bytes=[ \t]*(?:([0-9]{1,18})-([0-9]{1,18})?|-([0-9]{1,18}))[ \t]*\Z", re.IGNORECASE
)
_TAG: Final = re.compile(rb'(?:W/)?("[^"]*")')


class Part(NamedTuple):
    """The bytes from `start` to before `end`."""

    start: int
    end: int


def unchanged(headers: Headers, etag: str) -> bool:
    """Whether the client has this file already, by `If-None-Match`."""
    given = headers.get(b"if-none-match", b"").strip()
    return given == b"*" or etag.encode() in _TAG.findall(given)


def wanted_part(headers: Headers, etag: str, size: int) -> Part | None:
    """The part that the client wants; None: the whole file.

    A range that is malformed, or that is a list, is ignored, as is one of another file (`If-Range`). Refusal
    (416) if the file ends before the range begins.
    """
    found = _RANGE.match(headers.get(b"range", b""))
    if found is None or headers.get(b"if-range", etag.encode()).strip() != etag.encode():
        return None
    first, last, suffix = (None if text is None else int(text) for text in found.groups())
    if first is None:
        assert suffix is not None
        part = Part(max(0, size - suffix), size)
    elif last is not None and last < first:
        return None
    else:
        part = Part(first, size if last is None else min(last + 1, size))
    if part.start >= part.end:
        refused = Refusal(416, f"the file has {size} bytes; ask for a part of them, or for the whole file")
        refused.headers = {"content-range": f"bytes */{size}"}
        raise refused
    return part
