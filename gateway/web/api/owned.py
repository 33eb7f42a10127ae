"""Finds what a path names, if it belongs to the tenant that asks."""

from __future__ import annotations

from starlette.requests import Request

from gateway.errors import NotFound
from gateway.jobs import JOB_ID, Job
from gateway.web.state import state_of


async def owned_job(request: Request, tenant: str) -> Job:
    """The job in the path. NotFound if it does not exist or belongs to another tenant."""
    name = request.path_params["job_id"]
    if not JOB_ID.match(name):
        raise NotFound("job", "of this form; ids look like job_ and 26 letters and digits")
    job = await state_of(request).resources.jobs.read(name)
    if job is None or job.tenant != tenant:
        raise NotFound("job", name, expires=True)
    return job
