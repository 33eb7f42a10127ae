"""The routes of jobs: post one, look at it or wait for it, list them, cancel, see its webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway import cancellation, generation
from gateway.delivery.guard import allowing
from gateway.errors import NotFound
from gateway.intake import Checked
from gateway.jobs import JOB_ID, Job, public
from gateway.lifecycle import JobState, Status, states_of
from gateway.store.base import QueuePosition
from gateway.tenants import Scope
from gateway.web import auth
from gateway.web.api.deliveries import public_delivery
from gateway.web.api.long_poll import until_final
from gateway.web.api.timeline import story
from gateway.web.api.webhook_urls import check_target
from gateway.web.http.answers import json_answer
from gateway.web.http.bodies import JsonBody
from gateway.web.http.queries import MAX_WAIT_SECONDS, Query, idempotency_key, job_options, preferred_wait
from gateway.web.http.rate_headers import rate_headers
from gateway.web.state import State, state_of

PAGE_DEFAULT: Final = 20
PAGE_MAX: Final = 100
#: When to look again at a job that is not final, in seconds: a video takes minutes, a queue may take hours.
LOOK_AGAIN: Final = 5
LOOK_AGAIN_MAX: Final = 300


async def create(request: Request) -> Response:
    """202 and the job; 200 when it became final while the client waited, or for a dry run."""
    key = await auth.require(request, Scope.JOBS_WRITE)
    query = Query(request, "dry_run", wait="to wait, send the header Prefer: wait=N")
    dry_run = query.flag("dry_run")
    idempotency = idempotency_key(request, query)
    options = job_options(request, query)
    wait = preferred_wait(request, query)
    query.check()
    state = state_of(request)
    most, seconds = (
        state.resources.settings.body_max_bytes,
        state.resources.settings.body_timeout_seconds,
    )
    async with JsonBody(request, key.tenant, state.budget, most, seconds) as raw:
        checked = await state.resources.intake.check(raw)
        if checked.request.callback_url is not None:
            with allowing(await state.resources.operators.tenants.networks(key.tenant)):
                check_target(state.guard, "callback_url", checked.request.callback_url)
        if dry_run:
            return json_answer(await _dry_run(checked))
        state.memory.check()
        with state.resources.tracer.span("accept", options.trace, {"tenant": key.tenant}) as trace:
            traced = replace(options, trace=trace)
            posted = await state.resources.intake.accept(checked, key.tenant, idempotency, traced)
    job = posted.job
    headers = {"location": f"/v1/jobs/{job.id}", **rate_headers(posted.allowance)}
    if posted.replayed:
        headers["idempotent-replayed"] = "true"
    if wait is None:
        document = public(job, payload=checked.request.payload, queue=queue_of(posted.place))
        return json_answer(document, 202, headers | _look_again(posted.place))
    del raw, checked  # a client may wait for a minute, and they may be megabytes
    headers["preference-applied"] = f"wait={wait}"
    return await _shown(state, await until_final(request, job, wait), headers, 202)


async def show(request: Request) -> Response:
    """The job, at once or when it is final; after `?wait=N` seconds at the latest."""
    key = await auth.require(request, Scope.JOBS_READ)
    query = Query(request, "wait")
    wait = query.whole("wait", 0, MAX_WAIT_SECONDS, 0)
    query.check()
    job = await until_final(request, await _owned(request, key.tenant), wait)
    return await _shown(state_of(request), job)


async def page(request: Request) -> Response:
    """The tenant's jobs, newest first, without their payloads."""
    key = await auth.require(request, Scope.JOBS_READ)
    query = Query(request, "status", "after", "limit")
    status = query.choice("status", Status)
    after = query.text("after", JOB_ID, "the id of a job")
    limit = query.whole("limit", 1, PAGE_MAX, PAGE_DEFAULT)
    query.check()
    states = states_of(Status(status)) if status else list(JobState)
    store = state_of(request).resources.jobs
    found = await store.page(key.tenant, states, after, limit)
    places = await store.queue_positions(found.jobs)
    following = None
    if found.more and found.jobs:
        shown = f"&status={status}" if status else ""
        following = f"/v1/jobs?after={found.jobs[-1].id}&limit={limit}{shown}"
    data = [_without_payload(job, place) for job, place in zip(found.jobs, places, strict=True)]
    return json_answer({"object": "list", "data": data, "has_more": found.more, "next": following})


async def cancel(request: Request) -> Response:
    """200 and the job as canceled; 202 when the upstream is to be asked. CannotCancel when it offers none,
    Conflict when the job ended otherwise."""
    key = await auth.require(request, Scope.JOBS_WRITE)
    Query(request).check()
    state = state_of(request)
    resources = state.resources
    job = await cancellation.cancel(
        await _owned(request, key.tenant),
        resources.jobs,
        resources.settlement,
        resources.environment,
        upstream_can=state.dialect.capabilities.cancel,
    )
    return await _shown(state, job, going_on=202)


async def deliveries(request: Request) -> Response:
    """What is and was owed to subscribers for the job, with every attempt."""
    key = await auth.require(request, Scope.JOBS_READ)
    Query(request).check()
    job = await _owned(request, key.tenant)
    found = await state_of(request).resources.deliveries.of_job(job.id)
    data = [public_delivery(delivery) for delivery in found]
    return json_answer({"object": "list", "data": data})


async def timeline(request: Request) -> Response:
    """Everything that happened to the job, oldest first."""
    key = await auth.require(request, Scope.JOBS_READ)
    Query(request).check()
    job = await _owned(request, key.tenant)
    return json_answer(await told(state_of(request), job, operator=False))


async def told(state: State, job: Job, *, operator: bool) -> dict[str, Any]:
    """The job's timeline."""
    resources = state.resources
    audit, owed = await asyncio.gather(resources.operators.audit(job), resources.deliveries.of_job(job.id))
    return story(job, audit, owed, operator=operator)


async def _owned(request: Request, tenant: str) -> Job:
    """The job in the path. NotFound for no such job and for another tenant's alike."""
    name = request.path_params["job_id"]
    if not JOB_ID.match(name):
        raise NotFound("job", "of this form; ids look like job_ and 26 letters and digits")
    job = await state_of(request).resources.jobs.read(name)
    if job is None or job.tenant != tenant:
        raise NotFound("job", name)
    return job


async def _shown(
    state: State, job: Job, headers: Mapping[str, str] | None = None, going_on: int = 200
) -> Response:
    """`going_on`: the status while the job is not final."""
    store = state.resources.jobs
    payload, [place] = await asyncio.gather(store.payload(job), store.queue_positions([job]))
    document = public(job, payload=payload, queue=queue_of(place))
    if job.final:
        return json_answer(document, 200, headers)
    return json_answer(document, going_on, {**(headers or {}), **_look_again(place)})


def queue_of(place: QueuePosition | None) -> dict[str, int | None] | None:
    """Where a job waits, as the answer has it."""
    if place is None:
        return None
    return {
        "position": place.position,
        "ahead_estimate": place.ahead,
        "eta_seconds": place.eta_seconds,
    }


def _look_again(place: QueuePosition | None) -> dict[str, str]:
    """Before a job is sent there is nothing new to be seen."""
    eta = place.eta_seconds if place else None
    return {"retry-after": str(min(LOOK_AGAIN_MAX, max(LOOK_AGAIN, eta or 0)))}


def _without_payload(job: Job, place: QueuePosition | None) -> dict[str, Any]:
    document = public(job, queue=queue_of(place))
    del document["payload"]
    return document


async def _dry_run(checked: Checked) -> dict[str, Any]:
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
