"""Reading a request's body: bounded in size, in time, and in memory over all requests of the process."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request

from gateway.errors import LimitReached, Problem, Unavailable
from gateway.web.http.headers import headers_of
from gateway.web.http.problems import BODY_READ, Refusal

#: Bytes of bodies that one process holds at once. Checking a body takes several times its size.
PROCESS_BYTES: Final = 256 * 2**20
#: One tenant may hold this part of them.
TENANT_PART: Final = 4
#: A body of up to this size is not counted: an ordinary job is posted however many large ones there are.
FREE_BYTES: Final = 65_536
#: A body has this long, and longer by its size at the slowest rate that is waited for.
FIRST_SECONDS: Final = 10.0
SLOWEST_BYTES_PER_SECOND: Final = 256_000
_RETRY_SECONDS: Final = 2
_DIGITS: Final = re.compile(rb"[0-9]{1,18}\Z")


@dataclass(slots=True)
class ByteBudget:
    """A number of bytes that all large bodies in flight share."""

    capacity: int = PROCESS_BYTES
    used: int = 0
    _of: Counter[str] = field(default_factory=Counter)

    def take(self, tenant: str, count: int) -> None:
        """Unavailable when there is no room for that many, LimitReached when the tenant's part is used up."""
        if self.used + count > self.capacity:
            raise Unavailable("too many large bodies are being read; send this one again in a moment")
        if self._of[tenant] + count > self.capacity // TENANT_PART:
            raise LimitReached(
                "too many large bodies of yours are being read; send fewer at once", _RETRY_SECONDS
            )
        self.used += count
        self._of[tenant] += count

    def give(self, tenant: str, count: int) -> None:
        self.used -= count
        self._of[tenant] -= count
        if not self._of[tenant]:
            del self._of[tenant]


@dataclass(slots=True)
class JsonBody:
    """`async with JsonBody(...) as raw:` the whole body of a request that must be JSON.

    What has arrived of a large one counts against the budget until the block ends. Refuses with 415, 413
    (before reading, when the length is declared), 408 or, out of budget, Unavailable or LimitReached.
    """

    request: Request
    tenant: str
    budget: ByteBudget
    max_bytes: int
    seconds: float
    _held: int = field(default=0, init=False)

    async def __aenter__(self) -> bytes:
        _check_form(self.request)
        try:
            return await read(self.request, self.max_bytes, self.seconds, self._hold)
        except BaseException:
            self._release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._release()

    def _hold(self, count: int) -> None:
        """Count `count` bytes in all. What is only declared is not counted: it costs nothing to declare."""
        if count > FREE_BYTES:
            self.budget.take(self.tenant, count - self._held)
            self._held = count

    def _release(self) -> None:
        self.budget.give(self.tenant, self._held)


async def read(
    request: Request, max_bytes: int, seconds: float, progress: Callable[[int], None] = lambda _: None
) -> bytes:
    """The whole body, in `seconds_for` its size. Refuses with 413 (unread when the length is declared, else
    at the first part too many), 408, or 400 when the client leaves. `progress` is told the bytes so far."""
    size = declared_length(request, max_bytes)
    chunks: list[bytes] = []
    count = 0
    start = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout_at(start + seconds_for(size, seconds)) as deadline:
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
                if count > size:
                    deadline.reschedule(start + seconds_for(count, seconds))
    except TimeoutError:
        waited = seconds_for(max(size, count), seconds)
        raise Refusal(408, f"the body did not arrive within {waited:.3g} s; send it again") from None
    request.scope[BODY_READ] = True
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def seconds_for(size: int, most: float) -> float:
    """How long a body of `size` bytes may take: what stalls is given up long before `most` seconds."""
    return min(most, FIRST_SECONDS + size / SLOWEST_BYTES_PER_SECOND)


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
