"""Pages of jobs: find one, show its timeline, cancel it, or resolve its unknown outcome."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.jobs import Job
from gateway.lifecycle import JobState
from gateway.web.api.deliveries import public_delivery
from gateway.web.api.jobs import AFTER, queue_of, read_timeline
from gateway.web.http.params import Reader, text
from gateway.web.ops import actions
from gateway.web.ops.bodies import check_task
from gateway.web.ops.jobs import PHASE, job_of, unknown_rows, view
from gateway.web.pages import forms
from gateway.web.pages.filters import TENANT
from gateway.web.pages.rendering import SAID, address, render
from gateway.web.pages.sessions import viewer_of
from gateway.web.schemas.jobs import JOB_ID
from gateway.web.schemas.ops import OpsJob, ResolveRequest
from gateway.web.state import State, state_of

PAGE: Final = 50
_MAX_UNKNOWN: Final = 100
_JOB: Final = text("job", "The job to show.", JOB_ID, "the id of a job")
_QUERY: Final = Reader((TENANT, PHASE, AFTER, _JOB, SAID), blank_is_absent=True)


async def find(request: Request) -> Response:
    """A tenant's jobs, newest first; without a tenant, all jobs whose outcome is unknown."""
    viewer, state = await viewer_of(request), state_of(request)
    query = _QUERY.read(request)
    if query[_JOB]:
        return RedirectResponse(f"/ops/jobs/{query[_JOB]}", 303)
    tenant, phase = query[TENANT], query[PHASE]
    jobs: list[OpsJob] = []
    following = None
    if tenant:
        states = [phase] if phase else list(JobState)
        found = await state.resources.jobs.page(tenant, states, query[AFTER], PAGE)
        jobs = [view(state, job) for job in found.jobs]
        if found.more and jobs:
            following = address("/ops/jobs", tenant=tenant, phase=phase, after=jobs[-1]["id"])
    unknown, _ = ([], False) if tenant else await unknown_rows(state, None, _MAX_UNKNOWN)
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
    timeline, owed, [position] = await asyncio.gather(
        read_timeline(state, job, operator=True),
        state.resources.deliveries.of_job(job.id),
        state.resources.jobs.queue_positions([job]),
    )
    videos = _videos(job)
    return render(
        request,
        "job.html",
        viewer,
        media=videos,
        job=view(state, job),
        timeline=timeline,
        videos=videos,
        queue=queue_of(position),
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
    """The parameters sent to the upstream; inline files are shown by their names."""
    return {name: value for name, value in job.params.items() if value is not None}
