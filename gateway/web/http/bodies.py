"""Reads request bodies within limits of size, time, and memory over all requests of the gateway."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request

from gateway.errors import LimitReached, Problem, Unavailable
from gateway.local.shared_memory import Held, Shared
from gateway.web.http.headers import headers_of
from gateway.web.http.problems import BODY_READ, Refusal, detail_of

#: Maximum bytes of bodies that the processes of a gateway hold at once. Checking a body takes several times
#: its size.
ALL_BYTES: Final = 256 * 2**20
#: One tenant may hold 1 / TENANT_PART of them.
TENANT_PART: Final = 4
#: Bodies up to this size are not counted, so that large bodies never block an ordinary job.
FREE_BYTES: Final = 65_536
#: A larger body is put together in a thread, where it holds up nobody: `join` lets other threads run then.
_LARGE_BYTES: Final = 2**20
#: Every body may take this long, plus its size divided by SLOWEST_BYTES_PER_SECOND.
FIRST_SECONDS: Final = 10.0
SLOWEST_BYTES_PER_SECOND: Final = 256_000
#: The way out when a body is too large.
SMALLER: Final = "send a smaller one"
_RETRY_SECONDS: Final = 2
_BODIES: Final = "bytes of bodies"
_DIGITS: Final = re.compile(rb"[0-9]{1,18}\Z")


@dataclass(slots=True)
class ByteBudget:
    """The bytes that all large bodies in flight share."""

    capacity: int = ALL_BYTES
    held: Held = field(default_factory=lambda: Shared().held)

    @property
    def used(self) -> int:
        return self.held.sum(_BODIES)

    def take(self, tenant: str, count: int) -> None:
        """Reserve `count` bytes. Unavailable when the budget is used up, LimitReached when the tenant's share
        is."""
        if not self.held.take(_BODIES, self.capacity, count):
            raise Unavailable("too many large bodies are being read; send this one again in a moment")
        taken = False
        try:
            taken = self.held.take(f"{_BODIES} {tenant}", self.capacity // TENANT_PART, count)
        finally:
            if not taken:
                self.held.give(_BODIES, count)
        if not taken:
            message = "too many large bodies of yours are being read; send fewer at once"
            raise LimitReached(message, _RETRY_SECONDS, limit="large_bodies")

    def give(self, tenant: str, count: int) -> None:
        self.held.give(_BODIES, count)
        self.held.give(f"{_BODIES} {tenant}", count)


@dataclass(slots=True)
class WholeBody:
    """Reads the whole body of a request: `async with WholeBody(...) as raw:`.

    The bytes of a large body count against the budget until the block ends. Raises Refusal with 413 (before
    reading, if the length is declared) or 408; Unavailable or LimitReached when the budget is used up.
    """

    request: Request
    tenant: str
    budget: ByteBudget
    max_bytes: int
    seconds: float
    smaller: str = SMALLER
    _held: int = field(default=0, init=False)

    async def __aenter__(self) -> bytes:
        try:
            return await read(self.request, self.max_bytes, self.seconds, self._hold, self.smaller)
        except BaseException:
            self._release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._release()

    def _hold(self, count: int) -> None:
        """`count`: bytes received so far. Bytes that are only declared are not counted."""
        if count > FREE_BYTES:
            self.budget.take(self.tenant, count - self._held)
            self._held = count

    def _release(self) -> None:
        if self._held:
            self.budget.give(self.tenant, self._held)


class JsonBody(WholeBody):
    """The same of a request that must be JSON. Raises Refusal with 415, too."""

    async def __aenter__(self) -> bytes:
        check_form(self.request)
        return await super().__aenter__()


async def read(
    request: Request,
    max_bytes: int,
    seconds: float,
    progress: Callable[[int], None] = lambda _: None,
    smaller: str = SMALLER,
) -> bytes:
    """Read the whole body, for at most `seconds_for` its size.

    `progress` is called with the number of bytes received so far. Raises Refusal with 413 (before reading, if
    the length is declared), 408, or 400 when the client disconnects.
    """
    size = declared_length(request, max_bytes, smaller)
    chunks: list[bytes] = []
    count = 0
    start = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout_at(start + seconds_for(size, seconds)) as deadline:
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise Refusal(400, "the connection ended before the body was complete; send it again")
                chunk: bytes = message.get("body", b"")
                chunks.append(chunk)
                count += len(chunk)
                if count > max_bytes:
                    raise too_large(max_bytes, smaller)
                progress(count)
                if not message.get("more_body", False):
                    break
                if count > size:
                    deadline.reschedule(start + seconds_for(count, seconds))
    except TimeoutError:
        raise too_slow(max(size, count), seconds) from None
    request.scope[BODY_READ] = True
    if len(chunks) == 1:
        return chunks[0]
    if count <= _LARGE_BYTES:
        return b"".join(chunks)
    return await asyncio.to_thread(b"".join, chunks)


def seconds_for(size: int, most: float) -> float:
    """Maximum seconds for a body of `size` bytes, so that a stalled body times out long before `most`."""
    return min(most, FIRST_SECONDS + size / SLOWEST_BYTES_PER_SECOND)


def declared_length(request: Request, max_bytes: int, smaller: str = SMALLER) -> int:
    """Content-Length, or 0 without one. Raises Refusal: 400 if it is not a number, 413 if it is too large."""
    text = headers_of(request).get(b"content-length", b"0")
    if not _DIGITS.match(text):
        message = "is not a length; send the number of bytes of the body"
        fault = Problem("Content-Length", "not_a_length", message)
        raise Refusal(400, detail_of([fault]), [fault])
    length = int(text)
    if length > max_bytes:
        raise too_large(max_bytes, smaller)
    return length


def check_form(request: Request) -> None:
    """Raises Refusal (415) if the body is not plain JSON by its headers."""
    headers = headers_of(request)
    kind = headers.get(b"content-type", b"")
    if kind != b"application/json" and kind.partition(b";")[0].strip().lower() != b"application/json":
        message = "send the body as JSON, with Content-Type: application/json"
        raise Refusal(415, message, [Problem("Content-Type", "not_json", message)])
    check_encoding(request)


def check_encoding(request: Request) -> None:
    """Raises Refusal (415) if the body is compressed by its headers."""
    headers = headers_of(request)
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        message = "send the body as it is, without Content-Encoding"
        raise Refusal(415, message, [Problem("Content-Encoding", "encoded", message)])


def too_large(max_bytes: int, smaller: str) -> Refusal:
    return Refusal(413, f"the body is larger than {max_bytes} bytes; {smaller}")


def too_slow(size: int, most: float) -> Refusal:
    return Refusal(408, f"the body did not arrive within {seconds_for(size, most):.3g} s; send it again")
