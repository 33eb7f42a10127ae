"""Receives the file of an upload: streams it to a local file, and checks it on the way and at its end.

Nothing holds the whole file: neither this process, nor the child that inspects it.
"""

from __future__ import annotations

import asyncio
import contextlib
import mmap
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.requests import Request

from gateway.errors import InvalidRequest, LimitReached, Problem, Unavailable
from gateway.generation import inspection
from gateway.generation.file_types import EXTENSIONS, HEAD_BYTES, MIME_OF_EXTENSION, Kind, sniff
from gateway.generation.inspection import Facts
from gateway.generation.media import dimensions_fault, unknown_type_message
from gateway.generation.still_image import Fault, StillImage, examine_image
from gateway.uploads import MAX_BYTES
from gateway.web.http.bodies import SMALLER, too_large
from gateway.web.http.headers import headers_of
from gateway.web.http.multipart import ROOM, boundary_of, file_in
from gateway.web.http.problems import Refusal
from gateway.web.http.spool import Spool, disk_errors, spooled
from gateway.web.http.streamed import stream
from gateway.web.state import State, state_of

FIELD: Final = "file"
#: Uploads that come in at once: of one tenant, and of all.
OF_TENANT: Final = 8
AT_ONCE: Final = 32
_CLIP_SECONDS: Final = 8.0
_RETRY_SECONDS: Final = 5
#: What a client may say that a file is. What it is, its bytes tell.
_FILE_TYPES: Final = ("image/", "video/", "application/octet-stream", "binary/octet-stream")


@dataclass(frozen=True, slots=True)
class Received:
    """A file that passed every check. `path`: where it is until the block ends. `width`, `height`: pixels;
    `seconds`: of a clip; None if it was not inspected."""

    path: Path
    size: int
    sha256: str
    extension: str
    width: int | None = None
    height: int | None = None
    seconds: float | None = None


@contextlib.asynccontextmanager
async def received(request: Request, tenant: str, path: Path) -> AsyncIterator[Received]:
    """The file in a request, written to `path`. Raises InvalidRequest, Refusal, LimitReached, Unavailable."""
    state = state_of(request)
    boundary = _check_head(request)
    param = "" if boundary is None else FIELD
    with _place(state, tenant):
        async with spooled(path) as spool:
            most = MAX_BYTES["video"] + (0 if boundary is None else ROOM)
            pieces = body = stream(request, most, SMALLER)
            if boundary is not None:
                pieces = file_in(body, boundary, FIELD)
            extension = await _spool(pieces, spool, _declared(request), param)
            sha256 = await spool.sha256()
            facts = await _examine(state, tenant, spool, extension, param)
            yield Received(path, spool.size, sha256, extension, *facts)


def _check_head(request: Request) -> bytes | None:
    """The boundary, if the body is a form. Raises Refusal: 415 if it is declared as what is no file."""
    headers = headers_of(request)
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        message = "send the file as it is, without Content-Encoding"
        raise Refusal(415, message, [Problem("Content-Encoding", "encoded", message)])
    declared = headers.get(b"content-type", b"")
    boundary = boundary_of(declared)
    kind = declared.decode("latin-1").strip().lower()
    if boundary is None and kind and not kind.startswith(_FILE_TYPES):
        message = (
            "send the file itself with its own Content-Type, such as video/mp4, or a form "
            f"(multipart/form-data) with the file in the field {FIELD}"
        )
        raise Refusal(415, message, [Problem("Content-Type", "not_a_file", message)])
    return boundary


@contextlib.contextmanager
def _place(state: State, tenant: str) -> Iterator[None]:
    """One of the places for uploads. Slow clients of one tenant must not keep all others out."""
    own = LimitReached(
        f"{OF_TENANT} uploads of this tenant are coming in; send fewer at once",
        _RETRY_SECONDS,
        limit="open_uploads",
    )
    everybody = Unavailable("too many uploads are coming in; send this one again in a moment")
    with state.held.one(f"uploads {tenant}", OF_TENANT, own), state.held.one("uploads", AT_ONCE, everybody):
        yield


def _declared(request: Request) -> int:
    return int(headers_of(request).get(b"content-length", b"0"))  # it was checked


async def _spool(pieces: AsyncIterator[bytes], spool: Spool, declared: int, param: str) -> str:
    """Writes the pieces, and returns the extension that the first of them prove. Raises Refusal (413) as soon
    as the file is too large for its kind."""
    head, extension, most = b"", None, 0
    async for piece in pieces:
        if extension is None:
            head += piece[: HEAD_BYTES - len(head)]
            if len(head) == HEAD_BYTES:
                extension, most = _kind_of(head, declared, param)
        if extension is not None and spool.size + len(piece) > most:
            raise too_large(most, SMALLER)
        await spool.take(piece)
    return extension or _kind_of(head, declared, param)[0]


def _kind_of(head: bytes, declared: int, param: str) -> tuple[str, int]:
    """The extension, and the most bytes that such a file may have."""
    extension = sniff(head)
    if extension is None:
        message = unknown_type_message(head, "image", "video")
        raise InvalidRequest([Problem(param, "media_unknown", message)])
    most = MAX_BYTES[_kind(extension)]
    if declared > most + (ROOM if param else 0):
        raise too_large(most, f"{SMALLER}; this is {MIME_OF_EXTENSION[extension]}")
    return extension, most


def _kind(extension: str) -> Kind:
    return "video" if extension in EXTENSIONS["video"] else "image"


async def _examine(
    state: State, tenant: str, spool: Spool, extension: str, param: str
) -> tuple[int | None, int | None, float | None]:
    """Width, height and seconds. Raises InvalidRequest, Unavailable."""
    size = None
    if _kind(extension) == "image":
        with disk_errors():
            found = await asyncio.to_thread(_structure, spool, extension)
        fault = found.fault or (dimensions_fault(*found.size) if found.size else None)
        if fault is not None:
            raise InvalidRequest([Problem(param, *fault)])
        size = found.size
        if not found.in_doubt:
            assert size is not None
            return *size, None
    if not inspection.can_inspect():
        return *(size or (None, None)), None
    async with state.resources.intake.inspections.turn(tenant):
        spool.file.seek(0)
        facts: Facts | Fault = await inspection.inspect_file(
            spool.file, _kind(extension), extension, _CLIP_SECONDS
        )
    if not isinstance(facts, Facts):
        raise InvalidRequest([Problem(param, *facts)])
    return facts.width, facts.height, facts.seconds if _kind(extension) == "video" else None


def _structure(spool: Spool, extension: str) -> StillImage:
    with mmap.mmap(spool.file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
        return examine_image(raw, extension)
