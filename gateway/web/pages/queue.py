"""The page of the waiting lines, lane by lane."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.dispatch import Role
from gateway.web.http.queries import Query
from gateway.web.ops.overview import look
from gateway.web.ops.queues import lane_rows
from gateway.web.pages.rendering import render
from gateway.web.pages.sessions import viewer_of
from gateway.web.state import state_of

LANES: Final = 100
#: What the lanes of a role are.
OF_ROLE: Final = {Role.SUBMIT: "tenant", Role.CONFIRM: "account", Role.DELIVER: "subscriber"}


async def show(request: Request) -> Response:
    viewer, state = await viewer_of(request), state_of(request)
    query = Query(request, "role", "said")
    role = Role(query.choice("role", Role) or Role.SUBMIT)
    query.check()
    overview, rows = await asyncio.gather(look(state), lane_rows(state, role, LANES))
    return render(
        request,
        "queue.html",
        viewer,
        overview=overview,
        role=role.value,
        roles={one.value: OF_ROLE[one] for one in Role},
        lanes=rows,
        most=LANES,
    )
