"""Every operation of the API for clients, one row each."""

from __future__ import annotations

from typing import Final

from gateway.generation import GenerationRequest
from gateway.tenants import Scope
from gateway.web.api import jobs
from gateway.web.api.examples import JOB_EXAMPLES
from gateway.web.operation import LOCATION, RETRY_AFTER, Document, Operation, Reply
from gateway.web.schemas import jobs as schemas

_READ: Final = (Scope.JOBS_READ,)
_WRITE: Final = (Scope.JOBS_WRITE,)
_WAITED: Final[dict[str, Document]] = {
    **LOCATION,
    "Preference-Applied": {
        "description": "`wait=N` if the `Prefer` header was applied.",
        "schema": {"type": "string", "pattern": "^wait=[0-9]+$"},
    },
    "Idempotent-Replayed": {
        "description": "`true` if this is the earlier job of the same key and body.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}
_AGAIN: Final = {"Retry-After": RETRY_AFTER}

JOBS: Final = (
    Operation(
        "POST", "/v1/jobs", "createJob", "Create a job", jobs.create,
        {
            200: Reply("The job finished while the client waited.", schemas.Job, _WAITED),
            202: Reply("Accepted. The job will not be lost.", schemas.Job, {**_WAITED, **_AGAIN}),
        },
        _WRITE,
        headers=(
            jobs.IDEMPOTENCY_KEY, jobs.START_DEADLINE, jobs.TOTAL_DEADLINE,
            jobs.ON_UNKNOWN, jobs.PRIORITY, jobs.PREFER,
        ),
        hints={
            "wait": "to wait, send the header Prefer: wait=N",
            "dry_run": "to check a job without creating it, POST it to /v1/jobs/check",
        },
        body=GenerationRequest, examples=JOB_EXAMPLES, problems=(429,),
    ),
    Operation(
        "POST", "/v1/jobs/check", "checkJob", "Check a job without creating it", jobs.check,
        {200: Reply("The job would be accepted.", schemas.DryRun)},
        _WRITE,
        description="Checks every published limit. Nothing is kept, and nothing is spent.",
        body=GenerationRequest, examples=JOB_EXAMPLES, problems=(429,),
    ),
    Operation(
        "GET", "/v1/jobs", "listJobs", "List jobs, newest first", jobs.page,
        {200: Reply("A page of jobs.", schemas.JobList)},
        _READ, query=(jobs.STATUS, jobs.AFTER, jobs.LIMIT),
    ),
    Operation(
        "GET", "/v1/jobs/{job_id}", "getJob", "Get a job, or wait until it is finished", jobs.show,
        {200: Reply("The job.", schemas.Job)},
        _READ, query=(jobs.WAIT,),
    ),
    Operation(
        "POST", "/v1/jobs/{job_id}/cancel", "cancelJob", "Cancel a job", jobs.cancel,
        {
            200: Reply("The job is canceled.", schemas.Job),
            202: Reply(
                "It was sent already, so the upstream is asked to stop it; `cancel` has its answer.",
                schemas.Job, _AGAIN,
            ),
        },
        _WRITE, problems=(409,),
    ),
    Operation(
        "GET", "/v1/jobs/{job_id}/deliveries", "listJobDeliveries", "List the webhooks of a job",
        jobs.deliveries,
        {200: Reply("All deliveries of the job.", schemas.DeliveryList)},
        _READ,
    ),
    Operation(
        "GET", "/v1/jobs/{job_id}/timeline", "getJobTimeline", "Get everything that happened to a job",
        jobs.timeline,
        {200: Reply("The timeline, oldest entry first.", schemas.Timeline)},
        _READ,
    ),
)  # fmt: skip
API: Final[tuple[Operation, ...]] = (*JOBS,)
