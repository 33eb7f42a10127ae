"""The page of the upstream: its accounts, slots and answers; park, resume, pause everything."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.web.ops.accounts import documents, name_of
from gateway.web.ops.jobs import standing
from gateway.web.ops.overview import look
from gateway.web.pages import forms
from gateway.web.pages.rendering import render
from gateway.web.pages.sessions import viewer_of
from gateway.web.schemas.ops import ParkRequest
from gateway.web.state import state_of

_TALLIES = {
    "submissions": "Submissions",
    "callbacks": "Callbacks",
    "jobs_finished": "Finished jobs",
    "resubmissions": "Resubmissions",
    "quarantined": "Quarantine",
}


async def show(request: Request) -> Response:
    viewer, state = await viewer_of(request), state_of(request)
    overview, shown, now, gauges = await asyncio.gather(
        look(state), documents(state), standing(state), state.resources.gauges.read()
    )
    return render(
        request,
        "upstream.html",
        viewer,
        overview=overview,
        accounts=shown,
        standing=now,
        tallies=_tallies(gauges.tally),
    )


def _tallies(tally: dict[str, int]) -> list[tuple[str, list[tuple[str, int]]]]:
    """Of each kind, how often each outcome was, the most frequent first."""
    found: list[tuple[str, list[tuple[str, int]]]] = []
    for name, title in _TALLIES.items():
        rows = [(key.partition("|")[2], n) for key, n in tally.items() if key.startswith(f"{name}|")]
        found.append((title, sorted(rows, key=lambda row: -row[1])))
    return found


async def park(request: Request) -> Response:
    viewer, form = await forms.acting(request)
    name = name_of(request, state_of(request))
    await state_of(request).resources.accounts.pause(
        forms.parse(ParkRequest, form).reason, viewer.key.id, name
    )
    return RedirectResponse("/ops/upstream?said=parked", 303)


async def resume(request: Request) -> Response:
    viewer, _ = await forms.acting(request)
    await state_of(request).resources.accounts.resume(viewer.key.id, name_of(request, state_of(request)))
    return RedirectResponse("/ops/upstream?said=resumed", 303)


async def pause_all(request: Request) -> Response:
    viewer, form = await forms.acting(request)
    wanted = forms.parse(ParkRequest, form)
    await state_of(request).resources.lanes.pause_all(wanted.reason, viewer.key.id)
    return RedirectResponse("/ops/upstream?said=paused", 303)


async def resume_all(request: Request) -> Response:
    viewer, _ = await forms.acting(request)
    await state_of(request).resources.lanes.resume_all(viewer.key.id)
    return RedirectResponse("/ops/upstream?said=resumed", 303)
