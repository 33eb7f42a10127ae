"""The overview page, and the event stream that triggers live updates of all pages."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gateway.errors import GatewayError, StoreUnavailable, Unavailable
from gateway.store.histograms import quantile
from gateway.store.samples import SAMPLE_MS, Sample
from gateway.store.snapshot import Gauges
from gateway.web.ops import overview as ops_overview
from gateway.web.pages.rendering import render
from gateway.web.pages.sessions import SignIn, identify, viewer_of
from gateway.web.schemas.overview import Overview
from gateway.web.state import state_of

_MINUTES: Final = 60
_POINTS_MS: Final = 60_000
_READ_SECONDS: Final = 2.0
_COLUMNS: Final = (
    *("at", "accepted", "completed", "failed", "waiting", "in_flight", "oldest"),
    *("usual", "slow", "sent", "refused"),
)
_QUIET_READS: Final = 5  # after this many reads without a change, send a tick anyway to update ages
MAX_WATCHERS: Final = 200
_OPEN_PAGES: Final = "open pages"


async def show(request: Request) -> Response:
    viewer, state = await viewer_of(request), state_of(request)
    overview, workers, samples = await asyncio.gather(
        ops_overview.read(state),
        ops_overview.worker_rows(state),
        state.resources.samples.read(_MINUTES * 60_000),
    )
    return render(
        request,
        "overview.html",
        viewer,
        overview=overview,
        hindered=hindrances(overview),
        workers=workers,
        plots=orjson.dumps(plots(samples)).decode(),
    )


def hindrances(overview: Overview) -> list[str]:
    """Why fewer jobs are at the upstream than it should take, in a few words each."""
    found = ["service paused"] if overview["paused"] else []
    for account in overview["accounts"]:
        if account["paused"] or account["held"]:
            found.append(f"{account['name']} {'paused' if account['paused'] else 'held'}")
        elif account["slots"] < account["limit"]:
            found.append(f"{account['name']} cut to {account['slots']} of {account['limit']}")
    return found


def plots(samples: Sequence[Sample]) -> dict[str, list[Any]]:
    """Columns of the plots, one point per minute: `at` (s), rates per minute, and figures at that time."""
    points = thinned(samples)
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    for before, after in itertools.pairwise(points):
        minutes = (after.at - before.at) / 60_000
        completed = after.completed - before.completed
        delivered = after.delivered - before.delivered
        point: dict[str, float | None] = {
            "at": after.at // 1000,
            "accepted": (after.accepted - before.accepted) / minutes,
            "completed": completed / minutes,
            "failed": (after.finished - before.finished - completed) / minutes,
            "waiting": after.waiting,
            "in_flight": after.in_flight,
            "oldest": after.oldest_ms / 1000,
            "usual": quantile(before.job_times, after.job_times, 0.5),
            "slow": quantile(before.job_times, after.job_times, 0.95),
            "sent": delivered / minutes,
            "refused": (after.attempts - before.attempts - delivered) / minutes,
        }
        for name, value in point.items():
            columns[name].append(None if value is None else round(value, 2))
    return columns


def thinned(samples: Sequence[Sample]) -> list[Sample]:
    """About one sample per minute; all samples if there are few."""
    if len(samples) * SAMPLE_MS < 15 * _POINTS_MS:
        return list(samples)
    kept: list[Sample] = []
    for sample in samples:
        if not kept or sample.at - kept[-1].at >= _POINTS_MS - SAMPLE_MS // 2:
            kept.append(sample)
    return kept


async def live(request: Request) -> Response:
    """An event stream with one event per reading: `tick` when anything has changed, and every ten seconds;
    `same` otherwise, so that a page knows that its figures still hold; `away` when Redis does not answer. It
    ends with the session and the key."""
    await viewer_of(request)
    state = state_of(request)
    if state.held.sum(_OPEN_PAGES) >= MAX_WATCHERS:
        raise Unavailable(f"{MAX_WATCHERS} pages are already open; close some")
    headers = {"x-accel-buffering": "no"}
    return StreamingResponse(_ticks(request), media_type="text/event-stream", headers=headers)


async def _ticks(request: Request) -> AsyncIterator[bytes]:
    state = state_of(request)
    state.held.take(_OPEN_PAGES, math.inf)
    try:
        yield b"retry: 2000\n\n"
        last: object = None
        quiet = 0
        while not state.stopping.is_set():
            try:
                await identify(request)
                seen: object = _still(await state.resources.gauges.read())
            except StoreUnavailable:
                last, event = None, b"away"
            except (SignIn, GatewayError):
                return
            else:
                quiet = 0 if seen != last else quiet + 1
                last, event = seen, b"same" if quiet % _QUIET_READS else b"tick"
            yield b"event: %b\ndata: 1\n\n" % event
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(state.stopping.wait(), _READ_SECONDS)
    finally:
        state.held.give(_OPEN_PAGES)


def _still(gauges: Gauges) -> tuple[object, ...]:
    """The figures that change only when something happens, without times and ages."""
    roles = [(role, of.waiting, of.due, of.slots) for role, of in gauges.roles.items()]
    return (
        *(roles, gauges.counts, gauges.tally),
        *((one.name, one.paused, one.held, one.slots) for one in gauges.accounts),
        *(gauges.paused, gauges.workers, gauges.silent_workers),
        *(gauges.paused_lanes, gauges.failing_subscribers),
    )
