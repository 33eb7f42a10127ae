"""The operators' operations of the API's document."""

from __future__ import annotations

from pydantic import BaseModel

from gateway.lifecycle import JobState
from gateway.tenants import Scope
from gateway.web.openapi.accounts import accounts
from gateway.web.openapi.audit import audit
from gateway.web.openapi.parts import JOB, Document, answer, change, operation, query
from gateway.web.openapi.queues import queues
from gateway.web.openapi.subscribers import subscribers
from gateway.web.openapi.tenants import tenants
from gateway.web.ops.jobs import JOBS_DEFAULT, JOBS_MAX, PAGE_DEFAULT, PAGE_MAX
from gateway.web.schemas import jobs, ops, overview


def operators() -> Document:
    return {
        **tenants(),
        **subscribers(),
        **queues(),
        **audit(),
        "/ops/api/jobs": {"get": _list_jobs()},
        "/ops/api/jobs/{job_id}": {"parameters": [JOB], "get": _show_job()},
        "/ops/api/jobs/{job_id}/timeline": {"parameters": [JOB], "get": _show_timeline()},
        "/ops/api/jobs/{job_id}/cancel": {"parameters": [JOB], "post": _cancel_job()},
        "/ops/api/jobs/{job_id}/resolve": {"parameters": [JOB], "post": _resolve_job()},
        **accounts(),
        "/ops/api/events": {
            "get": _list_entries("listOperatorEvents", "What operators should know", ops.OpsEventList)
        },
        "/ops/api/quarantine": {
            "get": _list_entries("listQuarantine", "Callbacks that made no sense", ops.QuarantineList)
        },
        "/ops/api/unknown": {
            "get": _list_entries(
                "listUnknownJobs",
                "Jobs whose outcome is unknown",
                ops.UnknownList,
                ops.UNKNOWN_ID,
            )
        },
        "/ops/api/overview": {"get": _show_overview()},
        "/ops/api/workers": {"get": _list_workers()},
        "/ops/api/state": {"get": _show_state()},
        "/ops/api/pause": {"post": _pause()},
        "/ops/api/resume": {"post": _resume()},
    }


def _list_jobs() -> Document:
    limit = {"type": "integer", "minimum": 1, "maximum": JOBS_MAX, "default": JOBS_DEFAULT}
    tenant = query("tenant", "Of this one.", {"type": "string", "pattern": ops.TENANT})
    parameters = [
        tenant | {"required": True},
        query("phase", "In this phase.", {"enum": list(JobState)}),
        query("after", "Older than this one.", {"type": "string", "pattern": jobs.JOB_ID}),
        query("limit", "At most so many.", limit),
    ]
    answers = {"200": answer("A page, newest first.", ops.OpsJobList)}
    return operation(
        "listJobsOfTenant", "A tenant's jobs", Scope.OPS_READ, answers, 400, parameters=parameters
    )


def _show_job() -> Document:
    answers = {"200": answer("The job, of whichever tenant.", ops.JobStory)}
    return operation("showJobStory", "Everything about a job", Scope.OPS_READ, answers, 400, 404)


def _show_timeline() -> Document:
    answers = {"200": answer("Everything that happened to it, and who did it.", jobs.Timeline)}
    return operation("showTimelineOfJob", "Any job's whole story", Scope.OPS_READ, answers, 400, 404)


def _cancel_job() -> Document:
    answers = {"200": answer("The job after it: canceled, or to be.", ops.JobStory)}
    return operation("cancelJobOfAny", "Cancel any tenant's job", Scope.OPS_WRITE, answers, 400, 404, 409)


def _resolve_job() -> Document:
    answers = {"200": answer("The job after it.", ops.JobStory)}
    return change(
        "resolveJob",
        "Decide on a job whose outcome is unknown",
        answers,
        ops.ResolveRequest,
        404,
        409,
    )


def _show_state() -> Document:
    answers = {"200": answer("What is under way.", ops.ServiceState)}
    return operation("showState", "What is under way in the whole service", Scope.OPS_READ, answers, 400)


def _show_overview() -> Document:
    answers = {"200": answer("Depth, age, slots, counts and what is wrong.", overview.Overview)}
    return operation("showOverview", "The whole service in one look", Scope.OPS_READ, answers, 400)


def _list_workers() -> Document:
    answers = {"200": answer("Those heard of in the last minute.", overview.WorkerList)}
    return operation("listWorkers", "The worker processes", Scope.OPS_READ, answers, 400)


def _pause() -> Document:
    answers = {"200": answer("Paused.", ops.ServiceState)}
    return change("pauseService", "Send nothing, of any tenant", answers, ops.ParkRequest)


def _resume() -> Document:
    answers = {"200": answer("Not paused.", ops.ServiceState)}
    return operation("resumeService", "Send again what waits", Scope.OPS_WRITE, answers, 400)


def _list_entries(name: str, summary: str, model: type[BaseModel], entry_id: str = ops.ENTRY_ID) -> Document:
    limit = {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT}
    return operation(
        name,
        summary,
        Scope.OPS_READ,
        {"200": answer("A page.", model)},
        400,
        parameters=[
            query("after", "Later than this entry.", {"type": "string", "pattern": entry_id}),
            query("limit", "At most so many.", limit),
        ],
    )
