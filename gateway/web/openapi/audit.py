"""The operations by which operators look back, in the API's document."""

from __future__ import annotations

from gateway.tenants import Scope
from gateway.web.openapi.parts import Document, answer, operation, query
from gateway.web.ops.audit import MEDIA_TYPE
from gateway.web.ops.jobs import PAGE_DEFAULT, PAGE_MAX
from gateway.web.schemas import ops


def audit() -> Document:
    return {
        "/ops/api/audit": {"get": _list()},
        "/ops/api/audit.jsonl": {
            "get": _export(
                "exportAudit",
                "What operators did in a time",
                "`at, id, act, by, request` and what it was about, an act a line, oldest first.",
            )
        },
        "/ops/api/jobs.jsonl": {
            "get": _export(
                "exportJobs",
                "What happened to the jobs that ended in a time",
                "`at, job, tenant, event` and what belongs to it, a change a line, job by job.",
            )
        },
    }


def _list() -> Document:
    limit = {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT}
    before = {"type": "string", "pattern": ops.ENTRY_ID}
    parameters = [
        query("before", "Earlier than this entry.", before),
        query("limit", "At most so many.", limit),
    ]
    answers = {"200": answer("The newest first.", ops.ActList)}
    return operation("listAudit", "What operators did", Scope.OPS_READ, answers, 400, parameters=parameters)


def _export(name: str, summary: str, meaning: str) -> Document:
    answers: Document = {
        "200": {"description": meaning, "content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}
    }
    time = {"type": "string", "examples": ["2026-11-22T08:00:00Z", "2026-11-22"]}
    parameters = [
        query("since", "From this time on; a day before `until` when it is not said.", time),
        query("until", "Up to this time; now when it is not said.", time),
    ]
    return operation(name, summary, Scope.OPS_READ, answers, 400, parameters=parameters)
