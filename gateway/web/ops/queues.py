"""Operators' operations on lanes, the service's history and dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.dispatch import Role
from gateway.jobs import rfc3339
from gateway.store.base import AccountState
from gateway.store.lane_views import LaneRow, LaneState, finite_ms
from gateway.store.samples import KEPT_MS, SAMPLE_MS, Sample
from gateway.tenants import Key
from gateway.web.http.answers import json_answer
from gateway.web.http.params import Params, choice, integer
from gateway.web.ops import actions, bodies, deliveries
from gateway.web.schemas import queues as schemas
from gateway.web.schemas.subscribers import OpsDeliverySummary
from gateway.web.state import State, state_of

LANES_MAX: Final = 200
DEAD_MAX: Final = 200
SKIP_MAX: Final = 100_000
MINUTES_MAX: Final = KEPT_MS // 60_000
ROLE: Final = choice("role", "The role whose lanes are listed.", Role, Role.SUBMIT)
LANES_LIMIT: Final = integer("limit", "Maximum number of items to return.", 1, LANES_MAX, LANES_MAX)
MINUTES: Final = integer("minutes", "Length of the history in minutes.", 1, MINUTES_MAX, 60)
SKIP: Final = integer("skip", "Number of the newest items to skip.", 0, SKIP_MAX, 0)
DEAD_LIMIT: Final = integer("limit", "Maximum number of items to return.", 1, DEAD_MAX, 50)


async def lanes(request: Request, key: Key, params: Params) -> Response:
    """The lanes of a role: those with the longest wait first, then the paused ones."""
    data = await lane_rows(state_of(request), params[ROLE], params[LANES_LIMIT])
    return json_answer(schemas.LaneList(object="list", data=data, has_more=False, next=None))


async def lane_rows(state: State, role: Role, limit: int) -> list[schemas.LaneShown]:
    found = await state.resources.lane_views.lanes(role, limit)
    states = await lane_states(state, role, found)
    return [_lane(row, shown) for row, shown in zip(found, states, strict=True)]


async def lane_states(state: State, role: Role, rows: Sequence[LaneRow]) -> list[LaneState]:
    """Whether the work of each lane goes on now."""
    hindered: LaneState | None = None
    if role is Role.SUBMIT:
        accounts = {account.state for account, _ in await state.resources.accounts.all()}
        if accounts <= {AccountState.PAUSED, AccountState.HELD}:
            hindered = LaneState.BLOCKED
        elif AccountState.STOPPED in accounts:
            hindered = LaneState.STOPPED
    slots = state.resources.settings.roles()[role].lane_slots
    return [row.state(slots, hindered) for row in rows]


async def history(request: Request, key: Key, params: Params) -> Response:
    """Samples of the last minutes, oldest first."""
    found = await state_of(request).resources.samples.read(params[MINUTES] * 60_000)
    data = [_sample(sample) for sample in found]
    return json_answer(schemas.History(object="history", every_seconds=SAMPLE_MS // 1000, data=data))


async def dead(request: Request, key: Key, params: Params) -> Response:
    """Dead letters of all tenants, newest first, without logs."""
    skip, limit = params[SKIP], params[DEAD_LIMIT]
    data, more = await dead_rows(state_of(request), skip, limit)
    following = f"/ops/api/dead-letters?skip={skip + limit}&limit={limit}" if more else None
    return json_answer(schemas.DeadLetters(object="list", data=data, has_more=more, next=following))


async def dead_rows(state: State, skip: int, limit: int) -> tuple[list[OpsDeliverySummary], bool]:
    found, more = await state.resources.deliveries.dead(skip, limit)
    return [deliveries.summary(one) for one in found], more


async def redeliver_dead(request: Request, key: Key, _: Params) -> Response:
    """202, and how many of the newest dead letters were redelivered."""
    wanted = await bodies.read(request, key, schemas.RedeliverDead)
    state = state_of(request)
    found, more = await state.resources.deliveries.dead(0, wanted.number)
    done = await actions.redeliver_all(state, found, key.id)
    sent = done.pop("sent", 0)
    answer = schemas.Redelivery(object="redelivery", sent=sent, hindered=dict(done), has_more=more)
    return json_answer(answer, 202)


def _lane(row: LaneRow, shown: LaneState) -> schemas.LaneShown:
    return {
        "object": "lane",
        "lane": row.lane,
        "waiting": row.waiting,
        "oldest_seconds": round(row.oldest_seconds, 1),
        "in_flight": row.in_flight,
        "cap": row.cap,
        "weight": row.weight,
        "state": shown,
        "paused": row.paused_until is not None,
        "paused_until": rfc3339(finite_ms(row.paused_until)),
    }


def _sample(sample: Sample) -> schemas.SampleShown:
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
