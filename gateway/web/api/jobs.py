"""Operations on jobs: create, check, get, wait, list and cancel; their deliveries and timeline."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from enum import StrEnum
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from gateway import cancellation, generation
from gateway.errors import LimitReached, ScopeMissing, Unauthenticated
from gateway.intake.checks import Checked
from gateway.jobs import Job
from gateway.lifecycle import Status, states_of
from gateway.store.base import QueuePosition
from gateway.store.paging import Made
from gateway.tenants import Key, Scope
from gateway.views.job import estimated_cost, summary, whole
from gateway.web.api.deliveries import public_delivery
from gateway.web.api.long_poll import until_final
from gateway.web.api.owned import owned_job
from gateway.web.api.posting import IDEMPOTENCY_KEY, accept, checking, headers_after, saying_doubt
from gateway.web.api.timeline import timeline_of
from gateway.web.http.answers import json_answer
from gateway.web.http.params import WHOLE, InvalidValue, Param, Params, choice, integer, moment, several, text
from gateway.web.schemas import jobs as schemas
from gateway.web.state import State, state_of

PAGE_DEFAULT: Final = 20
PAGE_MAX: Final = 100
MAX_WAIT_SECONDS: Final = 60
#: Retry-After of an unfinished job, in seconds: a video takes minutes, and the queue may take hours.
RETRY_SECONDS: Final = 5
RETRY_MAX_SECONDS: Final = 300


def _wait(text: str) -> int | None:
    """The N of `wait=N`. Other preferences are ignored, as RFC 7240 requires."""
    for preference in text.split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            number = value.strip().strip('"')
            if WHOLE.match(number) and int(number) <= MAX_WAIT_SECONDS:
                return int(number)
            message = f"send wait=N with N in whole seconds from 0 to {MAX_WAIT_SECONDS}"
            raise InvalidValue("out_of_range", message)
    return None


PREFER: Final[Param[int | None]] = Param(
    "Prefer",
    f"`wait=N`: wait up to N seconds for the job to finish, from 0 to {MAX_WAIT_SECONDS}.",
    {"type": "string"},
    _wait,
    None,
    repeatable=True,
)
WAIT: Final = integer(
    "wait", "Maximum number of seconds to wait for the job to finish.", 0, MAX_WAIT_SECONDS, 0
)


class Order(StrEnum):
    """Of a list."""

    ASC = "asc"
    DESC = "desc"


STATUS: Final = several("status", "Only jobs with one of these.", {str(word): word for word in Status})
CREATED_AFTER: Final = moment("created_after", "Only jobs that were created later than this time.")
CREATED_BEFORE: Final = moment("created_before", "Only jobs that were created earlier than this time.")
ORDER: Final = choice("order", "`asc`: oldest first.", Order, Order.DESC)
AFTER: Final = text("after", "Only jobs that come after this one.", schemas.JOB_ID, "the id of a job")
LIMIT: Final = integer("limit", "Maximum number of items to return.", 1, PAGE_MAX, PAGE_DEFAULT)


_FILTERS: Final = frozenset(one.name for one in (STATUS, CREATED_AFTER, CREATED_BEFORE, ORDER))
LISTED: Final = (STATUS, CREATED_AFTER, CREATED_BEFORE, ORDER, AFTER, LIMIT)


async def create(request: Request, key: Key, params: Params) -> Response:
    """202 and the job; 200 if it finished while the client waited."""
    posted, payload = await accept(request, key, params)
    job, wait = posted.job, params[PREFER]
    headers = {"location": f"/v1/jobs/{job.id}", **headers_after(posted)}
    if wait is None:
        document = _document(state_of(request), job, payload, posted.position)
        return json_answer(document, 202, headers | _retry_after(posted.position))
    del payload  # free its memory, possibly a megabyte, while the client waits
    with contextlib.suppress(LimitReached, Unauthenticated, ScopeMissing):  # it was accepted: answer with it
        job = await until_final(request, job, wait, key, Scope.JOBS_WRITE)
        headers["preference-applied"] = f"wait={wait}"
    with saying_doubt(params[IDEMPOTENCY_KEY]):
        return await _shown(state_of(request), job, headers, 202)


async def check(request: Request, key: Key, _: Params) -> Response:
    """The parameters that the upstream would get, their cost, and warnings. Nothing is stored or paid for."""
    resources = state_of(request).resources
    async with checking(request, state_of(request), key.tenant) as checked:
        cost = estimated_cost(resources.intake.estimate(checked), resources.settings.currency)
        return json_answer(await _job_check(checked, cost))


async def show(request: Request, key: Key, params: Params) -> Response:
    """The job, immediately, or with `?wait=N` when it is finished, after N seconds at the latest."""
    job = await owned_job(request, key.tenant)
    job = await until_final(request, job, params[WAIT], key, Scope.JOBS_READ)
    return await _shown(state_of(request), job)


async def page(request: Request, key: Key, params: Params) -> Response:
    """The tenant's jobs, newest first unless asked otherwise, without their payloads."""
    wanted, limit = params[STATUS] or tuple(Status), params[LIMIT]
    states = [state for word in wanted for state in states_of(word)]
    since, before = params[CREATED_AFTER], params[CREATED_BEFORE]
    made = Made(None if since is None else since // 1000 + 1, None if before is None else -(-before // 1000))
    resources = state_of(request).resources
    store, settings = resources.jobs, resources.settings
    oldest_first = params[ORDER] is Order.ASC
    found = await store.page(key.tenant, states, params[AFTER], limit, made, oldest_first=oldest_first)
    positions = await store.queue_positions(found.jobs)
    following = None
    if found.more:
        rest = [(name, value) for name, value in request.query_params.multi_items() if name in _FILTERS]
        following = f"/v1/jobs?{urlencode([('after', found.last), ('limit', limit), *rest])}"
    listed: schemas.JobList = {
        "object": "list",
        "data": [
            summary(job, client_url=settings.client_url, queue=queue_of(position), currency=settings.currency)
            for job, position in zip(found.jobs, positions, strict=True)
        ],
        "has_more": found.more,
        "next": following,
    }
    return json_answer(listed)


async def cancel(request: Request, key: Key, _: Params) -> Response:
    """200 and the canceled job; 202 if the upstream has to be asked. CannotCancel if it cannot cancel,
    Conflict if the job has already finished otherwise."""
    state = state_of(request)
    resources = state.resources
    job = await cancellation.cancel(
        await owned_job(request, key.tenant),
        resources.jobs,
        resources.settlement,
        resources.environment,
        upstream_can=state.dialect.capabilities.cancel,
    )
    return await _shown(state, job, pending_status=202)


async def deliveries(request: Request, key: Key, _: Params) -> Response:
    """All deliveries of the job, with every attempt."""
    job = await owned_job(request, key.tenant)
    found = await state_of(request).resources.deliveries.of_job(job.id)
    listed: schemas.DeliveryList = {
        "object": "list",
        "data": [public_delivery(delivery) for delivery in found],
    }
    return json_answer(listed)


async def timeline(request: Request, key: Key, _: Params) -> Response:
    """Everything that happened to the job, oldest first."""
    job = await owned_job(request, key.tenant)
    return json_answer(await read_timeline(state_of(request), job, operator=False))


async def read_timeline(state: State, job: Job, *, operator: bool) -> schemas.Timeline:
    """The job's timeline."""
    resources = state.resources
    audit, owed = await asyncio.gather(resources.job_history.read(job), resources.deliveries.of_job(job.id))
    return timeline_of(job, audit, owed, operator=operator)


async def _shown(
    state: State, job: Job, headers: Mapping[str, str] | None = None, pending_status: int = 200
) -> Response:
    """`pending_status`: HTTP status while the job is not finished."""
    store = state.resources.jobs
    payload, [position] = await asyncio.gather(store.payload(job), store.queue_positions([job]))
    document = _document(state, job, payload, position)
    if job.final:
        return json_answer(document, 200, headers)
    return json_answer(document, pending_status, {**(headers or {}), **_retry_after(position)})


def _document(state: State, job: Job, payload: str | None, position: QueuePosition | None) -> schemas.Job:
    settings = state.resources.settings
    return whole(
        job,
        client_url=settings.client_url,
        payload=payload,
        queue=queue_of(position),
        currency=settings.currency,
    )


def queue_of(position: QueuePosition | None) -> schemas.Queue | None:
    """A job's position in the queue, as shown in responses."""
    if position is None:
        return None
    return {
        "position": position.position,
        "ahead_estimate": position.ahead,
        "eta_seconds": position.eta_seconds,
    }


def _retry_after(position: QueuePosition | None) -> dict[str, str]:
    """A Retry-After header; for a waiting job at least until it is expected to be sent."""
    eta = position.eta_seconds if position else None
    return {"retry-after": str(min(RETRY_MAX_SECONDS, max(RETRY_SECONDS, eta or 0)))}


async def _job_check(checked: Checked, cost: schemas.EstimatedCost) -> schemas.JobCheck:
    async def described(raw: bytes, extension: str) -> str:
        return f"inline {extension}, {len(raw)} bytes"

    return {
        "valid": True,
        "cost": cost,
        "warnings": [
            {"param": notice.param, "code": notice.code, "message": notice.message}
            for notice in checked.notices
        ],
        "upstream_params": {
            "model": checked.request.model,
            **await generation.detach_media(checked.request, described),
        },
    }
