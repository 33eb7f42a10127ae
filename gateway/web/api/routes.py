"""All operations of the clients' API, one entry each."""

from __future__ import annotations

from typing import Final

from gateway.events import EventType
from gateway.generation import GenerationRequest
from gateway.tenants import Scope
from gateway.web.api import callbacks, events, jobs, posting, usage
from gateway.web.api.content_routes import CONTENT
from gateway.web.api.examples import JOB_EXAMPLES
from gateway.web.api.upload_routes import UPLOADS
from gateway.web.api.webhook_routes import WEBHOOKS
from gateway.web.operation import LOCATION, PUBLIC, RETRY_AFTER, Document, Operation, Reply
from gateway.web.schemas import jobs as schemas
from gateway.web.schemas import usage as usage_schemas
from gateway.web.streams.keepalive import KEEPALIVE_SECONDS

_READ: Final = (Scope.JOBS_READ,)
_WRITE: Final = (Scope.JOBS_WRITE,)
_WAITED: Final[dict[str, Document]] = {
    **LOCATION,
    "Preference-Applied": {
        "description": "`wait=N` if the service waited. Absent although you sent `Prefer: wait=N`: too many "
        "requests of your tenant were waiting, so the job was accepted and answered at once.",
        "schema": {"type": "string", "pattern": "^wait=[0-9]+$"},
    },
    "Idempotent-Replayed": {
        "description": "`true` if this is the existing job of the same key and body.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}
_AGAIN: Final = {
    "Retry-After": {
        "description": "Only while the job is not finished: seconds until it is worth asking again.",
        "schema": RETRY_AFTER["schema"],
    }
}
JOBS: Final = (
    Operation(
        "POST", "/v1/jobs", "createJob", "Create a job", jobs.create,
        {
            200: Reply("The job finished while the client waited.", schemas.Job, _WAITED),
            202: Reply("Accepted. The job will not be lost.", schemas.Job, {**_WAITED, **_AGAIN}),
        },
        _WRITE,
        description="The body and the options are checked first: a bad request costs nothing. If no answer "
        "comes, or 500 or 503, the job may have been accepted. Then send the same request again, with the "
        "same `Idempotency-Key`: it returns the job, or creates it. Without a key, look for the job with "
        "`GET /v1/jobs` before you post it again.",
        headers=(posting.IDEMPOTENCY_KEY, *posting.OPTIONS, jobs.PREFER),
        hints={
            "wait": "to wait, send the header Prefer: wait=N",
            "dry_run": "to check a job without creating it, POST it to /v1/jobs/check",
        },
        body=GenerationRequest, examples=JOB_EXAMPLES, problems=(402,),
        counted=False,  # jobs have a rate of their own, which all processes share
    ),
    Operation(
        "POST", "/v1/jobs/check", "checkJob", "Check a job without creating it", jobs.check,
        {200: Reply("Nothing is wrong with the body and the options.", schemas.JobCheck)},
        _WRITE,
        description="Checks the body and the options as `POST /v1/jobs` does. Nothing is stored or paid for. "
        "The upstream may still refuse the job, for a picture behind a URL for example, and the service may, "
        "if a quota or a rate of your tenant is used up.",
        headers=posting.OPTIONS,
        body=GenerationRequest, examples=JOB_EXAMPLES, metered="checks",
    ),
    Operation(
        "GET", "/v1/jobs", "listJobs", "List jobs, newest first", jobs.page,
        {200: Reply("A page of jobs.", schemas.JobList)},
        _READ, query=jobs.LISTED,
    ),
    Operation(
        "GET", "/v1/jobs/{job_id}", "getJob", "Get a job, or wait until it is finished", jobs.show,
        {200: Reply("The job.", schemas.Job, _AGAIN)},
        _READ, query=(jobs.WAIT,),
    ),
    Operation(
        "POST", "/v1/jobs/{job_id}/cancel", "cancelJob", "Cancel a job", jobs.cancel,
        {
            200: Reply("The job is canceled.", schemas.Job),
            202: Reply(
                "The job was already sent, so the upstream is asked to stop it; `cancel` shows its response.",
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

_MESSAGES: Final = f"""\
Server-sent events. Each message is an event as webhooks carry it: `event` is its type, `data` is its body,
and `id` is its position in the tenant's events. To continue from there, send it as `Last-Event-ID`. The event
of a finished job has the same bytes as its webhook. A message `gap` has no `id`; it says that events are
missing because they are no longer kept: get your jobs to see what became of them. Ignore types that you do
not know. A comment with the current position is sent every {KEEPALIVE_SECONDS:g} s. The stream ends
if the service restarts, if the client reads too slowly, or, within five seconds, when its key ends: reconnect
with the last `id`.
"""
_MESSAGE: Final[Document] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "event": {"type": "string", "x-extensible-enum": [*EventType, "gap"]},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {
                "anyOf": [
                    {"$ref": "#/components/schemas/Event"},
                    {"$ref": "#/components/schemas/Gap"},
                ]
            },
        },
    },
}
#: Some tools read an event stream message by message, and others as one text.
_STREAM: Final[Document] = {"anyOf": [_MESSAGE, {"type": "string"}]}


def _stream(description: str) -> Reply:
    return Reply(f"{_MESSAGES}\n{description}", _STREAM, media_type="text/event-stream")


STREAMS: Final = (
    Operation(
        "GET", "/v1/jobs/{job_id}/events", "streamJobEvents", "Stream the events of a job", events.of_job,
        {
            200: _stream("It starts with the job's events so far, and ends when the job is finished."),
            204: Reply("The job is finished, and there is no event after that position: do not reconnect."),
        },
        _READ, query=(events.AFTER,), headers=(events.LAST_EVENT_ID,), head=False,
    ),
    Operation(
        "GET", "/v1/events", "streamEvents", "Stream the events of all jobs", events.of_tenant,
        {200: _stream("Without a position to continue from, it starts with the next event.")},
        _READ,
        query=(events.TYPES, events.AFTER), headers=(events.LAST_EVENT_ID,), head=False,
    ),
)  # fmt: skip

USAGE: Final = (
    Operation(
        "GET", "/v1/usage", "getUsage", "Get what your jobs cost, and what is left of your budgets",
        usage.show,
        {200: Reply("The usage.", usage_schemas.Usage, csv=True)},
        _READ, tag="usage",
        description="Jobs count on the day (UTC) on which they were accepted, so the figures of a day still "
        "change while its jobs run. CSV has the lines of `data`.",
        query=(usage.FROM, usage.TO, usage.GROUP_BY, usage.FORMAT),
    ),
)  # fmt: skip

CALLBACKS: Final = (
    Operation(
        "POST", "/callbacks/{token}", "receiveCallback", "For the upstream: report that a task changed",
        callbacks.receive,
        {200: Reply("Stored. The result is requested from the upstream separately.", schemas.Received)},
        PUBLIC, tag="callbacks", body={}, body_required=False,
        problems=(400, 401, 404, 408, 413, 503),
    ),
    Operation(
        "GET", "/callbacks/probe/{token}", "probeCallbacks",
        "For the service itself: check whether callbacks can reach it", callbacks.probe,
        {204: Reply("Callbacks can reach it, and this is recorded.")},
        PUBLIC, tag="callbacks", problems=(404, 503),
    ),
)  # fmt: skip

API: Final[tuple[Operation, ...]] = (*JOBS, *CONTENT, *STREAMS, *UPLOADS, *WEBHOOKS, *USAGE, *CALLBACKS)
#: What the door `jobs` opens. Everything else is for all doors.
OF_JOBS: Final = (*JOBS, STREAMS[0])
