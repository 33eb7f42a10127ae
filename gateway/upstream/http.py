"""Sends requests to the upstream: each paid POST on its own connection, polls on a small pool.

In a test, 21 of 60 POSTs on reused connections met a connection that the server was closing. This looks
the same as a lost answer. So each paid POST has its own transport, which is closed afterwards. Its last byte
waits for the gate (`gated.py`): before the gate, every failure certainly costs nothing; after it, only a
complete answer counts, and everything else is `Unknown`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from types import TracebackType

import httpx
from pydantic import SecretStr

from gateway.environment import no_crash_point
from gateway.upstream.base import (
    Busy,
    CancelOutcome,
    CancelRefused,
    Capabilities,
    Dialect,
    Found,
    Gate,
    Inconclusive,
    ListedTask,
    Listing,
    QueryOutcome,
    SubmitOutcome,
    Unknown,
)
from gateway.upstream.gated import GatedBody
from gateway.upstream.proxy import Proxy
from gateway.upstream.transport import AiohttpTransport
from gateway.upstream.wire import RawAnswer, checked_base, checked_key, exchange, request
from gateway.urls import MAX_CALLBACK_URL_CHARACTERS, url_fault

MAX_PAGES = 10
#: Larger than other answers: a page may echo a hundred prompts.
MAX_PAGE_BYTES = 4 * 1024 * 1024
_PROBE_SECONDS = 5.0


class _PaidBody(GatedBody, httpx.AsyncByteStream):
    """A `GatedBody` with the base class that a request requires."""


class HttpUpstream:
    """`Upstream` over HTTP/1.1.

    All limits are in seconds. `connect_seconds`: DNS, TCP, proxy and TLS together. `upload_seconds`: from
    the start to the gate. `response_seconds`: from the gate to the end of the answer. `query_seconds`: a
    whole poll, cancel or list page. The gate itself has no limit here. `proxy`: all requests go through it.
    `reach`: awaited at the crash points.

    Raises `ConfigurationError` for a base URL or a key that cannot be used.
    """

    capabilities: Capabilities

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
        proxy: Proxy | None = None,
        reach: Callable[[str], Awaitable[None]] = no_crash_point,
    ) -> None:
        self.capabilities = dialect.capabilities
        self._dialect = dialect
        self._base = checked_base(base_url)
        self._key = checked_key(key)
        self._connect_seconds = connect_seconds
        self._upload_seconds = upload_seconds
        self._response_seconds = response_seconds
        self._query_seconds = query_seconds
        self._proxy = proxy
        #: Over https, the proxy only sees a tunnel, and its refusals are errors of connecting.
        self._proxy_answers = proxy is not None and self._base.lower().startswith("http://")
        self._reach = reach
        self._queries = self._transport(keep=True)

    async def __aenter__(self) -> HttpUpstream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the pool for polls. A running submit keeps its own connection and deadline."""
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
        """Creates a task and pays for it. Raises only what `gate` raises, and cancellation; the last byte is
        then not sent, if it was not sent before."""
        path, content = self._dialect.create_request(
            params, model=model, callback_url=callback_url, reference=reference
        )
        limit = asyncio.timeout(self._upload_seconds)
        body = _PaidBody(content, gate, limit, answer_seconds=self._response_seconds, reach=self._reach)
        paid = self._request("POST", path, body, len(content))
        async with self._transport(keep=False) as once:
            answer = await exchange(once, paid, limit, on_answer=partial(self._reach, "submit.answered"))
        if body.gate_error is not None:
            raise body.gate_error
        if isinstance(answer, RawAnswer):
            return self._outcome_of(body, answer)
        if body.passed:
            return Unknown(f"no complete answer: {answer}")
        return Busy(f"not sent: {answer}", reached=False)

    def _outcome_of(self, body: GatedBody, answer: RawAnswer) -> SubmitOutcome:
        if self._proxy_answers and answer.status == 407:  # it sent nothing on, also after the gate
            return Busy("407: the proxy wants another user or password", reached=False)
        if body.passed:
            return self._dialect.read_created(answer.status, answer.headers, answer.body)
        # The server answered an incomplete request. Only a refusal can be trusted then.
        early = f"answered {answer.status} before the request was complete"
        if not 400 <= answer.status < 500:
            return Busy(early, reached=False)
        outcome = self._dialect.read_created(answer.status, answer.headers, answer.body)
        return Busy(early, reached=False) if isinstance(outcome, Unknown) else outcome

    async def query(self, task_id: str) -> QueryOutcome:
        """Polls a task. Never raises for anything the upstream does."""
        await self._reach("query.before")
        answer = await exchange(
            self._queries,
            self._request("GET", self._dialect.query_path(task_id)),
            asyncio.timeout(self._query_seconds),
            on_answer=partial(self._reach, "query.after"),
        )
        if not isinstance(answer, RawAnswer):
            return Inconclusive(f"no answer: {answer}")
        outcome = self._dialect.read_task(answer.status, answer.headers, answer.body)
        return _checked_task(task_id, outcome)

    async def cancel(self, task_id: str) -> CancelOutcome:
        """Stops a task. Safe to repeat. Never raises for anything the upstream does. `CancelRefused` at once
        if the dialect has no cancel."""
        if not self.capabilities.cancel:
            return CancelRefused(f"{self._dialect.name} cannot cancel a task")
        path, content = self._dialect.cancel_request(task_id)
        await self._reach("cancel.before")
        async with self._transport(keep=False) as once:
            answer = await exchange(
                once,
                self._request("POST", path, content, len(content)),
                asyncio.timeout(self._query_seconds),
                on_answer=partial(self._reach, "cancel.after"),
            )
        if not isinstance(answer, RawAnswer):
            return Inconclusive(f"no answer: {answer}")
        return self._dialect.read_canceled(answer.status, answer.headers, answer.body)

    async def list_tasks(self, since_ms: int, until_ms: int) -> Listing | Inconclusive:
        """All tasks created in that time range. Never raises for anything the upstream does.

        `Inconclusive` if one page could not be read, if there are more than `MAX_PAGES` pages, or if the
        dialect has no list.
        """
        if not self.capabilities.listing:
            return Inconclusive(f"{self._dialect.name} has no list of tasks")
        tasks: list[ListedTask] = []
        page: str | None = None
        for _ in range(MAX_PAGES):
            listing = await self._page(self._dialect.list_path(since_ms, until_ms, page))
            if isinstance(listing, Inconclusive):
                return listing
            tasks += listing.tasks
            page = listing.next_page
            if page is None:
                return Listing(tasks)
        return Inconclusive(f"more than {MAX_PAGES} pages of tasks")

    async def _page(self, path: str) -> Listing | Inconclusive:
        limit = asyncio.timeout(self._query_seconds)
        answer = await exchange(self._queries, self._request("GET", path), limit, max_bytes=MAX_PAGE_BYTES)
        if not isinstance(answer, RawAnswer):
            return Inconclusive(f"no answer: {answer}")
        return self._dialect.read_list(answer.status, answer.headers, answer.body)

    async def probe(self, url: str) -> bool:
        """Whether a GET of this URL, one of our own, is answered with 2xx within 5 seconds. The request does
        not carry the upstream's key, and redirects are not followed."""
        if url_fault(url, max_characters=MAX_CALLBACK_URL_CHARACTERS):
            return False
        limit = asyncio.timeout(_PROBE_SECONDS)
        try:
            asked = request("GET", url, {"connection": "close"})
        except httpx.InvalidURL:
            return False
        async with self._transport(keep=False) as once:
            answer = await exchange(once, asked, limit)
        return isinstance(answer, RawAnswer) and 200 <= answer.status < 300

    def _request(
        self, method: str, path: str, body: bytes | httpx.AsyncByteStream = b"", length: int | None = None
    ) -> httpx.Request:
        headers = self._dialect.headers(self._key.get_secret_value())
        return request(method, self._base + path, headers, body, length=length)

    def _transport(self, *, keep: bool) -> AiohttpTransport:
        return AiohttpTransport(self._connect_seconds, keep=keep, proxy=self._proxy)


def _checked_task(task_id: str, outcome: QueryOutcome) -> QueryOutcome:
    """The same outcome, but `Inconclusive` if the snapshot is of another task than the requested one."""
    if not isinstance(outcome, Found):
        return outcome
    if task_id not in (outcome.snapshot.task_id or task_id, outcome.snapshot.other_id):
        return Inconclusive("answered for another task")
    return Found(replace(outcome.snapshot, task_id=task_id, other_id=""))
