"""Reading a request's body: bounded in size, in time, and in memory over all requests of the process."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request

from gateway.errors import Problem, Unavailable
from gateway.web.heads import headers_of
from gateway.web.problems import BODY_READ, Refusal

#: Bytes of bodies that one process holds at once. Checking a body takes several times its size.
PROCESS_BYTES: Final = 256 * 2**20
_DIGITS: Final = re.compile(rb"[0-9]{1,18}\Z")


@dataclass(slots=True)
class ByteBudget:
    """A number of bytes that all bodies in flight share."""

    capacity: int = PROCESS_BYTES
    used: int = 0

    def take(self, count: int) -> None:
        """Unavailable when there is no room for that many."""
        if self.used + count > self.capacity:
            raise Unavailable("too many large bodies are being read; send this one again in a moment")
        self.used += count

    def give(self, count: int) -> None:
        self.used -= count


@dataclass(slots=True)
class JsonBody:
    """`async with JsonBody(...) as raw:` the whole body of a request that must be JSON.

    Its memory counts against the budget until the block ends. Refuses with 415, 413 (before reading, when the
    length is declared), 408 or, out of budget, Unavailable.
    """

    request: Request
    budget: ByteBudget
    max_bytes: int
    seconds: float
    _held: int = field(default=0, init=False)

    async def __aenter__(self) -> bytes:
        _check_form(self.request)
        try:
            self._hold(declared_length(self.request, self.max_bytes))
            return await read(self.request, self.max_bytes, self.seconds, self._hold)
        except BaseException:
            self.budget.give(self._held)
            raise

    async def __aexit__(self, *_: object) -> None:
        self.budget.give(self._held)

    def _hold(self, count: int) -> None:
        """Count `count` bytes in all: what was declared, then what came when nothing or less was declared."""
        if count > self._held:
            self.budget.take(count - self._held)
            self._held = count


async def read(
    request: Request, max_bytes: int, seconds: float, progress: Callable[[int], None] = lambda _: None
) -> bytes:
    """The whole body. Refuses with 413 at the first part too many, 408, or 400 when the client leaves.
    `progress` is told the bytes so far."""
    chunks: list[bytes] = []
    count = 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise Refusal(400, "the body ended early")
                chunk: bytes = message.get("body", b"")
                chunks.append(chunk)
                count += len(chunk)
                if count > max_bytes:
                    raise _too_large(max_bytes)
                progress(count)
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        raise Refusal(408, f"the body did not arrive within {seconds:g} s; send it again") from None
    request.scope[BODY_READ] = True
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def declared_length(request: Request, max_bytes: int) -> int:
    """Content-Length, or 0 without one; refuses with 413 when it is too much."""
    text = headers_of(request).get(b"content-length", b"0")
    if not _DIGITS.match(text):
        message = "is not a length in bytes"
        raise Refusal(400, "Content-Length is wrong", [Problem("Content-Length", "not_a_length", message)])
    length = int(text)
    if length > max_bytes:
        raise _too_large(max_bytes)
    return length


def _check_form(request: Request) -> None:
    headers = headers_of(request)
    kind = headers.get(b"content-type", b"")
    if kind != b"application/json" and kind.partition(b";")[0].strip().lower() != b"application/json":
        message = "send the body as JSON, with Content-Type: application/json"
        raise Refusal(415, message, [Problem("Content-Type", "not_json", message)])
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        message = "send the body as it is, without Content-Encoding"
        raise Refusal(415, message, [Problem("Content-Encoding", "encoded", message)])


def _too_large(max_bytes: int) -> Refusal:
    return Refusal(413, f"the body is larger than {max_bytes} bytes; give large media as URLs instead")
