"""The one door to the upstream's network: paid POSTs on a connection each, looks on a small pool.

Of 60 POSTs on re-used connections 21 met one that the server was closing, which cannot be told from a
lost answer. So a paid POST has a transport of its own, that is closed with it. Its last byte waits for
the gate (`gated.py`): until then every failure is provably free; from then on only an answer that
arrived whole is a verdict, and all else is `Unknown`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from types import TracebackType

import httpx
from pydantic import SecretStr

from gateway.environment import go_on
from gateway.upstream.answers import is_plain_url
from gateway.upstream.base import (
    Busy,
    CancelOutcome,
    CancelRefused,
    Capabilities,
    Dialect,
    Found,
    Gate,
    Later,
    ListedTask,
    Listing,
    QueryOutcome,
    SubmitOutcome,
    Unknown,
)
from gateway.upstream.gated import GatedBody
from gateway.upstream.wire import (
    Answer,
    checked_base,
    checked_key,
    exchange,
    pooled,
    request,
    single_use,
    tls_context,
)

MAX_PAGES = 10
#: A page may echo a hundred prompts.
MAX_PAGE_BYTES = 4 * 1024 * 1024
_PROBE_SECONDS = 5.0


class _PaidBody(GatedBody, httpx.AsyncByteStream):
    """A `GatedBody` in the type that the transport asks for."""


class HttpUpstream:
    """`Upstream` over HTTP/1.1. All times in seconds: `connect_seconds` for DNS, TCP and TLS each;
    `upload_seconds` from the start to the gate; `response_seconds` from the gate to the end of the
    answer; `query_seconds` for a whole query, cancel or page of a list. The gate's own time is not
    limited here. `reach` is awaited at the crash points.

    Raises `ConfigurationError` for a base URL or a key which no request can carry.
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
        reach: Callable[[str], Awaitable[None]] = go_on,
    ) -> None:
        self.capabilities = dialect.capabilities
        self._dialect = dialect
        self._base = checked_base(base_url)
        self._key = checked_key(key)
        self._connect_seconds = connect_seconds
        self._upload_seconds = upload_seconds
        self._response_seconds = response_seconds
        self._query_seconds = query_seconds
        self._reach = reach
        self._tls = tls_context()
        self._queries = pooled(self._tls)

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
        body = _PaidBody(content, gate, limit, answer_seconds=self._response_seconds, reach=self._reach)
        paid = self._request("POST", path, body, len(content))
        async with single_use(self._tls) as once:
            answer = await exchange(once, paid, limit, answered=partial(self._reach, "submit.answered"))
        if body.gate_error is not None:
            raise body.gate_error
        if isinstance(answer, Answer):
            return self._judged(body, answer)
        if body.passed:
            return Unknown(f"no whole answer: {answer}")
        return Busy(f"not sent: {answer}", reached=False)

    def _judged(self, body: GatedBody, answer: Answer) -> SubmitOutcome:
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
        await self._reach("query.before")
        answer = await exchange(
            self._queries,
            self._request("GET", self._dialect.query_path(task_id)),
            asyncio.timeout(self._query_seconds),
            answered=partial(self._reach, "query.after"),
        )
        if not isinstance(answer, Answer):
            return Later(f"no answer: {answer}")
        outcome = self._dialect.read_task(answer.status, answer.headers, answer.body)
        return _about(task_id, outcome)

    async def cancel(self, task_id: str) -> CancelOutcome:
        """Stop a task. Safe to repeat. Never raises for anything the upstream does; refused at once
        where the dialect has no cancel."""
        if not self.capabilities.cancel:
            return CancelRefused(f"{self._dialect.name} cannot cancel a task")
        path, content = self._dialect.cancel_request(task_id)
        await self._reach("cancel.before")
        async with single_use(self._tls) as once:
            answer = await exchange(
                once,
                self._request("POST", path, content, len(content)),
                asyncio.timeout(self._query_seconds),
                answered=partial(self._reach, "cancel.after"),
            )
        if not isinstance(answer, Answer):
            return Later(f"no answer: {answer}")
        return self._dialect.read_canceled(answer.status, answer.headers, answer.body)

    async def list_tasks(self, since_ms: int, until_ms: int) -> Listing | Later:
        """All tasks made in that time, or `Later` when one page of them is missing, when there are more
        than `MAX_PAGES`, or where the dialect has no list. Never raises for anything the upstream does."""
        if not self.capabilities.listing:
            return Later(f"{self._dialect.name} has no list of tasks")
        tasks: list[ListedTask] = []
        page: str | None = None
        for _ in range(MAX_PAGES):
            listing = await self._page(self._dialect.list_path(since_ms, until_ms, page))
            if isinstance(listing, Later):
                return listing
            tasks += listing.tasks
            page = listing.next_page
            if page is None:
                return Listing(tasks)
        return Later(f"more than {MAX_PAGES} pages of tasks")

    async def _page(self, path: str) -> Listing | Later:
        limit = asyncio.timeout(self._query_seconds)
        answer = await exchange(self._queries, self._request("GET", path), limit, max_bytes=MAX_PAGE_BYTES)
        if not isinstance(answer, Answer):
            return Later(f"no answer: {answer}")
        return self._dialect.read_list(answer.status, answer.headers, answer.body)

    async def probe(self, url: str) -> bool:
        """Whether a GET of this URL of our own is answered 2xx within 5 seconds. The upstream's key stays
        at home, and a redirect is no answer."""
        if not is_plain_url(url):
            return False
        limit = asyncio.timeout(_PROBE_SECONDS)
        try:
            asked = request("GET", url, {"connection": "close"}, connect_seconds=self._connect_seconds)
        except httpx.InvalidURL:
            return False
        async with single_use(self._tls) as once:
            answer = await exchange(once, asked, limit)
        return isinstance(answer, Answer) and 200 <= answer.status < 300

    def _request(
        self, method: str, path: str, body: bytes | httpx.AsyncByteStream = b"", length: int | None = None
    ) -> httpx.Request:
        headers = self._dialect.headers(self._key.get_secret_value())
        return request(
            method, self._base + path, headers, body, length=length, connect_seconds=self._connect_seconds
        )


def _about(task_id: str, outcome: QueryOutcome) -> QueryOutcome:
    """A snapshot counts only for the task that was asked for."""
    if not isinstance(outcome, Found):
        return outcome
    if outcome.snapshot.task_id == "":
        return Found(replace(outcome.snapshot, task_id=task_id))
    return outcome if outcome.snapshot.task_id == task_id else Later("answered for another task")
