"""The one door to the upstream's network: paid POSTs on a connection each, looks on a small pool.

Of 60 POSTs on re-used connections 21 met one that the server was closing, which cannot be told from a
lost answer. So a paid POST has a transport of its own, that is closed with it. Its last byte waits for
the gate (`gated.py`): until then every failure is provably free; from then on only an answer that
arrived whole is a verdict, and all else is `Unknown`.

The transports of httpx are used without a client around them: no redirects, no cookies, no retries and
no proxies from the environment. They share one TLS context, for a context takes 26 ms to make and a
transport next to nothing: a whole submit on loopback costs 1 to 1.5 ms of CPU, server included.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import TracebackType

import httpx
from pydantic import SecretStr

from gateway.errors import ConfigurationError
from gateway.upstream.base import (
    Busy,
    Dialect,
    Found,
    Gate,
    Later,
    QueryOutcome,
    SubmitOutcome,
    Unknown,
)
from gateway.upstream.gated import GatedBody

MAX_ANSWER_BYTES = 256 * 1024
#: Below the idle limit of common servers (5 s and more), so that it is we who close an idle connection.
_IDLE_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class _PaidBody(GatedBody, httpx.AsyncByteStream):
    """A `GatedBody` in the type that the transport asks for."""


class HttpUpstream:
    """`Upstream` over HTTP/1.1. All times in seconds: `connect_seconds` for DNS, TCP and TLS each;
    `upload_seconds` from the start to the gate; `response_seconds` from the gate to the end of the
    answer; `query_seconds` for a whole query. The gate's own time is not limited here.

    Raises `ConfigurationError` for a base URL or a key which no request can carry.
    """

    def __init__(
        self,
        dialect: Dialect,
        base_url: str,
        key: SecretStr,
        *,
        connect_seconds: float = 5.0,
        upload_seconds: float = 60.0,
        response_seconds: float = 60.0,
        query_seconds: float = 10.0,
    ) -> None:
        self._dialect = dialect
        self._base = _checked_base(base_url)
        self._key = _checked_key(key)
        self._connect_seconds = connect_seconds
        self._upload_seconds = upload_seconds
        self._response_seconds = response_seconds
        self._query_seconds = query_seconds
        self._tls = httpx.create_ssl_context(trust_env=False)
        # Unbounded: who may look at once is decided by dispatch, and a wait in here would look like a
        # slow upstream.
        pool = httpx.Limits(
            max_connections=None, max_keepalive_connections=20, keepalive_expiry=_IDLE_SECONDS
        )
        self._queries = _transport(self._tls, pool)

    async def __aenter__(self) -> HttpUpstream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the pool of looks. A submit under way is left to its own connection and deadline."""
        await self._queries.aclose()

    async def submit(
        self,
        params: Mapping[str, object],
        *,
        model: str,
        callback_url: str | None,
        reference: str,
        gate: Gate,
    ) -> SubmitOutcome:
        """Create a task, paying for it. Raises only what `gate` raises, and cancellation; the last
        byte then stays back if it had not left yet."""
        path, content = self._dialect.create_request(
            params, model=model, callback_url=callback_url, reference=reference
        )
        limit = asyncio.timeout(self._upload_seconds)
        body = _PaidBody(content, gate, limit, answer_seconds=self._response_seconds)
        request = self._request("POST", path, body)
        request.headers["content-type"] = "application/json"
        request.headers["content-length"] = str(len(content))
        request.headers["connection"] = "close"
        async with _transport(self._tls, httpx.Limits(max_keepalive_connections=0)) as once:
            answer = await _exchange(once, request, limit)
        if body.gate_error is not None:
            raise body.gate_error
        if isinstance(answer, _Answer):
            return self._judged(body, answer)
        if body.passed:
            return Unknown(f"no whole answer: {answer}")
        return Busy(f"not sent: {answer}", reached=False)

    def _judged(self, body: GatedBody, answer: _Answer) -> SubmitOutcome:
        if body.passed:
            return self._dialect.read_created(answer.status, answer.headers, answer.body)
        # An answer to half a request: a refusal can be believed, nothing else can.
        early = f"answered {answer.status} before the request was complete"
        if not 400 <= answer.status < 500:
            return Busy(early, reached=False)
        verdict = self._dialect.read_created(answer.status, answer.headers, answer.body)
        return Busy(early, reached=False) if isinstance(verdict, Unknown) else verdict

    async def query(self, task_id: str) -> QueryOutcome:
        """Look at a task. Never raises for anything the upstream does."""
        request = self._request("GET", self._dialect.query_path(task_id), httpx.ByteStream(b""))
        answer = await _exchange(self._queries, request, asyncio.timeout(self._query_seconds))
        if not isinstance(answer, _Answer):
            return Later(f"no answer: {answer}")
        outcome = self._dialect.read_task(answer.status, answer.headers, answer.body)
        return _about(task_id, outcome)

    def _request(self, method: str, path: str, stream: httpx.AsyncByteStream) -> httpx.Request:
        url = httpx.URL(self._base + path)
        headers = httpx.Headers(self._dialect.headers(self._key.get_secret_value()))
        headers.update(
            {
                "host": url.netloc.decode(),
                "accept": "application/json",
                "accept-encoding": "identity",
                "user-agent": "vidu-gateway",
            }
        )
        # One read or write has no limit of its own: the deadline around the whole has.
        limits = {"connect": self._connect_seconds, "pool": None, "read": None, "write": None}
        return httpx.Request(method, url, headers=headers, stream=stream, extensions={"timeout": limits})


def _about(task_id: str, outcome: QueryOutcome) -> QueryOutcome:
    """A snapshot counts only for the task that was asked for."""
    if not isinstance(outcome, Found):
        return outcome
    if outcome.snapshot.task_id == "":
        return Found(replace(outcome.snapshot, task_id=task_id))
    return outcome if outcome.snapshot.task_id == task_id else Later("answered for another task")


async def _exchange(
    transport: httpx.AsyncBaseTransport, request: httpx.Request, limit: asyncio.Timeout
) -> _Answer | str:
    """The whole answer, its bytes as they came; or why there is none.

    The reason names the failure and quotes none of its text: h11 quotes header values, and one of
    them is the key.
    """
    try:
        async with limit:
            response = await transport.handle_async_request(request)
            try:
                body = await _read(response)
            finally:
                await response.aclose()
    except (httpx.HTTPError, OSError) as error:
        return type(error).__name__
    if body is None:
        return f"more than {MAX_ANSWER_BYTES} bytes"
    headers = {name.lower(): value for name, value in response.headers.items()}
    return _Answer(response.status_code, headers, body)


async def _read(response: httpx.Response) -> bytes | None:
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            return None
    return bytes(body)


def _transport(tls: ssl.SSLContext, limits: httpx.Limits) -> httpx.AsyncBaseTransport:
    return httpx.AsyncHTTPTransport(verify=tls, trust_env=False, http2=False, retries=0, limits=limits)


def _checked_base(base_url: str) -> str:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        raise ConfigurationError("the upstream's base URL cannot be read") from None
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or set("?#") & set(base_url):
        message = (
            "the upstream's base URL must be http(s)://host[:port][/path], without user, query or fragment"
        )
        raise ConfigurationError(message)
    return base_url.rstrip("/")


def _checked_key(key: SecretStr) -> SecretStr:
    text = key.get_secret_value()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigurationError("the upstream's key must be visible ASCII characters, without blanks")
    return key
