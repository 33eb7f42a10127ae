"""Downloads one file of a result, from an address that the upstream named.

The address is checked like that of a webhook to a public host, and again after each redirect. The body goes
to a file as it comes, and is counted and hashed on the way; nothing of it is kept in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, NamedTuple, Self
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver

from gateway.assets import Reason
from gateway.delivery.addresses import Places
from gateway.delivery.attempts import DeliveryOutcome
from gateway.delivery.failures import outcome_of_error
from gateway.delivery.guard import Guard, VettingResolver, own_addresses
from gateway.delivery.names import NameService
from gateway.delivery.pool import verbatim_url
from gateway.errors import GatewayError, MediaStoreUnavailable
from gateway.generation.file_types import HEAD_BYTES
from gateway.settings import Settings
from gateway.urls import origin_of, url_fault

#: Signed addresses of object stores are long.
MAX_URL_CHARACTERS: Final = 8192
MAX_REDIRECTS: Final = 3
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_GONE: Final = (401, 403, 404, 410)
_BLOCK_BYTES: Final = 2**20
_ROOM_BYTES: Final = 32 * 2**20  # after so many, the room is checked again
_CONNECT_SECONDS: Final = 5.0
_HEADERS: Final = {"User-Agent": f"vidu-gateway/{version('vidu-gateway')}", "Accept-Encoding": "identity"}
_REASONS: Final = {
    DeliveryOutcome.TIMEOUT: Reason.TOO_SLOW,
    DeliveryOutcome.TARGET_FORBIDDEN: Reason.ADDRESS_REFUSED,
    DeliveryOutcome.INVALID_URL: Reason.ADDRESS_REFUSED,
}


class DownloadFailed(GatewayError):
    """The file could not be downloaded. `detail`: for logs and operators; never more of a URL than its
    origin, because the rest often contains a signature."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class Downloaded(NamedTuple):
    """`size`: bytes; `sha256`: in hexadecimal; `head`: the first 64 bytes."""

    size: int
    sha256: str
    head: bytes


