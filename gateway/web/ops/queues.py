"""The routes by which operators see waiting lines, the history and dead letters, to be sent again."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.dispatch import Role
from gateway.jobs import rfc3339
from gateway.store.lane_views import LaneRow, shown_until
from gateway.store.samples import KEPT_MS, SAMPLE_MS, Sample
from gateway.tenants import Scope
from gateway.web import auth
from gateway.web.api import deliveries
from gateway.web.http.answers import json_answer
from gateway.web.http.queries import Query
from gateway.web.ops import actions, bodies
from gateway.web.schemas.queues import RedeliverDead
from gateway.web.state import State, state_of

LANES_MAX: Final = 200
DEAD_MAX: Final = 200
SKIP_MAX: Final = 100_000
MINUTES_MAX: Final = KEPT_MS // 60_000


async def lanes(request: Request) -> Response:
    """The lanes of a role in which somebody waits the longest, and those that are parked."""
    await auth.require(request, Scope.OPS_READ)
    query = Query(request, "role", "limit")
    role = query.choice("role", Role) or Role.SUBMIT
    limit = query.whole("limit", 1, LANES_MAX, LANES_MAX)
    query.check()
    data = await lane_rows(state_of(request), Role(role), limit)
    return json_answer({"object": "list", "data": data, "has_more": False, "next": None})


async def lane_rows(state: State, role: Role, limit: int) -> list[dict[str, Any]]:
    return [_lane(row) for row in await state.resources.queues.lanes(role, limit)]


async def history(request: Request) -> Response:
    """Samples of the last minutes, oldest first."""
    await auth.require(request, Scope.OPS_READ)
    query = Query(request, "minutes")
    minutes = query.whole("minutes", 1, MINUTES_MAX, 60)
    query.check()
    found = await state_of(request).resources.history.read(minutes * 60_000)
    data = [_sample(sample) for sample in found]
    return json_answer({"object": "history", "every_seconds": SAMPLE_MS // 1000, "data": data})


async def dead(request: Request) -> Response:
    """What was given up, of all tenants, the newest first, without logs."""
    await auth.require(request, Scope.OPS_READ)
    query = Query(request, "skip", "limit")
    skip = query.whole("skip", 0, SKIP_MAX, 0)
    limit = query.whole("limit", 1, DEAD_MAX, 50)
    query.check()
    data, more = await dead_rows(state_of(request), skip, limit)
    following = f"/ops/api/dead-letters?skip={skip + limit}&limit={limit}" if more else None
    return json_answer({"object": "list", "data": data, "has_more": more, "next": following})


async def dead_rows(state: State, skip: int, limit: int) -> tuple[list[dict[str, Any]], bool]:
    found, more = await state.resources.deliveries.dead(skip, limit)
    rows = [{"tenant": one.tenant, **deliveries.public_delivery(one, log=False)} for one in found]
    return rows, more


async def redeliver_dead(request: Request) -> Response:
    """202 and what became of the newest of what was given up."""
    key = await auth.require(request, Scope.OPS_WRITE)
    Query(request).check()
    wanted = await bodies.read(request, key, RedeliverDead)
    state = state_of(request)
    found, more = await state.resources.deliveries.dead(0, wanted.number)
    done = await actions.redeliver_all(state, found, key.id)
    sent = done.pop("sent", 0)
    return json_answer({"object": "redelivery", "sent": sent, "hindered": dict(done), "has_more": more}, 202)


def _lane(row: LaneRow) -> dict[str, Any]:
    return {
        "object": "lane",
        "lane": row.lane,
        "waiting": row.waiting,
        "oldest_seconds": round(row.oldest_seconds, 1),
        "in_flight": row.in_flight,
        "cap": row.cap,
        "weight": row.weight,
        "parked": row.parked_until is not None,
        "parked_until": rfc3339(shown_until(row.parked_until)),
    }


def _sample(sample: Sample) -> dict[str, Any]:
    return {
        "at": rfc3339(sample.at),
        "waiting": sample.waiting,
        "oldest_seconds": round(sample.oldest_ms / 1000, 1),
        "in_flight": sample.in_flight,
        "owed": sample.owed,
        "accepted": sample.accepted,
        "completed": sample.completed,
        "finished": sample.finished,
        "attempts": sample.attempts,
        "delivered": sample.delivered,
        "callbacks": sample.callbacks,
        "callback_lost": sample.callback_lost,
    }
