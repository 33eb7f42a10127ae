"""Operations on recoveries: redeliver what an endpoint missed, and show the progress."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import Conflict, GatewayError, InvalidRequest, NotFound, Problem
from gateway.jobs import rfc3339
from gateway.lifecycle import DeliveryState
from gateway.recoveries import MAX_AGE_MS, Recovery
from gateway.store.delivery_base import Hindrance
from gateway.tenants import Key
from gateway.web.api import deliveries, recovery_problems
from gateway.web.api.endpoints import owned
from gateway.web.http.answers import json_answer
from gateway.web.http.bodies import JsonBody
from gateway.web.http.params import Params
from gateway.web.schemas import deliveries as schemas
from gateway.web.schemas.deliveries import RECOVERY_ID, RecoveryRequest
from gateway.web.state import State, state_of

_RECOVERY_ID: Final = re.compile(RECOVERY_ID)
_MAX_BODY_BYTES: Final = 65_536
_BODY_SECONDS: Final = 10.0
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


async def recover(request: Request, key: Key, _: Params) -> Response:
    """202 and the recovery. Conflict if the endpoint is disabled or already has a running recovery."""
    endpoint = await owned(request, key)
    state = state_of(request)
    async with JsonBody(request, key.tenant, state.budget, _MAX_BODY_BYTES, _BODY_SECONDS) as raw:
        wanted = recovery_problems.parse(raw)
    environment = state.resources.environment
    now = environment.now_ms()
    since, until = _window(wanted, now, _oldest(state, now))
    recovery = Recovery(
        id=f"rec_{environment.new_ulid()}",
        tenant=key.tenant,
        endpoint_id=endpoint.id,
        since=since,
        until=until,
        created_at=now,
        states=tuple(DeliveryState(name) for name in dict.fromkeys(wanted.states)),
    )
    begun = await state.resources.recoveries.begin(recovery)
    if isinstance(begun, Hindrance):
        raise hindrance_error(begun, endpoint.id)
    return json_answer(public_recovery(begun), 202, {"location": f"/v1/recoveries/{begun.id}"})


async def page(request: Request, key: Key, _: Params) -> Response:
    """The endpoint's newest recoveries."""
    endpoint = await owned(request, key)
    found = await state_of(request).resources.recoveries.of(endpoint.id)
    listed: schemas.RecoveryList = {
        "object": "list",
        "data": [public_recovery(recovery) for recovery in found],
    }
    return json_answer(listed)


async def show(request: Request, key: Key, _: Params) -> Response:
    name = request.path_params["recovery_id"]
    if not _RECOVERY_ID.fullmatch(name):
        raise NotFound("recovery", "of this form; ids look like rec_ and 26 letters and digits")
    found = await state_of(request).resources.recoveries.read(key.tenant, name)
    if found is None:
        raise NotFound("recovery", name, expires=True)
    return json_answer(public_recovery(found))


def public_recovery(recovery: Recovery) -> schemas.Recovery:
    """The recovery as its owner sees it."""
    return {
        "id": recovery.id,
        "object": "recovery",
        "endpoint": recovery.endpoint_id,
        "state": recovery.state,
        "reason": recovery.reason,
        "since": rfc3339(recovery.since),
        "until": rfc3339(recovery.until),
        "states": list(recovery.states),
        "total": recovery.total,
        "done": recovery.done,
        "created_at": rfc3339(recovery.created_at),
        "finished_at": rfc3339(recovery.finished_at),
    }


def _oldest(state: State, now: int) -> int:
    """The earliest possible `since`, ms: older deliveries are too old or no longer kept."""
    return now - min(MAX_AGE_MS, int(state.resources.settings.deliveries_kept_seconds * 1000))


def _window(wanted: RecoveryRequest, now: int, oldest: int) -> tuple[int, int]:
    """Both ends in ms, limited to now. InvalidRequest lists every fault."""
    found: list[Problem] = []
    since = _time("since", wanted.since, found)
    until = now if wanted.until is None else _time("until", wanted.until, found)
    if since is not None and since < oldest:
        message = f"is too long ago; send {rfc3339(oldest)} or later"
        found.append(Problem("since", "out_of_range", message))
    if since is not None and since > now:
        found.append(Problem("since", "out_of_range", "is in the future; send a time in the past"))
    elif since is not None and until is not None and until < since:
        found.append(Problem("until", "out_of_range", "is before since; send a later time, or leave it out"))
    if since is None or until is None or found:
        raise InvalidRequest(found)
    return since, min(until, now)


def _time(name: str, text: str, found: list[Problem]) -> int | None:
    try:
        return (datetime.fromisoformat(text) - _EPOCH) // _MS
    except ValueError:
        found.append(Problem(name, "wrong_form", f"there is no such time; send {recovery_problems.TIME}"))
        return None


def hindrance_error(why: Hindrance, endpoint_id: str) -> GatewayError:
    """The error for a recovery that cannot start."""
    match why:
        case Hindrance.MISSING | Hindrance.DELETED:
            return NotFound("endpoint", endpoint_id)
        case Hindrance.DISABLED:
            return Conflict(deliveries.disabled_message(endpoint_id))
        case Hindrance.UNDER_WAY:
            listed = f"GET /v1/endpoints/{endpoint_id}/recoveries"
            return Conflict(f"a recovery of this endpoint is running; wait until it is done: {listed}")
