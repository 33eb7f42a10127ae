"""Serves the files of results, until they expire; and misbehaves if a fault of the task wants it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response, StreamingResponse

from gateway.sandbox.answers import refusal
from gateway.sandbox.server import TruncatedResponse
from gateway.sandbox.service import Sandbox
from gateway.sandbox.task_runner import PLACEHOLDER

#: Reference images of our own for demos, and the film that stands for every result when none is rendered.
SAMPLES: Final = Path(__file__).parent / "samples"
_RESULT_NAME: Final = re.compile(r"[0-9a-f]{32}(-marked\.mp4|\.mp4|\.jpg)", re.ASCII)
_PRIVATE: Final = "http://10.255.255.1/film.mp4"
_PAGE: Final = b"<!DOCTYPE html><html><title>Sign in</title><p>Please sign in to continue.</p></html>"
_CHUNK: Final = bytes(65_536)
_LOOK_SECONDS: Final = 0.05


async def result(request: Request) -> Response:
    """A finished file; supports Range and HEAD."""
    sandbox: Sandbox = request.app.state.sandbox
    name = request.path_params["name"]
    path = SAMPLES / name if name == PLACEHOLDER else sandbox.options.files_dir / name
    until = request.query_params.get("until")
    is_dead = until is not None and sandbox.environment.clock() * 1000 >= int(until)
    if is_dead or not (name == PLACEHOLDER or _RESULT_NAME.fullmatch(name)) or not path.is_file():
        return refusal("NotFound", "no such file", 404, sandbox.new_request_id())
    return _misbehaving(request, path) or FileResponse(path)


def _misbehaving(request: Request, path: Path) -> Response | None:
    """The answer that the fault wants; None for a good one."""
    fault = request.query_params.get("fault")
    whole = path.read_bytes() if fault in ("short_result", "stalled_result", "endless_result") else b""
    match fault:
        case "empty_result":
            return Response(media_type="video/mp4")
        case "html_result":
            return Response(_PAGE, media_type="text/html")
        case "private_result":
            return RedirectResponse(_PRIVATE, 302)
        case "short_result":
            return TruncatedResponse(whole, media_type="video/mp4")
        case "stalled_result":
            return StreamingResponse(_stalling(request, whole[: len(whole) // 2]), media_type="video/mp4")
        case "endless_result":
            return StreamingResponse(_endless(request, whole), media_type="video/mp4")
        case _:
            return None


async def _stalling(request: Request, raw: bytes) -> AsyncIterator[bytes]:
    yield raw
    while not await request.is_disconnected():  # noqa: ASYNC110 - there is no event of it
        await asyncio.sleep(_LOOK_SECONDS)


async def _endless(request: Request, raw: bytes) -> AsyncIterator[bytes]:
    yield raw
    while not await request.is_disconnected():
        yield _CHUNK
