"""The pages of jobs: find one, see its whole story, cancel it, or decide what became of it."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway import tenants
from gateway.jobs import JOB_ID, Job, public
from gateway.lifecycle import JobState
from gateway.web.api.deliveries import public_delivery
from gateway.web.api.jobs import queue_of, told
from gateway.web.http.queries import Query
from gateway.web.ops import actions
from gateway.web.ops.bodies import check_task
from gateway.web.ops.jobs import job_of, story, unknown_rows
from gateway.web.pages import forms
from gateway.web.pages.rendering import address, render
from gateway.web.pages.sessions import viewer_of
from gateway.web.schemas.ops import ResolveRequest
from gateway.web.state import State, state_of

PAGE: Final = 50
_MOST_UNKNOWN: Final = 100


async def find(request: Request) -> Response:
    """A tenant's jobs, newest first; without a tenant, those whose outcome is unknown."""
    viewer, state = await viewer_of(request), state_of(request)
    query = Query(request, "tenant", "phase", "after", "job", "said")
    wanted = query.text("job", JOB_ID, "the id of a job") if request.query_params.get("job") else None
    tenant = _given(request, query)
    phase = query.choice("phase", JobState) if request.query_params.get("phase") else None
    after = query.text("after", JOB_ID, "the id of a job")
    query.check()
    if wanted:
        return RedirectResponse(f"/ops/jobs/{wanted}", 303)
    jobs: list[dict[str, Any]] = []
    following = None
    if tenant:
        states = [JobState(phase)] if phase else list(JobState)
        found = await state.resources.jobs.page(tenant, states, after, PAGE)
        jobs = [_row(job) for job in found.jobs]
        if found.more and jobs:
            following = address("/ops/jobs", tenant=tenant, phase=phase, after=jobs[-1]["id"])
    unknown, _ = ([], False) if tenant else await unknown_rows(state, None, _MOST_UNKNOWN)
    return render(
        request,
        "jobs.html",
        viewer,
        jobs=jobs,
        tenant=tenant,
        phase=phase,
        phases=[one.value for one in JobState],
        following=following,
        unknown=unknown,
    )


async def show(request: Request) -> Response:
    viewer, state = await viewer_of(request), state_of(request)
    job = await job_of(request)
    document, timeline, owed, [place] = await asyncio.gather(
        story(state, job),
        told(state, job, operator=True),
        state.resources.deliveries.of_job(job.id),
        state.resources.jobs.queue_positions([job]),
    )
    videos = _videos(job)
    return render(
        request,
        "job.html",
        viewer,
        media=videos,
        job=document["job"],
        timeline=timeline,
        videos=videos,
        queue=queue_of(place),
        params=_params(job),
        deliveries=[public_delivery(one) for one in sorted(owed, key=lambda one: one.created_at)],
        can_cancel=_can_cancel(state, job),
        unknown=job.state is JobState.UNKNOWN or (job.state is JobState.SUBMITTED and not job.tasks),
        evidence=job.evidence,
    )


async def cancel(request: Request) -> Response:
    viewer, _ = await forms.acting(request)
    job = await actions.cancel(state_of(request), await job_of(request), viewer.key.id)
    said = "canceled" if job.final else "cancel_wished"
    return RedirectResponse(f"/ops/jobs/{job.id}?said={said}", 303)


async def resolve(request: Request) -> Response:
    viewer, form = await forms.acting(request)
    wanted = forms.parse(ResolveRequest, form)
    check_task(wanted)
    state, job = state_of(request), await job_of(request)
    await actions.resolve(state, job, wanted.action, wanted.task_id, viewer.key.id)
    return RedirectResponse(f"/ops/jobs/{job.id}?said=resolved", 303)


def _given(request: Request, query: Query) -> str | None:
    if not request.query_params.get("tenant"):  # a form sends what was left empty
        return None
    return query.text("tenant", tenants.TENANT, "the name of a tenant")


def _row(job: Job) -> dict[str, Any]:
    return public(job) | {"task_id": job.task_id}


def _can_cancel(state: State, job: Job) -> bool:
    return not job.final and (job.released_at is None or state.dialect.capabilities.cancel)


def _videos(job: Job) -> list[str]:
    return [
        str(part["url"])
        for output in job.output or ()
        for part in output.get("content", ())
        if str(part.get("url")).startswith(("https://", "http://")) and part.get("type") in ("video", None)
    ]


def _params(job: Job) -> dict[str, Any]:
    """What the upstream is asked for; files of ours by their names alone."""
    return {name: value for name, value in job.params.items() if value is not None}
