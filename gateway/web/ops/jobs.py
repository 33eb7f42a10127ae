"""The routes of operators: a job's whole story and its resolution, the upstream's account, what was noted or
quarantined, and whether anything is under way.

They see the jobs of all tenants. Every change is kept among the operators' events, with the id of the key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import NotFound, Problem
from gateway.jobs import JOB_ID, Job, public, rfc3339
from gateway.lifecycle import JobState
from gateway.tenants import TENANT, Scope
from gateway.web import auth
from gateway.web.api.jobs import told
from gateway.web.http.answers import json_answer
from gateway.web.http.queries import Query
from gateway.web.ops import actions, bodies
from gateway.web.ops.accounts import account_document
from gateway.web.schemas.ops import ENTRY_ID, UNKNOWN_ID, ParkRequest, ResolveRequest
from gateway.web.state import State, state_of

PAGE_DEFAULT: Final = 100
PAGE_MAX: Final = 1000
JOBS_DEFAULT: Final = 20
JOBS_MAX: Final = 100
_ENTRY_ID: Final = re.compile(ENTRY_ID[:-1] + r"\Z")
_UNKNOWN_ID: Final = re.compile(UNKNOWN_ID[:-1] + r"\Z")


async def show_job(request: Request) -> Response:
    """The job of any tenant, and everything that happened to it."""
    await auth.require(request, Scope.OPS_READ)
    Query(request).check()
    return json_answer(await story(state_of(request), await job_of(request)))


async def jobs_page(request: Request) -> Response:
    """A tenant's jobs, newest first, without their payloads."""
    await auth.require(request, Scope.OPS_READ)
    query = Query(request, "tenant", "phase", "after", "limit")
    tenant = query.text("tenant", TENANT, "the name of a tenant")
    phase = query.choice("phase", JobState)
    after = query.text("after", JOB_ID, "the id of a job")
    limit = query.whole("limit", 1, JOBS_MAX, JOBS_DEFAULT)
    if tenant is None and not query.problems:
        query.problems.append(Problem("tenant", "required", "say whose: tenant=NAME"))
    query.check()
    assert tenant is not None
    states = [JobState(phase)] if phase else list(JobState)
    found = await state_of(request).resources.jobs.page(tenant, states, after, limit)
    data = [_seen(job) for job in found.jobs]
    following = None
    if found.more and data:
        shown = f"&phase={phase}" if phase else ""
        following = f"/ops/api/jobs?tenant={tenant}&after={data[-1]['id']}&limit={limit}{shown}"
    return json_answer({"object": "list", "data": data, "has_more": found.more, "next": following})


async def timeline(request: Request) -> Response:
    """Everything that happened to a job of any tenant, oldest first, with who did it."""
    await auth.require(request, Scope.OPS_READ)
    Query(request).check()
    return json_answer(await told(state_of(request), await job_of(request), operator=True))


async def resolve(request: Request) -> Response:
    """The job after an operator decided; Conflict when it is not unknown."""
    key = await auth.require(request, Scope.OPS_WRITE)
    Query(request).check()
    wanted = await bodies.read(request, key, ResolveRequest)
    state = state_of(request)
    job = await actions.resolve(state, await job_of(request), wanted.action, wanted.task_id, key.id)
    return json_answer(await story(state, job))


async def cancel(request: Request) -> Response:
    """The job, canceled as its owner could: Conflict or CannotCancel as there."""
    key = await auth.require(request, Scope.OPS_WRITE)
    Query(request).check()
    state = state_of(request)
    return json_answer(await story(state, await actions.cancel(state, await job_of(request), key.id)))


async def pause(request: Request) -> Response:
    """Everything under way; nothing more is sent to the upstream until `resume_all`."""
    key = await auth.require(request, Scope.OPS_WRITE)
    Query(request).check()
    wanted = await bodies.read(request, key, ParkRequest)
    state = state_of(request)
    await state.resources.lanes.pause_all(wanted.reason, key.id)
    return await _state(state)


