"""Runs calls over httpx: blocking for `Client`, with asyncio for `AsyncClient`.

Proxy variables of the environment are not used, redirects are not followed, and the key goes to the
gateway's own URL only. Certificates are checked against the authorities of the system, or of SSL_CERT_FILE.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import platform
import ssl
import threading
import time
from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import httpx

from .errors import RAISED, ConnectionFailed
from .requests import Head, Request
from .steps import Act, Call, Done, Item, Steps, advance

T = TypeVar("T")

_CONNECT_SECONDS: Final = 10.0
#: Errors before the gateway can have seen anything of the request.
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


def _user_agent() -> str:
    own = "unknown"
    with contextlib.suppress(PackageNotFoundError):
        own = version("vidu-gateway")
    return f"vidu-gateway-python/{own} python/{platform.python_version()}"


@dataclass(frozen=True, slots=True)
class Target:
    """The gateway that a client talks to. `url`: without a slash at its end. `key`: empty for none.
    `seconds`: longest silence."""

    url: str
    key: str = field(repr=False)
    seconds: float
    retries: int
    proxy: str | None = field(default=None, repr=False)

    def url_of(self, request: Request) -> str:
        return self.url + request.target if request.path.startswith("/") else request.target

    def shown(self, request: Request) -> str:
        """Without the query, which is the secret of a link."""
        return f"{request.method} {self.url_of(request).partition('?')[0]}"

    def options(self, scheme: str) -> dict[str, Any]:
        """How to make a pool of connections."""
        # Reading all authorities takes a while, so only TLS pays for it.
        verify = ssl.create_default_context() if scheme == "https" else False
        agent = {"User-Agent": _user_agent()}
        return {"verify": verify, "trust_env": False, "proxy": self.proxy, "headers": agent}

    def parts(self, request: Request) -> dict[str, Any]:
        """The arguments of httpx, but for the content."""
        headers = {"Accept": "application/json", **request.headers}
        if self.key and request.path.startswith("/"):
            headers["Authorization"] = f"Bearer {self.key}"
        if request.content is not None:
            headers["Content-Length"] = str(request.content.size)
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        seconds = request.seconds or self.seconds
        timeout = httpx.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS))
        return {"method": request.method, "url": self.url_of(request), "headers": headers, "timeout": timeout}


def _head(response: httpx.Response, request: str) -> Head:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Head(response.status_code, headers, request)


@contextlib.contextmanager
def _failures(request: Request, target: Target) -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
        sent = not isinstance(error, _NOT_SENT)
        what = "did not answer" if sent else "cannot be reached"
        text = f"{target.shown(request)}: the server {what} ({str(error) or type(error).__name__})"
        # Without the cause, which holds the request, and so the key.
        raise ConnectionFailed(text, sent=sent) from None


class _Session:
    """One call: at most one answer is open at a time."""

    def __init__(self, network: Blocking) -> None:
        self._network = network
        self._target = network.target
        self.retries = network.target.retries
        self._response: httpx.Response | None = None
        self._chunks: Iterator[bytes] = iter(())
        self._request: Request

    def open(self, request: Request) -> Head:
        self.close()
        self._request = request
        content = request.json if request.content is None else request.content.chunks()
        with _failures(request, self._target):
            pool = self._network.pool(urlsplit(self._target.url_of(request)).scheme)
            made = pool.build_request(content=content, **self._target.parts(request))
            self._response = pool.send(made, stream=True)
        self._chunks = self._response.iter_bytes()
        return _head(self._response, self._target.shown(request))

    def chunk(self) -> bytes:
        """The next bytes; none: it is complete."""
        with _failures(self._request, self._target):
            return next(self._chunks, b"")

    def read(self) -> bytes:
        with _failures(self._request, self._target):
            return b"".join(self._chunks)

    def close(self) -> None:
        if self._response is not None:
            self._response.close()

    def sleep(self, seconds: float) -> None:
        self._network.sleep(seconds)


class Blocking:
    """The network of `Client`. Several threads may use it."""

    sleep = staticmethod(time.sleep)

    def __init__(self, target: Target) -> None:
        self.target = target
        self._pools: dict[str, httpx.Client] = {}
        self._lock = threading.Lock()

    def pool(self, scheme: str) -> httpx.Client:
        with self._lock:
            if scheme not in self._pools:
                self._pools[scheme] = httpx.Client(**self.target.options(scheme))
            return self._pools[scheme]

    def run(self, call: Call[T]) -> T:
        """The result of a call."""
        session = _Session(self)
        try:
            step = advance(call)
            while not isinstance(step, Done):
                step = _next(call, step, session)
            result: T = step.value
            return result
        except RAISED as error:
            raise error.with_traceback(None)  # noqa: B904 - users need not see the steps
        finally:
            session.close()
            call.close()

    def iterate(self, steps: Steps[T]) -> Iterator[T]:
        """The values of a stream."""
        session = _Session(self)
        try:
            step = advance(steps)
            while not isinstance(step, Done):
                if isinstance(step, Item):
                    yield step.value
                    step = advance(steps)
                else:
                    step = _next(steps, step, session)
        finally:
            session.close()
            steps.close()

    def close(self) -> None:
        with self._lock:
            for pool in self._pools.values():
                pool.close()
            self._pools.clear()


def _next(steps: Generator[Any, Any, Any], act: Act, session: _Session) -> Any:
    try:
        found = act(session)
    except Exception as error:  # noqa: BLE001 - the steps decide
        return advance(steps, error=error)
    return advance(steps, found)


class _AsyncSession:
    """As `_Session`."""

    def __init__(self, network: Awaiting) -> None:
        self._network = network
        self._target = network.target
        self.retries = network.target.retries
        self._response: httpx.Response | None = None
        self._chunks: AsyncIterator[bytes]
        self._request: Request

    async def open(self, request: Request) -> Head:
        await self.close()
        self._request = request
        content = request.json if request.content is None else _asynchronous(request.content.chunks())
        with _failures(request, self._target):
            pool = self._network.pool(urlsplit(self._target.url_of(request)).scheme)
            made = pool.build_request(content=content, **self._target.parts(request))
            self._response = await pool.send(made, stream=True)
        self._chunks = self._response.aiter_bytes()
        return _head(self._response, self._target.shown(request))

    async def chunk(self) -> bytes:
        with _failures(self._request, self._target):
            return await anext(self._chunks, b"")

    async def read(self) -> bytes:
        with _failures(self._request, self._target):
            return b"".join([chunk async for chunk in self._chunks])

    async def close(self) -> None:
        if self._response is not None:
            await self._response.aclose()

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


async def _asynchronous(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


class Awaiting:
    """The network of `AsyncClient`. One event loop may use it."""

    sleep = staticmethod(asyncio.sleep)

    def __init__(self, target: Target) -> None:
        self.target = target
        self._pools: dict[str, httpx.AsyncClient] = {}

    def pool(self, scheme: str) -> httpx.AsyncClient:
        if scheme not in self._pools:
            self._pools[scheme] = httpx.AsyncClient(**self.target.options(scheme))
        return self._pools[scheme]

    async def run(self, call: Call[T]) -> T:
        session = _AsyncSession(self)
        try:
            step = advance(call)
            while not isinstance(step, Done):
                step = await _anext(call, step, session)
            result: T = step.value
            return result
        except RAISED as error:
            raise error.with_traceback(None)  # noqa: B904 - users need not see the steps
        finally:
            await session.close()
            call.close()

    async def iterate(self, steps: Steps[T]) -> AsyncIterator[T]:
        session = _AsyncSession(self)
        try:
            step = advance(steps)
            while not isinstance(step, Done):
                if isinstance(step, Item):
                    yield step.value
                    step = advance(steps)
                else:
                    step = await _anext(steps, step, session)
        finally:
            await session.close()
            steps.close()

    async def close(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()
        self._pools.clear()


async def _anext(steps: Generator[Any, Any, Any], act: Act, session: _AsyncSession) -> Any:
    try:
        found = act(session)
        if inspect.isawaitable(found):
            found = await found
    except Exception as error:  # noqa: BLE001 - the steps decide
        return advance(steps, error=error)
    return advance(steps, found)
