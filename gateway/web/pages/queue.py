"""The page that shows the lanes of a role."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.dispatch import Role
from gateway.web.http.params import Reader
from gateway.web.ops import overview
from gateway.web.ops.queues import ROLE, lane_rows
from gateway.web.pages.rendering import SAID, render
from gateway.web.pages.sessions import viewer_of
from gateway.web.state import state_of

LANES: Final = 100
#: What the lanes of a role are.
OF_ROLE: Final = {
    Role.SUBMIT: "tenant",
    Role.CONFIRM: "account",
    Role.DELIVER: "subscriber",
    Role.MIRROR: "tenant",
}
_QUERY: Final = Reader((ROLE, SAID), blank_is_absent=True)


async def show(request: Request) -> Response:
    viewer, state = await viewer_of(request), state_of(request)
    role = _QUERY.read(request)[ROLE]
    figures, rows = await asyncio.gather(overview.read(state), lane_rows(state, role, LANES))
    return render(
        request,
        "queue.html",
        viewer,
        overview=figures,
        role=role.value,
        roles={one.value: OF_ROLE[one] for one in Role},
        lanes=rows,
        most=LANES,
    )
