"""The page of the upstream: accounts, slots and outcomes; pause and resume an account, or the service."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.web.ops import accounts, overview, service
from gateway.web.pages import forms
from gateway.web.pages.rendering import render
from gateway.web.pages.sessions import viewer_of
from gateway.web.schemas.ops import PauseRequest
from gateway.web.state import state_of

_TALLIES: Final = {
    "submissions": "Submissions",
    "callbacks": "Callbacks",
    "jobs_finished": "Finished jobs",
    "resubmissions": "Resubmissions",
    "quarantined": "Quarantined",
}


async def show(request: Request) -> Response:
    viewer, state = await viewer_of(request), state_of(request)
    figures, shown, now, gauges = await asyncio.gather(
        overview.read(state), accounts.views(state), service.current(state), state.resources.gauges.read()
    )
    return render(
        request,
        "upstream.html",
        viewer,
        overview=figures,
        accounts=shown,
        service=now,
        tallies=_tallies(gauges.tally),
    )


def _tallies(tally: dict[str, int]) -> list[tuple[str, list[tuple[str, int]]]]:
    """For each counter, its title and the number of each outcome, most frequent first."""
    found: list[tuple[str, list[tuple[str, int]]]] = []
    for name, title in _TALLIES.items():
        rows = [(key.partition("|")[2], n) for key, n in tally.items() if key.startswith(f"{name}|")]
        found.append((title, sorted(rows, key=lambda row: -row[1])))
    return found


async def pause(request: Request) -> Response:
    viewer, form = await forms.acting(request)
    state = state_of(request)
    name = accounts.name_of(request, state)
    await state.resources.accounts.pause(forms.parse(PauseRequest, form).reason, viewer.by, name)
    return RedirectResponse("/ops/upstream?said=account_paused", 303)


async def resume(request: Request) -> Response:
    viewer, _ = await forms.acting(request)
    state = state_of(request)
    await state.resources.accounts.resume(viewer.by, accounts.name_of(request, state))
    return RedirectResponse("/ops/upstream?said=account_resumed", 303)


async def pause_all(request: Request) -> Response:
    viewer, form = await forms.acting(request)
    wanted = forms.parse(PauseRequest, form)
    await state_of(request).resources.lanes.pause_all(wanted.reason, viewer.by)
    return RedirectResponse("/ops/upstream?said=paused", 303)


async def resume_all(request: Request) -> Response:
    viewer, _ = await forms.acting(request)
    await state_of(request).resources.lanes.resume_all(viewer.by)
    return RedirectResponse("/ops/upstream?said=resumed", 303)
