"""Reads a body piece by piece, within limits of size and time, and never holds all of it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import Request

from gateway.web.http.bodies import declared_length, seconds_for, too_large, too_slow
from gateway.web.http.problems import BODY_READ, Refusal

_NO_LIMIT: Final = math.inf


async def stream(request: Request, max_bytes: int, smaller: str) -> AsyncIterator[bytes]:
    """The pieces of the body. It must come in as fast as any large body, from its first byte on.

    Raises Refusal: 413 (before reading, if the length is declared), 408, or 400 when the client disconnects.
    """
    declared_length(request, max_bytes, smaller)
    count = 0
    start = asyncio.get_running_loop().time()
    while True:
        try:
            async with asyncio.timeout_at(start + seconds_for(count, _NO_LIMIT)):
                message = await request.receive()
        except TimeoutError:
            raise too_slow(count, _NO_LIMIT) from None
        if message["type"] == "http.disconnect":
            raise Refusal(400, "the connection ended before the body was complete; send it again")
        piece: bytes = message.get("body", b"")
        count += len(piece)
        if count > max_bytes:
            raise too_large(max_bytes, smaller)
        if piece:
            yield piece
        if not message.get("more_body", False):
            request.scope[BODY_READ] = True
            return