class Downloader:
    """`max_bytes`: of one file. `stall_seconds`: how long nothing may come; `total_seconds`: for the whole
    download. `resolver`: looks up names, and is closed by its owner."""

    def __init__(
        self,
        guard: Guard,
        resolver: AbstractResolver,
        *,
        pool_size: int,
        max_bytes: int,
        stall_seconds: float,
        total_seconds: float,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._guard = guard
        self._names = VettingResolver(guard, resolver)
        self._pool_size = pool_size
        self._max_bytes = max_bytes
        self._total_seconds = total_seconds
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=_CONNECT_SECONDS, sock_read=stall_seconds
        )
        self._ssl = ssl_context or ssl.create_default_context()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._session = await stack.enter_async_context(
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(
                        socket_factory=self._guard,
                        resolver=self._names,
                        use_dns_cache=False,  # our resolver remembers them, for each tenant apart
                        limit=self._pool_size,
                        force_close=True,
                        ssl=self._ssl,
                    ),
                    timeout=self._timeout,
                    headers=_HEADERS,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    auto_decompress=False,
                    trust_env=False,
                    read_bufsize=_BLOCK_BYTES,
                )
            )
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def fetch(
        self,
        url: str,
        path: Path,
        *,
        check_head: Callable[[bytes], None],
        check_room: Callable[[int], Awaitable[None]],
    ) -> Downloaded:
        """Downloads the file at `url` to `path`, which is new. Raises DownloadFailed; MediaStoreUnavailable
        if it cannot be written; and what the checks raise.

        `check_head`: gets the first bytes, once. `check_room`: gets how many bytes are to come, as far as is
        known, before the first and from time to time.
        """
        body = _Body(path, check_head, check_room)
        try:
            async with asyncio.timeout(self._total_seconds), self._opened(url) as response, body:
                await self._receive(response, body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = _REASONS.get(outcome_of_error(error), Reason.UNREACHABLE)
            detail = f"{type(error).__name__} after {body.size} bytes"
            raise DownloadFailed(reason, detail) from error
        return body.downloaded()

    async def _receive(self, response: aiohttp.ClientResponse, body: _Body) -> None:
        declared = response.content_length
        if declared is not None and declared > self._max_bytes:
            raise DownloadFailed(Reason.TOO_LARGE, f"{declared} bytes are declared")
        await body.check_room(declared or 0)
        try:
            async for piece, _ in response.content.iter_chunks():  # as they came, without a copy
                if body.size + len(piece) > self._max_bytes:
                    raise DownloadFailed(Reason.TOO_LARGE, f"more than {self._max_bytes} bytes")
                await body.add(piece)
        except aiohttp.ClientPayloadError as error:
            raise DownloadFailed(Reason.WRONG_LENGTH, f"it ended after {body.size} bytes") from error
        await body.end()
        if declared is not None and declared != body.size:
            raise DownloadFailed(Reason.WRONG_LENGTH, f"{body.size} bytes instead of {declared}")
        if not body.size:
            raise DownloadFailed(Reason.EMPTY)

    @contextlib.asynccontextmanager
    async def _opened(self, url: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response with the file, after at most `MAX_REDIRECTS` redirects."""
        for _ in range(MAX_REDIRECTS + 1):
            if fault := url_fault(url, max_characters=MAX_URL_CHARACTERS):
                raise DownloadFailed(Reason.ADDRESS_REFUSED, f"the address {fault[1]}")
            await self._guard.about_to_dial(url)
            async with self._session.get(verbatim_url(url), allow_redirects=False) as response:
                if response.status == 200:
                    yield response
                    return
                place = response.headers.get("Location")
                if response.status not in _REDIRECTS or place is None:
                    gone = Reason.GONE if response.status in _GONE else Reason.HTTP_STATUS
                    raise DownloadFailed(gone, f"{origin_of(url)} answered {response.status}")
            url = urljoin(url, place)
        raise DownloadFailed(Reason.REDIRECTS, f"more than {MAX_REDIRECTS}")


async def open_result_guard(settings: Settings, names: NameService, store_places: Places) -> Guard:
    """The guard of downloads of results: public hosts over https; also private networks if media URLs may be
    private, such as with a sandbox on this machine. The upstream may serve them itself."""
    everywhere = ["0.0.0.0/0", "::/0"] if settings.allow_private_media_urls else []
    own = own_addresses(settings, store_places, upstream=False)
    guard = Guard(everywhere, True, own=own, look_up=names)
    await guard.learn()
    return guard


class _Body:
    """Writes blocks to a file in a thread, while the next one arrives. `size`: bytes so far."""

    def __init__(
        self,
        path: Path,
        check_head: Callable[[bytes], None],
        check_room: Callable[[int], Awaitable[None]],
    ) -> None:
        self.size = 0
        self.check_room = check_room
        self._path, self._check_head = path, check_head
        self._digest = hashlib.sha256()
        self._head = b""
        self._pieces: list[bytes] = []
        self._unwritten = 0
        self._writing: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        with _errors_as_unavailable():
            self._file: BinaryIO = await asyncio.to_thread(self._path.open, "xb", _BLOCK_BYTES)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writing is not None:  # a thread cannot be stopped; the file must stay open for it
            await asyncio.wait([self._writing])
            self._writing.exception()
        with _errors_as_unavailable():
            await asyncio.to_thread(self._file.close)

    async def add(self, piece: bytes) -> None:
        if len(self._head) < HEAD_BYTES:
            self._head += piece[: HEAD_BYTES - len(self._head)]
            if len(self._head) == HEAD_BYTES:
                self._check_head(self._head)
        self.size += len(piece)
        self._pieces.append(piece)
        self._unwritten += len(piece)
        if self._unwritten >= _BLOCK_BYTES:
            await self._flush()

    async def end(self) -> None:
        """Waits until everything is written."""
        if 0 < self.size < HEAD_BYTES:
            self._check_head(self._head)
        await self._flush()
        await self._written()

    def downloaded(self) -> Downloaded:
        return Downloaded(self.size, self._digest.hexdigest(), self._head)

    async def _flush(self) -> None:
        await self._written()
        if self.size // _ROOM_BYTES > (self.size - self._unwritten) // _ROOM_BYTES:
            await self.check_room(0)
        pieces, self._pieces, self._unwritten = self._pieces, [], 0
        self._writing = asyncio.ensure_future(asyncio.to_thread(self._write, pieces))

    async def _written(self) -> None:
        if self._writing is not None:
            await asyncio.shield(self._writing)
            self._writing = None

    def _write(self, pieces: Sequence[bytes]) -> None:
        with _errors_as_unavailable():
            for piece in pieces:
                self._file.write(piece)
        for piece in pieces:
            self._digest.update(piece)


@contextlib.contextmanager
def _errors_as_unavailable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise MediaStoreUnavailable(f"a download could not be written: {reason}") from error
