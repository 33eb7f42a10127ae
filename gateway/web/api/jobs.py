"""Operations on jobs: create, check, get, wait, list and cancel; their deliveries and timeline."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway import cancellation, generation, tracing
from gateway.delivery.guard import allowing
from gateway.errors import LimitReached, ScopeMissing, StoreUnavailable, Unauthenticated
from gateway.intake import Checked, JobOptions
from gateway.job_view import public, summary
from gateway.jobs import Job, Priority
from gateway.lifecycle import JobState, OnUnknown, Status, states_of
from gateway.store.base import QueuePosition
from gateway.tenants import Key, Scope
from gateway.web.api.deliveries import public_delivery
from gateway.web.api.idempotency import REPLAYED, key_param
from gateway.web.api.long_poll import until_final
from gateway.web.api.owned import owned_job
from gateway.web.api.timeline import timeline_of
from gateway.web.api.webhook_urls import check_target
from gateway.web.http.answers import json_answer
from gateway.web.http.bodies import JsonBody
from gateway.web.http.headers import headers_of
from gateway.web.http.params import WHOLE, InvalidValue, Param, Params, choice, integer, seconds, text
from gateway.web.http.rate_headers import rate_headers
from gateway.web.schemas import jobs as schemas
from gateway.web.state import State, state_of

PAGE_DEFAULT: Final = 20
PAGE_MAX: Final = 100
MAX_WAIT_SECONDS: Final = 60
_MAX_DEADLINE_SECONDS: Final = 604_800
#: The way out when a body is too large. Base64 makes 4 bytes of 3.
SMALLER: Final = "files inside it may have about 14.9 MB together before Base64; give larger ones as URLs"
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


IDEMPOTENCY_KEY: Final = key_param(
    "Use a new key for each job. A repeated request with the same key returns the same job, with "
    "`Idempotent-Replayed: true`. It must have the same parameters and the same `Gateway-*` headers, or it "
    "is refused. The order and the form of the JSON do not matter. A default that is sent differs from "
    "one that is left out, except `seed` 0 and no `videos`. Keys belong to your tenant, not to an API key. "
    "They are kept as long as the job."
)
START_DEADLINE: Final = seconds(
    "Gateway-Start-Deadline",
    "Seconds from now. The job fails at no cost if it has not been sent to the upstream by then.",
    _MAX_DEADLINE_SECONDS,
)
TOTAL_DEADLINE: Final = seconds(
    "Gateway-Total-Deadline",
    "Seconds from now. The job fails if it has not finished by then; it may have been charged.",
    _MAX_DEADLINE_SECONDS,
)
ON_UNKNOWN: Final = choice(
    "Gateway-On-Unknown",
    "What to do if the upstream's response to the submission was lost and no evidence of a task was found: "
    "`hold` fails the job and never pays twice, `resubmit` sends it again and may pay twice, `manual` leaves "
    "the decision to an operator. Default: your tenant's setting.",
    OnUnknown,
)
PRIORITY: Final = choice(
    "Gateway-Priority",
    "Order among your own waiting jobs: for every `low` job, 4 `normal` and 16 `high` jobs are sent, so "
    "no priority starves. It does not change your tenant's share of the upstream.",
    Priority,
    Priority.NORMAL,
)
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
STATUS: Final = choice("status", "Only jobs with this status.", Status)
AFTER: Final = text("after", "Only jobs older than this one.", schemas.JOB_ID, "the id of a job")
LIMIT: Final = integer("limit", "Maximum number of items to return.", 1, PAGE_MAX, PAGE_DEFAULT)


async def create(request: Request, key: Key, params: Params) -> Response:
    """202 and the job; 200 if it finished while the client waited."""
    options = JobOptions(
        params[START_DEADLINE],
        params[TOTAL_DEADLINE],
        params[ON_UNKNOWN],
        params[PRIORITY],
        tracing.read_traceparent(headers_of(request).get(b"traceparent")),
    )
    state, idempotency_key = state_of(request), params[IDEMPOTENCY_KEY]
    async with _checked(request, state, key.tenant, options if idempotency_key else None) as checked:
        state.memory.check()
        state.disk.check(inline=bool(checked.media))
        with state.resources.tracer.span("accept", options.trace, {"tenant": key.tenant}) as trace:
            traced = replace(options, trace=trace)
            with _in_doubt(idempotency_key):
                posted = await state.resources.intake.accept(checked, key.tenant, idempotency_key, traced)
    job, wait = posted.job, params[PREFER]
    headers = {"location": f"/v1/jobs/{job.id}", **rate_headers(posted.allowance)}
    if posted.replayed:
        headers |= REPLAYED
    if wait is None:
        document = public(
            job,
            client_url=state.resources.settings.client_url,
            payload=checked.request.payload,
            queue=queue_of(posted.position),
        )
        return json_answer(document, 202, headers | _retry_after(posted.position))
    del checked  # free its memory, possibly megabytes, while the client waits
    with contextlib.suppress(LimitReached, Unauthenticated, ScopeMissing):  # it was accepted: answer with it
        job = await until_final(request, job, wait, key, Scope.JOBS_WRITE)
        headers["preference-applied"] = f"wait={wait}"
    with _in_doubt(params[IDEMPOTENCY_KEY]):
        return await _shown(state, job, headers, 202)


@contextlib.contextmanager
def _in_doubt(idempotency_key: str | None) -> Iterator[None]:
    """Without the store's answer, nobody knows whether the job was accepted."""
    try:
        yield
    except StoreUnavailable as error:
        raise in_doubt(idempotency_key) from error


