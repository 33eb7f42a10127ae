"""Fetches a file of a result: streamed, resumed where it broke, and checked."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import urljoin

from . import errors
from .files import Progress
from .requests import Head, Request, backoff, opened
from .steps import Call, chunk, pause

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS: Final = 5
_LONGEST_PAUSE_SECONDS: Final = 8.0
_SHA256: Final = re.compile(r'"([0-9a-f]{64})"')


@dataclass(slots=True)
class _Download:
    """What came so far. `etag`: of the file, if it is strong. `sha256`: what the file must have, if known."""

    file: BinaryIO
    sha256: str | None
    progress: Progress | None
    done: int = 0
    total: int | None = None
    etag: str | None = None
    digest: Any = field(default_factory=hashlib.sha256)

    def headers(self) -> dict[str, str]:
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if self.done and self.etag:
            headers |= {"Range": f"bytes={self.done}-", "If-Range": self.etag}
        return headers

    def begin(self, head: Head) -> None:
        """Goes on where it broke if the answer is that part of the same file, and else begins anew."""
        if head.status != 206 or not head.headers.get("content-range", "").startswith(f"bytes {self.done}-"):
            self.file.seek(0)
            self.file.truncate()
            self.done, self.digest = 0, hashlib.sha256()
        etag = head.headers.get("etag", "")
        self.etag = etag if etag.startswith('"') else None
        length = head.headers.get("content-length", "")
        self.total = self.done + int(length) if length.isdecimal() else None

    def add(self, piece: bytes) -> None:
        self.file.write(piece)
        self.digest.update(piece)
        self.done += len(piece)
        if self.progress is not None:
            self.progress(self.done, self.total)

    def check(self) -> None:
        if self.sha256 is not None and self.digest.hexdigest() != self.sha256:
            raise errors.BadDownload(
                f"{self.done} bytes came with another SHA-256 than the file has; nothing was kept"
            )


def target(to: str | PathLike[str]) -> Path:
    """The path to write to. Refused before anything is sent if that cannot work."""
    path = Path(to)
    if path.is_dir():
        raise IsADirectoryError(
            f"to: {path} is a folder; pass the path of the file, as in {path / 'fox.mp4'}"
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(f"to: the folder {path.parent} does not exist; make it first")
    return path


def download(
    path: str, query: Mapping[str, Any], to: Path, sha256: str | None, progress: Progress | None
) -> Call[Path]:
    """Fetches `path` to the file `to`, which appears only when it is complete. The folder must exist."""
    # A name that neither a file of the user has nor another download. Unlike a file of `tempfile`, it is as
    # readable as every new file.
    part = to.with_name(f".{uuid.uuid4()}.part")
    try:
        with part.open("xb") as file:
            state = _Download(file, sha256, progress)
            yield from _fetch(Request("GET", path, query), state)
        state.check()
        part.replace(to)
    finally:
        part.unlink(missing_ok=True)
    return to


def _fetch(request: Request, state: _Download) -> Call[None]:
    retries: int = yield lambda session: session.retries
    failures = 0
    while True:
        before = state.done
        head = yield from _followed(request, state)
        state.begin(head)
        try:
            while piece := (yield from chunk()):
                state.add(piece)
            return
        except errors.ConnectionFailed:
            failures = 0 if state.done > before else failures + 1
            if failures > retries:
                raise
        yield from pause(backoff(failures, _LONGEST_PAUSE_SECONDS))


def _followed(request: Request, state: _Download) -> Call[Head]:
    """The head of the file, after redirects. They never get the key."""
    asked = Request("GET", request.path, request.query, state.headers())
    for _ in range(_MOST_REDIRECTS + 1):
        head = yield from opened(asked, _REDIRECTS)
        if head.status not in _REDIRECTS:
            if found := _SHA256.fullmatch(head.headers.get("etag", "")):
                state.sha256 = state.sha256 or (found[1] if asked.path.startswith("/") else None)
            return head
        asked = Request("GET", urljoin(asked.path, head.headers.get("location", "")), headers=state.headers())
    raise errors.GatewayError(f"GET {request.path} was redirected more than {_MOST_REDIRECTS} times")
