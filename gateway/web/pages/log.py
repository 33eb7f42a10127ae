"""The page of ops events and of the audit, newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, TypedDict

from starlette.requests import Request
from starlette.responses import Response

from gateway.jobs import rfc3339
from gateway.web.http.params import Reader, choice
from gateway.web.ops.entries import entry
from gateway.web.ops.filters import BEFORE
from gateway.web.pages.rendering import address, render
from gateway.web.pages.sessions import viewer_of
from gateway.web.schemas.ops import AuditEntry, OpsEvent
from gateway.web.state import state_of

PAGE: Final = 100
_TIMES: Final = frozenset({"until", "hold_until", "since", "valid_until"})
_PLAIN: Final = frozenset({"id", "at", "kind", "act"})


class Log(StrEnum):
    EVENTS = "events"
    AUDIT = "audit"


#: The logs and their titles.
TITLES: Final = {Log.EVENTS: "Ops events", Log.AUDIT: "Audit"}
_OF: Final = choice("of", "The log to show.", Log, Log.EVENTS)
_QUERY: Final = Reader((_OF, BEFORE), blank_is_absent=True)


class Row(TypedDict):
    """`rest`: the other fields of the entry."""

    at: str
    what: str
    rest: dict[str, object]


async def show(request: Request) -> Response:
    viewer, resources = await viewer_of(request), state_of(request).resources
    query = _QUERY.read(request)
    rows: Sequence[Row]
    if query[_OF] is Log.AUDIT:
        found = await resources.audit.page(query[BEFORE], PAGE)
        rows = [_row(one, one["act"]) for one in (entry(row, AuditEntry) for row in found.rows)]
    else:
        found = await resources.ops_log.newest_events(query[BEFORE], PAGE)
        rows = [_row(one, one["kind"]) for one in (entry(row, OpsEvent) for row in found.rows)]
    following = address("/ops/log", of=query[_OF], before=found.rows[-1]["id"]) if found.more else None
    return render(request, "log.html", viewer, rows=rows, kinds=TITLES, kind=query[_OF], following=following)


def _row(one: AuditEntry | OpsEvent, what: str) -> Row:
    fields: Mapping[str, object] = one
    rest = {
        name: rfc3339(int(value))
        if name in _TIMES and isinstance(value, str) and value.isdecimal()
        else value
        for name, value in fields.items()
        if name not in _PLAIN
    }
    return {"at": one["at"], "what": what.replace("_", " "), "rest": rest}