def in_doubt(idempotency_key: str | None) -> StoreUnavailable:
    """The error for a client whose job may have been accepted or not."""
    way_out = "send the same request again, with the same Idempotency-Key"
    if idempotency_key is None:
        way_out = "look for it with GET /v1/jobs before you post it again"
    return StoreUnavailable(f"the store did not answer, so the job may have been accepted; {way_out}")


async def check(request: Request, key: Key, _: Params) -> Response:
    """The parameters that the upstream would get, and warnings. Nothing is stored or paid for."""
    async with _checked(request, state_of(request), key.tenant) as checked:
        return json_answer(await _job_check(checked))


@contextlib.asynccontextmanager
async def _checked(
    request: Request, state: State, tenant: str, keyed: JobOptions | None = None
) -> AsyncIterator[Checked]:
    """The request's body, checked against every published limit. InvalidRequest lists every problem."""
    settings = state.resources.settings
    most, in_seconds = settings.body_max_bytes, settings.body_timeout_seconds
    async with JsonBody(request, tenant, state.budget, most, in_seconds, SMALLER) as raw:
        checked = await state.resources.intake.check(raw, tenant, keyed)
        if checked.request.callback_url is not None:
            with allowing(await state.resources.tenants.networks(tenant)):
                check_target(state.guard, "callback_url", checked.request.callback_url)
        yield checked


async def show(request: Request, key: Key, params: Params) -> Response:
    """The job, immediately, or with `?wait=N` when it is finished, after N seconds at the latest."""
    job = await owned_job(request, key.tenant)
    job = await until_final(request, job, params[WAIT], key, Scope.JOBS_READ)
    return await _shown(state_of(request), job)


async def page(request: Request, key: Key, params: Params) -> Response:
    """The tenant's jobs, newest first, without their payloads."""
    status, limit = params[STATUS], params[LIMIT]
    states = states_of(status) if status else list(JobState)
    resources = state_of(request).resources
    store, client_url = resources.jobs, resources.settings.client_url
    found = await store.page(key.tenant, states, params[AFTER], limit)
    positions = await store.queue_positions(found.jobs)
    following = None
    if found.more and found.jobs:
        shown = f"&status={status}" if status else ""
        following = f"/v1/jobs?after={found.jobs[-1].id}&limit={limit}{shown}"
    listed: schemas.JobList = {
        "object": "list",
        "data": [
            summary(job, client_url=client_url, queue=queue_of(position))
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
    client_url = state.resources.settings.client_url
    document = public(job, client_url=client_url, payload=payload, queue=queue_of(position))
    if job.final:
        return json_answer(document, 200, headers)
    return json_answer(document, pending_status, {**(headers or {}), **_retry_after(position)})


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


async def _job_check(checked: Checked) -> schemas.JobCheck:
    async def described(raw: bytes, extension: str) -> str:
        return f"inline {extension}, {len(raw)} bytes"

    return {
        "valid": True,
        "warnings": [
            {"param": notice.param, "code": notice.code, "message": notice.message}
            for notice in checked.notices
        ],
        "upstream_params": {
            "model": checked.request.model,
            **await generation.detach_media(checked.request, described),
        },
    }
