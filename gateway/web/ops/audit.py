"""Operators' operations on the audit: list it, and export a time range as JSON Lines."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gateway.errors import Problem
from gateway.tenants import Key
from gateway.web.http.answers import BYTES, JSON_LINES, json_answer
from gateway.web.http.params import InvalidValue, Param, Params, refusal
from gateway.web.ops.entries import entry
from gateway.web.ops.filters import BEFORE, LIMIT
from gateway.web.schemas import ops as schemas
from gateway.web.state import state_of

_DAY_MS: Final = 86_400_000
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d))?\Z", re.ASCII)
_TIME_MEANING: Final = "a time such as 2026-11-22T08:00:00Z, or a date such as 2026-11-22 (UTC)"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


def _time(text: str) -> int:
    """Milliseconds since the epoch."""
    if not _TIME.match(text):
        raise InvalidValue("wrong_form", f"is not {_TIME_MEANING}")
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidValue("wrong_form", f"is not a valid time; send {_TIME_MEANING}") from None
    return max(0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // _MS)


def _time_param(name: str, description: str) -> Param[int | None]:
    schema = {"type": "string", "examples": ["2026-11-22T08:00:00Z", "2026-11-22"]}
    return Param(name, description, schema, _time, None)


SINCE: Final = _time_param("since", "Start of the time range. Default: one day before `until`.")
UNTIL: Final = _time_param("until", "End of the time range. Default: now.")


async def page(request: Request, key: Key, params: Params) -> Response:
    """Audit entries, newest first."""
    limit = params[LIMIT]
    found = await state_of(request).resources.audit.page(params[BEFORE], limit)
    data = [entry(row, schemas.AuditEntry) for row in found.rows]
    following = f"/ops/api/audit?before={data[-1]['id']}&limit={limit}" if found.more else None
    return json_answer(schemas.AuditList(object="list", data=data, has_more=found.more, next=following))


async def export(request: Request, key: Key, params: Params) -> Response:
    """The audit entries of a time range, oldest first."""
    since, until = _period(request, params)
    acts = state_of(request).resources.audit.between(since, until)
    return _lines(request, ([entry(row, schemas.AuditEntry) for row in batch] async for batch in acts))


async def export_jobs(request: Request, key: Key, params: Params) -> Response:
    """The history of each job that finished in a time range."""
    since, until = _period(request, params)
    jobs = state_of(request).resources.audit.of_jobs(since, until)
    return _lines(request, ([entry(row, schemas.JobHistoryLine) for row in batch] async for batch in jobs))


def _period(request: Request, params: Params) -> tuple[int, int]:
    """Start and end of the requested time range, ms."""
    until, since = params[UNTIL], params[SINCE]
    if until is None:
        until = state_of(request).resources.environment.now_ms()
    if since is None:
        since = max(0, until - _DAY_MS)
    if since > until:
        raise refusal(Problem("since", "out_of_range", "is after until; send an earlier time"))
    return since, until


def _lines(request: Request, batches: AsyncIterator[Sequence[Mapping[str, object]]]) -> Response:
    async def text() -> AsyncIterator[bytes]:
        async for batch in batches:
            yield b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in batch)

    as_bytes = request.headers.get("accept") == BYTES
    return StreamingResponse(text(), media_type=BYTES if as_bytes else JSON_LINES)
