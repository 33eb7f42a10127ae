"""The routes by which operators look back: what was done by whom, and exports of a time, line by line."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gateway.errors import Problem
from gateway.tenants import Scope
from gateway.web import auth
from gateway.web.http.answers import json_answer
from gateway.web.http.queries import Query
from gateway.web.ops.jobs import PAGE_DEFAULT, PAGE_MAX, readable
from gateway.web.schemas.ops import ENTRY_ID
from gateway.web.state import state_of

MEDIA_TYPE: Final = "application/jsonl"
DAYS_DEFAULT: Final = 1
_ENTRY_ID: Final = re.compile(ENTRY_ID[:-1] + r"\Z")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d))?\Z", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


async def page(request: Request) -> Response:
    """What operators did, newest first."""
    await auth.require(request, Scope.OPS_READ)
    query = Query(request, "before", "limit")
    before = query.text("before", _ENTRY_ID, "the id of an entry")
    limit = query.whole("limit", 1, PAGE_MAX, PAGE_DEFAULT)
    query.check()
    found = await state_of(request).resources.audit.page(before, limit)
    data = [readable(row) for row in found.rows]
    following = f"/ops/api/audit?before={data[-1]['id']}&limit={limit}" if found.more else None
    return json_answer({"object": "list", "data": data, "has_more": found.more, "next": following})


async def export(request: Request) -> Response:
    """What operators did in a time, oldest first, an act a line."""
    since, until = await _window(request)
    return _lines(state_of(request).resources.audit.between(since, until))


async def export_jobs(request: Request) -> Response:
    """What happened to the jobs that ended in a time, a change a line."""
    since, until = await _window(request)
    return _lines(state_of(request).resources.audit.of_jobs(since, until))


async def _window(request: Request) -> tuple[int, int]:
    """Both ends, ms; the last day when nothing is said."""
    await auth.require(request, Scope.OPS_READ)
    query = Query(request, "since", "until")
    now = state_of(request).resources.environment.now_ms()
    until = _time(query, "until", now)
    since = _time(query, "since", until - DAYS_DEFAULT * 86_400_000)
    if since > until:
        query.problems.append(Problem("since", "out_of_range", "is after until; send an earlier time"))
    query.check()
    return since, until


def _time(query: Query, name: str, otherwise: int) -> int:
    meaning = "a time such as 2026-11-22T08:00:00Z, or a date such as 2026-11-22 (UTC)"
    text = query.text(name, _TIME, meaning)
    if text is None:
        return otherwise
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        query.problems.append(Problem(name, "wrong_form", f"there is no such time; send {meaning}"))
        return otherwise
    return max(0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // _MS)


def _lines(batches: AsyncIterator[list[dict[str, str]]]) -> Response:
    async def text() -> AsyncIterator[bytes]:
        async for batch in batches:
            yield b"".join(map(_line, batch))

    return StreamingResponse(text(), media_type=MEDIA_TYPE)


def _line(entry: Mapping[str, str]) -> bytes:
    shown: dict[str, Any] = readable(entry)
    return orjson.dumps(shown, option=orjson.OPT_APPEND_NEWLINE)
