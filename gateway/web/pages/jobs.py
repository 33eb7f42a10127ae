"""Pages of jobs: find one, show its timeline, cancel it, or resolve its unknown outcome."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.assets import AssetState, Variant
from gateway.jobs import Job
from gateway.lifecycle import JobState
from gateway.media.links import content_link
from gateway.web.api.deliveries import public_delivery
from gateway.web.api.jobs import AFTER, queue_of, read_timeline
from gateway.web.http.params import Reader, text
from gateway.web.ops import actions
from gateway.web.ops.bodies import check_task
from gateway.web.ops.jobs import PHASE, amount_of, job_of, unknown_rows, view
from gateway.web.pages import forms
from gateway.web.pages.filters import TENANT
from gateway.web.pages.rendering import SAID, address, render
from gateway.web.pages.sessions import viewer_of
from gateway.web.schemas.jobs import JOB_ID
from gateway.web.schemas.ops import ChargeRequest, OpsJob, ResolveRequest
from gateway.web.state import State, state_of

PAGE: Final = 50
_MAX_UNKNOWN: Final = 100
#: How long the page can play a video without being loaded again.
_LINK_SECONDS: Final = 3600
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
        if found.more:
            following = address("/ops/jobs", tenant=tenant, phase=phase, after=found.last)
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
    videos = await _videos(state, job)
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
        suspense=job.suspense,
    )


async def cancel(request: Request) -> Response:
    viewer, _ = await forms.acting(request)
    job = await actions.cancel(state_of(request), await job_of(request), viewer.by)
    said = "canceled" if job.final else "cancel_wished"
    return RedirectResponse(f"/ops/jobs/{job.id}?said={said}", 303)


async def charge(request: Request) -> Response:
    viewer, form = await forms.acting(request)
    back = form.pop("back", "")
    wanted = forms.parse(ChargeRequest, form)
    job = await job_of(request)
    await actions.charge(state_of(request), job, amount_of(wanted), wanted.reason, viewer.by)
    page = "/ops/spend" if back == "spend" else f"/ops/jobs/{job.id}"
    return RedirectResponse(f"{page}?said=charged", 303)


async def resolve(request: Request) -> Response:
    viewer, form = await forms.acting(request)
    wanted = forms.parse(ResolveRequest, form)
    check_task(wanted)
    state, job = state_of(request), await job_of(request)
    await actions.resolve(state, job, wanted.action, wanted.task_id, viewer.by)
    return RedirectResponse(f"/ops/jobs/{job.id}?said=resolved", 303)


def _can_cancel(state: State, job: Job) -> bool:
    return not job.final and (job.released_at is None or state.dialect.capabilities.cancel)


async def _videos(state: State, job: Job) -> list[str]:
    """The addresses of the videos: our copy of the first one, if there is one."""
    found = [
        str(part["url"])
        for output in job.output or ()
        for part in output.get("content", ())
        if str(part.get("url")).startswith(("https://", "http://")) and part.get("type") in ("video", None)
    ]
    own = await _own_video(state, job)
    return found if own is None else [own, *found[1:]]


async def _own_video(state: State, job: Job) -> str | None:
    """An address of our copy of the video that needs no key; None if there is no copy."""
    asset, resources = job.assets.get(Variant.VIDEO), state.resources
    if asset is None or asset.state is not AssetState.STORED or asset.key is None:
        return None
    media_type = asset.media_type or "video/mp4"
    signed = await resources.media.sign(asset.key, _LINK_SECONDS, media_type=media_type, filename=None)
    until = int(resources.environment.clock()) + _LINK_SECONDS
    return signed or content_link(resources.keyring, "", job.id, Variant.VIDEO, until)


def _params(job: Job) -> dict[str, Any]:
    """The parameters sent to the upstream; inline files are shown by their names."""
    return {name: value for name, value in job.params.items() if value is not None}
