"""The operations of the API's document, each a few lines."""

from __future__ import annotations

from gateway.generation import GenerationRequest
from gateway.jobs import Priority
from gateway.lifecycle import OnUnknown, Status
from gateway.tenants import Scope
from gateway.web.api.examples import JOB_EXAMPLES
from gateway.web.api.jobs import PAGE_DEFAULT, PAGE_MAX
from gateway.web.http.queries import FLAGS, MAX_DEADLINE_SECONDS, MAX_IDEMPOTENCY_KEY, MAX_WAIT_SECONDS
from gateway.web.openapi.deliveries import deliveries
from gateway.web.openapi.endpoints import endpoints
from gateway.web.openapi.ops import operators
from gateway.web.openapi.parts import (
    ACCEPTED,
    JOB,
    RETRY_AFTER,
    TOKEN,
    WAITED,
    Document,
    answer,
    header,
    operation,
    problems,
    query,
)
from gateway.web.openapi.streams import streams
from gateway.web.schemas import jobs


def paths() -> Document:
    return {
        "/v1/jobs": {"post": _create_job(), "get": _list_jobs()},
        "/v1/jobs/{job_id}": {"parameters": [JOB], "get": _show_job()},
        "/v1/jobs/{job_id}/cancel": {"parameters": [JOB], "post": _cancel_job()},
        "/v1/jobs/{job_id}/deliveries": {"parameters": [JOB], "get": _list_deliveries()},
        "/v1/jobs/{job_id}/timeline": {"parameters": [JOB], "get": _show_timeline()},
        **endpoints(),
        **deliveries(),
        **streams(),
        **operators(),
        "/callbacks/{token}": {"parameters": [TOKEN], "post": _receive_callback()},
        "/callbacks/probe/{token}": {"parameters": [TOKEN], "get": _probe_callbacks()},
        "/livez": {"get": _health("livez", "Whether the process runs", {})},
        "/readyz": {"get": _health("readyz", "Whether jobs can be accepted", problems(503))},
        "/metrics": {"get": _show_metrics()},
    }


def _create_job() -> Document:
    return operation(
        "createJob",
        "Post a job",
        Scope.JOBS_WRITE,
        {
            "200": answer(
                "Final already, after `Prefer: wait`; or a dry run.",
                jobs.Job,
                jobs.DryRun,
                headers=WAITED,
            ),
            "202": answer("Accepted: from here on it is not lost.", jobs.Job, headers=ACCEPTED),
        },
        400, 408, 413, 415, 422, 429,
        body=GenerationRequest,
        examples=JOB_EXAMPLES,
        parameters=[
            header(
                "Idempotency-Key",
                "The same key and request again give the same job, with `Idempotent-Replayed: true`; with "
                "another request the key is refused. It is kept as long as the job.",
                {"type": "string", "pattern": f"^[!-~]{{1,{MAX_IDEMPOTENCY_KEY}}}$"},
            ),
            *_terms(),
            header("Prefer", f"`wait=N`: wait up to N seconds, 0 to {MAX_WAIT_SECONDS}.", {"type": "string"}),
            query("dry_run", "Check only: costs and keeps nothing.", {"type": "string", "enum": list(FLAGS)}),
        ],
    )  # fmt: skip


def _terms() -> list[Document]:
    seconds = {"type": "integer", "minimum": 1, "maximum": MAX_DEADLINE_SECONDS}
    return [
        header(
            "Gateway-Start-Deadline",
            "Seconds from now: fail the job, for free, when it was not sent to the upstream by then.",
            seconds,
        ),
        header(
            "Gateway-Total-Deadline",
            "Seconds from now: fail the job when it has not ended by then; it may have been charged.",
            seconds,
        ),
        header(
            "Gateway-On-Unknown",
            "What becomes of the job when the upstream's answer was lost and no evidence came: `hold` fails "
            "it and never pays twice, `resubmit` sends it again and may pay twice, `manual` leaves it to an "
            "operator. Without it: what your tenant chose.",
            {"type": "string", "enum": list(OnUnknown)},
        ),
        header(
            "Gateway-Priority",
            "Among your own waiting jobs: 16 of `high` are sent for 4 of `normal` and 1 of `low`, so that "
            "none is starved. How much of the upstream your tenant gets does not depend on it.",
            {"type": "string", "enum": list(Priority), "default": Priority.NORMAL},
        ),
    ]


def _list_jobs() -> Document:
    limit = {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT}
    return operation(
        "listJobs",
        "List jobs, newest first",
        Scope.JOBS_READ,
        {"200": answer("A page.", jobs.JobList)},
        400,
        parameters=[
            query("status", "Only these.", {"type": "string", "enum": list(Status)}),
            query("after", "Older than this job.", {"type": "string", "pattern": jobs.JOB_ID}),
            query("limit", "At most so many.", limit),
        ],
    )


def _show_job() -> Document:
    seconds = {"type": "integer", "minimum": 0, "maximum": MAX_WAIT_SECONDS, "default": 0}
    return operation(
        "showJob",
        "Look at a job, or wait for its end",
        Scope.JOBS_READ,
        {"200": answer("The job.", jobs.Job)},
        400, 404,
        parameters=[query("wait", "Answer when the job is final, after so many seconds at most.", seconds)],
    )  # fmt: skip


def _cancel_job() -> Document:
    answers = {
        "200": answer("Canceled, now or before.", jobs.Job),
        "202": answer(
            "It was sent already, so that the upstream is asked to stop it; `cancel` tells what it says.",
            jobs.Job,
            headers={"Retry-After": RETRY_AFTER},
        ),
    }
    return operation("cancelJob", "Cancel a job", Scope.JOBS_WRITE, answers, 400, 404, 409)


def _show_timeline() -> Document:
    answers = {"200": answer("Everything that happened to it.", jobs.Timeline)}
    return operation("showTimeline", "A job's whole story", Scope.JOBS_READ, answers, 400, 404)


def _list_deliveries() -> Document:
    answers = {"200": answer("All deliveries of the job.", jobs.DeliveryList)}
    return operation("listDeliveries", "What became of a job's webhooks", Scope.JOBS_READ, answers, 400, 404)


def _receive_callback() -> Document:
    return {
        "operationId": "receiveCallback",
        "summary": "For the upstream: tell that a task changed",
        "tags": ["callbacks"],
        "security": [],
        "requestBody": {"content": {"application/json": {"schema": {}}}},
        "responses": {
            "200": answer("Kept. The result is asked for separately.", jobs.Received),
            **problems(400, 404, 408, 413, 500, 503),
        },
    }


def _probe_callbacks() -> Document:
    return {
        "operationId": "probeCallbacks",
        "summary": "For the service itself: whether callbacks can reach it",
        "tags": ["callbacks"],
        "security": [],
        "responses": {
            "204": {"description": "They can, and this is noted."},
            **problems(404, 500, 503),
        },
    }


def _show_metrics() -> Document:
    text = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "operationId": "metrics",
        "summary": "Metrics for Prometheus",
        "tags": ["operations"],
        "security": [],
        "responses": {"200": {"description": "Metrics.", "content": text}, **problems(500)},
    }


def _health(name: str, summary: str, more: Document) -> Document:
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["operations"],
        "security": [],
        "responses": {"200": answer("Yes.", jobs.Health), **problems(500), **more},
    }
