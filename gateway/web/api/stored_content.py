"""Sends a file of the media store, or a part of it, in pieces; bounds how many results are read at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Final, cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.errors import GatewayError, LimitReached, MediaStoreUnavailable, NotFound, Unavailable
from gateway.local.shared_memory import Held
from gateway.web.http.bodies import SLOWEST_BYTES_PER_SECOND
from gateway.web.http.headers import headers_of
from gateway.web.http.ranges import Part, unchanged, wanted_part
from gateway.web.state import state_of

#: Files that the keys of one tenant read at once, and as many by its links.
PER_TENANT: Final = 64
#: By the links of one job, which strangers may have.
PER_JOB: Final = 16
#: In all processes of this gateway. Each takes about half a megabyte.
ALL: Final = 512
#: A file may take this long, and a second more for each SLOWEST_BYTES_PER_SECOND of it.
FIRST_SECONDS: Final = 60.0
_RETRY_SECONDS: Final = 5
#: Answers if the file is not there after all; it gets the reason.
Otherwise = Callable[[GatewayError], Awaitable[Response]]


def without_bytes(request: Request, size: int, headers: Mapping[str, str]) -> Response | None:
    """The answer to a client that has the file already, and to HEAD. None: this client wants bytes.
    `headers`: those of the whole file, with its `etag`, but without its length."""
    if unchanged(headers_of(request), headers["etag"]):
        return Response(None, 304, headers)
    if request.method == "HEAD":
        return Response(None, 200, {**headers, "content-length": str(size)})
    return None


class StoredContent(Response):
    """The file, or the part of it that the client wants. An exception before the first byte becomes an error
    response. Raises Refusal (416).

    `size`, `headers`: as for `without_bytes`. `places`: held while it is sent. `otherwise`: None: the reason
    is raised.
    """

    def __init__(
        self,
        request: Request,
        key: str,
        size: int,
        headers: Mapping[str, str],
        places: AbstractContextManager[None],
        otherwise: Otherwise | None = None,
    ) -> None:
        part = wanted_part(headers_of(request), headers["etag"], size)
        self.status_code = 206 if part else 200
        self.part = part or Part(0, size)
        self._request = request
        self._key = key
        self._places = places
        self._otherwise = otherwise
        self.background = None
        self.body = b""
        start, end = self.part
        of_part = {"content-range": f"bytes {start}-{end - 1}/{size}"} if part else {}
        self.init_headers({**headers, **of_part, "content-length": str(end - start)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A client that takes the file too slowly is cut off, because it holds a place."""
        start, end = self.part
        with contextlib.suppress(TimeoutError):  # the server then closes the connection
            async with asyncio.timeout(FIRST_SECONDS + (end - start) / SLOWEST_BYTES_PER_SECOND):
                await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = state_of(self._request)
        with self._places:
            found = state.resources.media.stream(self._key, *self.part)
            async with contextlib.aclosing(cast(AsyncGenerator[bytes, None], found)) as pieces:
                try:
                    piece = await anext(pieces)
                except (NotFound, MediaStoreUnavailable, StopAsyncIteration) as error:
                    reason = error if isinstance(error, GatewayError) else NotFound("file", self._key)
                    if self._otherwise is None:
                        raise reason from None
                    response = await self._otherwise(reason)
                else:
                    state.content_outage.recovered()
                    await self._send_all(piece, pieces, send)
                    return
        await response(scope, receive, send)

    async def _send_all(self, piece: bytes | None, pieces: AsyncGenerator[bytes, None], send: Send) -> None:
        head = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        await send(head)
        while piece is not None:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            if await self._request.is_disconnected():  # the server would take all the rest, for nobody
                return
            piece = await anext(pieces, None)
        await send({"type": "http.response.body"})


@contextlib.contextmanager
def one_read(held: Held, tenant: str, linked_job: str | None) -> Iterator[None]:
    """Holds one read of a result within the block. `linked_job`: the job of the link that was used; None: a
    key was. Links are counted apart from keys: whoever has a link cannot keep its owner out."""
    most = "which is the maximum; try again when one of them is complete"
    busy = Unavailable(f"{ALL} files are being read, {most}")
    with contextlib.ExitStack() as holds:
        holds.enter_context(held.one("content", ALL, busy))
        if linked_job is not None:
            of_job = _too_many(f"{PER_JOB} reads by links of this job are open, {most}")
            holds.enter_context(held.one(f"links {linked_job}", PER_JOB, of_job))
        of_tenant = _too_many(f"{PER_TENANT} files of this tenant are being read, {most}")
        kind = "content" if linked_job is None else "links"
        holds.enter_context(held.one(f"{kind} of {tenant}", PER_TENANT, of_tenant))
        yield


def _too_many(message: str) -> LimitReached:
    return LimitReached(message, _RETRY_SECONDS, limit="open_downloads")
