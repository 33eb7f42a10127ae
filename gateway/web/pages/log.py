"""The page of what operators were told and did, newest first."""

from __future__ import annotations

import re
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.jobs import rfc3339
from gateway.web.ops_api import readable
from gateway.web.ops_schemas import ENTRY_ID
from gateway.web.pages.rendering import address, render
from gateway.web.pages.sessions import viewer_of
from gateway.web.queries import Query
from gateway.web.state import state_of

PAGE: Final = 100
_ENTRY: Final = re.compile(ENTRY_ID[:-1] + r"\Z")
_TIMES: Final = frozenset({"until", "hold_until", "since", "valid_until"})
_PLAIN: Final = frozenset({"id", "at", "kind"})


async def show(request: Request) -> Response:
    viewer, state = await viewer_of(request), state_of(request)
    query = Query(request, "before")
    before = query.text("before", _ENTRY, "the id of an entry")
    query.check()
    found = await state.resources.operators.newest_events(before, PAGE)
    following = address("/ops/log", before=found.rows[-1]["id"]) if found.more else None
    return render(request, "log.html", viewer, rows=[_row(row) for row in found.rows], following=following)


def _row(entry: dict[str, str]) -> dict[str, Any]:
    shown = readable(entry)
    rest = {
        name: rfc3339(int(value)) if name in _TIMES and str(value).isdecimal() else value
        for name, value in shown.items()
        if name not in _PLAIN
    }
    return {"at": shown["at"], "kind": shown["kind"].replace("_", " "), "rest": rest}
