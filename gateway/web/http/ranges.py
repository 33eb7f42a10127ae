"""Requests for a part of a file (RFC 9110, section 14)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from gateway.web.http.headers import Headers
from gateway.web.http.problems import Refusal

_ONE: Final = re.compile(rb"bytes=\s*(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))\s*\Z")


class Part(NamedTuple):
    """The bytes from `start` to before `end` of a file of `size` bytes."""

    start: int
    end: int
    size: int

    @property
    def content_range(self) -> str:
        return f"bytes {self.start}-{self.end - 1}/{self.size}"


def part_of(headers: Headers, size: int, etag: str) -> Part | None:
    """The part that a GET asks for; None: the whole file, also for several parts, for a header that is no
    range, and if the file is no longer the one of `If-Range`. Raises Refusal (416) if it has no such part."""
    found = _ONE.match(headers.get(b"range", b""))
    condition = headers.get(b"if-range")
    if found is None or (condition is not None and condition.strip() != etag.encode()):
        return None
    first, last, suffix = found.groups()
    if first is None:
        start, end = max(0, size - int(suffix)), size
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
        if last and int(last) < start:
            return None  # not a range
    if start >= min(end, size):
        refusal = Refusal(416, f"the file has {size} bytes; ask for some of these")
        refusal.headers = {"content-range": f"bytes */{size}"}
        raise refusal
    return Part(start, end, size)


def unchanged(headers: Headers, etag: str) -> bool:
    """Whether the client has this version of the file already."""
    given = headers.get(b"if-none-match", b"").decode("latin-1")
    return any(one.strip().removeprefix("W/") in (etag, "*") for one in given.split(",")) if given else False