async def resume_all(request: Request) -> Response:
    """Everything under way; what waits is sent again."""
    key = await auth.require(request, Scope.OPS_WRITE)
    Query(request).check()
    state = state_of(request)
    await state.resources.lanes.resume_all(key.id)
    return await _state(state)


async def events(request: Request) -> Response:
    """What operators should know, oldest first."""
    after, limit = await _page(request)
    found = await state_of(request).resources.ops_log.events(after, limit)
    return _list(request, [readable(row) for row in found.rows], found.more, limit)


async def quarantine(request: Request) -> Response:
    """Genuine callbacks that could not be made sense of, oldest first."""
    after, limit = await _page(request)
    found = await state_of(request).resources.ops_log.quarantine(after, limit)
    return _list(request, [readable(row) for row in found.rows], found.more, limit)


async def unknown(request: Request) -> Response:
    """Jobs whose outcome is unknown, the longest first."""
    after, limit = await _page(request, _UNKNOWN_ID)
    since, _, last = (after or "").partition("-")
    found, more = await unknown_rows(state_of(request), (int(since), last) if after else None, limit)
    return _list(request, found, more, limit)


async def unknown_rows(
    state: State, after: tuple[int, str] | None, limit: int
) -> tuple[list[dict[str, Any]], bool]:
    """The jobs whose outcome is unknown, the longest first, and whether more follow."""
    resources = state.resources
    found, more = await resources.unknown_jobs.page(after, limit)
    rows = [
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


async def show_state(request: Request) -> Response:
    """Everything under way, over all processes: all zeros once all jobs are final and told."""
    await auth.require(request, Scope.OPS_READ)
    Query(request).check()
    return await _state(state_of(request))


async def _state(state: State) -> Response:
    return json_answer(await standing(state))


async def standing(state: State) -> dict[str, Any]:
    """Everything under way, over all processes."""
    found = await state.resources.gauges.standing()
    return {
        "object": "state",
        "paused": {**found.paused, "at": rfc3339(int(found.paused["at"]))} if found.paused else None,
        "counts": found.counts,
        "roles": {role.value: numbers for role, numbers in found.roles.items()},
        "unknown": found.unknown,
        "deadlines": found.deadlines,
        "account": await account_document(state),
    }


async def job_of(request: Request) -> Job:
    """The job in the path; NotFound."""
    name = request.path_params["job_id"]
    if not JOB_ID.match(name):
        raise NotFound("job", "of this form; ids look like job_ and 26 letters and digits")
    job = await state_of(request).resources.jobs.read(name)
    if job is None:
        raise NotFound("job", name)
    return job


async def story(state: State, job: Job) -> dict[str, Any]:
    """The job as operators see it, and what was noted with it."""
    audit = await state.resources.job_history.read(job)
    return {"job": _seen(job), "audit": [readable(entry) for entry in audit]}


def _seen(job: Job) -> dict[str, Any]:
    """The job as operators see it."""
    shown = public(job)
    del shown["payload"]
    return shown | {
        "tenant": job.tenant,
        "epoch": job.epoch,
        "task_id": job.task_id,
        "account": job.account if job.epoch else None,
        "released_at": rfc3339(job.released_at),
    }


async def _page(request: Request, form: re.Pattern[str] = _ENTRY_ID) -> tuple[str | None, int]:
    await auth.require(request, Scope.OPS_READ)
    query = Query(request, "after", "limit")
    after = query.text("after", form, "the id of an entry")
    limit = query.whole("limit", 1, PAGE_MAX, PAGE_DEFAULT)
    query.check()
    return after, limit


def _list(request: Request, data: Sequence[Mapping[str, Any]], more: bool, limit: int) -> Response:
    following = f"{request.url.path}?after={data[-1]['id']}&limit={limit}" if more and data else None
    return json_answer({"object": "list", "data": data, "has_more": more, "next": following})


def readable(entry: Mapping[str, str]) -> dict[str, Any]:
    """Times as elsewhere, and the number of a submission as one."""
    shown: dict[str, Any] = {**entry, "at": rfc3339(int(entry["at"]))}
    if "epoch" in entry:
        shown["epoch"] = int(entry["epoch"])
    return shown
