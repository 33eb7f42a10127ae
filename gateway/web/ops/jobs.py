"""Operators' operations on jobs of all tenants: list, get, cancel, and resolve an unknown outcome.

Every change is recorded in the audit with the id of the operator's key.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import AmountRefused, InvalidRequest, NotFound, Problem
from gateway.jobs import JOB_ID, Job, rfc3339
from gateway.lifecycle import JobState
from gateway.money.amounts import to_micros
from gateway.tenants import Key
from gateway.views.job import summary
from gateway.web.api.jobs import AFTER, LIMIT, read_timeline
from gateway.web.http.answers import json_answer
from gateway.web.http.params import Params, choice, text
from gateway.web.ops import actions, bodies
from gateway.web.ops.entries import entry
from gateway.web.ops.filters import LIMIT as ENTRY_LIMIT
from gateway.web.ops.filters import TENANT
from gateway.web.schemas import ops as schemas
from gateway.web.state import State, state_of

PHASE: Final = choice("phase", "Only jobs in this phase.", JobState)
UNKNOWN_AFTER: Final = text(
    "after", "Only jobs unknown for less time than this entry.", schemas.UNKNOWN_ID, "the id of an entry"
)


async def show(request: Request, key: Key, _: Params) -> Response:
    """A job of any tenant, with its history."""
    return json_answer(await with_history(state_of(request), await job_of(request)))


async def page(request: Request, key: Key, params: Params) -> Response:
    """A tenant's jobs, newest first, without their payloads."""
    tenant, phase, limit = params[TENANT], params[PHASE], params[LIMIT]
    states = [phase] if phase else list(JobState)
    state = state_of(request)
    found = await state.resources.jobs.page(tenant, states, params[AFTER], limit)
    data = [view(state, job) for job in found.jobs]
    following = None
    if found.more:
        shown = f"&phase={phase}" if phase else ""
        following = f"/ops/api/jobs?tenant={tenant}&after={found.last}&limit={limit}{shown}"
    return json_answer(schemas.OpsJobList(object="list", data=data, has_more=found.more, next=following))


async def timeline(request: Request, key: Key, _: Params) -> Response:
    """Everything that happened to a job of any tenant, oldest first, with who did it."""
    return json_answer(await read_timeline(state_of(request), await job_of(request), operator=True))


async def resolve(request: Request, key: Key, _: Params) -> Response:
    """The job after an operator's decision. Conflict if its outcome is not unknown."""
    wanted = await bodies.read(request, key, schemas.ResolveRequest)
    state = state_of(request)
    job = await actions.resolve(state, await job_of(request), wanted.action, wanted.task_id, key.id)
    return json_answer(await with_history(state, job))


async def charge(request: Request, key: Key, _: Params) -> Response:
    """The job after an operator decided what it cost. Conflict if nothing is in suspense for it."""
    wanted = await bodies.read(request, key, schemas.ChargeRequest)
    state = state_of(request)
    job = await actions.charge(state, await job_of(request), amount_of(wanted), wanted.reason, key.id)
    return json_answer(await with_history(state, job))


def amount_of(wanted: schemas.ChargeRequest) -> int:
    """In micro-units. Raises InvalidRequest."""
    try:
        return to_micros(wanted.amount)
    except AmountRefused as error:
        raise InvalidRequest([Problem("amount", "out_of_range", str(error))]) from None


async def cancel(request: Request, key: Key, _: Params) -> Response:
    """The canceled job. Conflict or CannotCancel, as if its owner had canceled it."""
    state = state_of(request)
    job = await actions.cancel(state, await job_of(request), key.id)
    return json_answer(await with_history(state, job))


async def unknown(request: Request, key: Key, params: Params) -> Response:
    """Jobs whose outcome is unknown, longest unknown first."""
    after, limit = params[UNKNOWN_AFTER], params[ENTRY_LIMIT]
    since, _, last = (after or "").partition("-")
    data, more = await unknown_rows(state_of(request), (int(since), last) if after else None, limit)
    following = f"/ops/api/unknown?after={data[-1]['id']}&limit={limit}" if more and data else None
    return json_answer(schemas.UnknownList(object="list", data=data, has_more=more, next=following))


async def unknown_rows(
    state: State, after: tuple[int, str] | None, limit: int
) -> tuple[list[schemas.UnknownJob], bool]:
    """Jobs whose outcome is unknown, longest unknown first, and whether there are more. `after`: the last job
    of the previous page: since when it is unknown (ms), and its id."""
    resources = state.resources
    found, more = await resources.unknown_jobs.page(after, limit)
    rows: list[schemas.UnknownJob] = [
        {
            "id": f"{job.since}-{job.job_id}",
            "job": job.job_id,
            "tenant": job.tenant,
            "epoch": job.epoch,
            "since": rfc3339(job.since),
            "on_unknown": job.on_unknown or resources.settings.on_unknown,
            "evidence": job.evidence,
        }
        for job in found
    ]
    return rows, more


async def job_of(request: Request) -> Job:
    """The job in the path; NotFound."""
    name = request.path_params["job_id"]
    if not JOB_ID.match(name):
        raise NotFound("job", "of this form; ids look like job_ and 26 letters and digits")
    job = await state_of(request).resources.jobs.read(name)
    if job is None:
        raise NotFound("job", name)
    return job


async def with_history(state: State, job: Job) -> schemas.JobWithHistory:
    """The job as operators see it, with its history."""
    audit = await state.resources.job_history.read(job)
    return {"job": view(state, job), "audit": [entry(row, schemas.JobHistoryEntry) for row in audit]}


def view(state: State, job: Job) -> schemas.OpsJob:
    """The job as operators see it."""
    settings = state.resources.settings
    return {
        **summary(job, client_url=settings.client_url, currency=settings.currency),
        "tenant": job.tenant,
        "epoch": job.epoch,
        "task_id": job.task_id,
        "account": job.account if job.epoch else None,
        "released_at": rfc3339(job.released_at),
    }
