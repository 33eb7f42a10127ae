"""The page of what operators were told, and of what they did: newest first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.jobs import rfc3339
from gateway.web.http.queries import Query
from gateway.web.ops.jobs import readable
from gateway.web.pages.rendering import address, render
from gateway.web.pages.sessions import viewer_of
from gateway.web.schemas.ops import ENTRY_ID
from gateway.web.state import state_of

PAGE: Final = 100
#: What there is to look back at, and how it is called.
KINDS: Final = {"events": "Ops events", "acts": "Audit"}
_ENTRY: Final = re.compile(ENTRY_ID[:-1] + r"\Z")
_TIMES: Final = frozenset({"until", "hold_until", "since", "valid_until"})
_PLAIN: Final = frozenset({"id", "at", "kind", "act"})


async def show(request: Request) -> Response:
    viewer, resources = await viewer_of(request), state_of(request).resources
    query = Query(request, "of", "before")
    kind = query.choice("of", KINDS) or "events"
    before = query.text("before", _ENTRY, "the id of an entry")
    query.check()
    read = resources.audit.page if kind == "acts" else resources.ops_log.newest_events
    found = await read(before, PAGE)
    following = address("/ops/log", of=kind, before=found.rows[-1]["id"]) if found.more else None
    rows = [_row(row) for row in found.rows]
    return render(request, "log.html", viewer, rows=rows, kinds=KINDS, kind=kind, following=following)


def _row(entry: Mapping[str, str]) -> dict[str, Any]:
    shown = readable(entry)
    rest = {
        name: rfc3339(int(value)) if name in _TIMES and str(value).isdecimal() else value
        for name, value in shown.items()
        if name not in _PLAIN
    }
    what = shown.get("act") or shown["kind"]
    return {"at": shown["at"], "what": what.replace("_", " "), "rest": rest}
