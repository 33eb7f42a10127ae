"""The building blocks of the API's document: operations, answers, problems, parameters."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from gateway.tenants import Scope
from gateway.web.http.problems import KINDS, MEDIA_TYPE, REFUSALS
from gateway.web.schemas import jobs

Document = dict[str, Any]

REFERENCE: Final = "#/components/schemas/{model}"
_TAGS: Final = {
    Scope.JOBS_WRITE: "jobs",
    Scope.JOBS_READ: "jobs",
    Scope.ENDPOINTS_WRITE: "endpoints",
    Scope.OPS_READ: "operators",
    Scope.OPS_WRITE: "operators",
}


def operation(
    name: str,
    summary: str,
    scope: Scope,
    answers: Document,
    *statuses: int,
    body: type[BaseModel] | None = None,
    examples: Document | None = None,
    parameters: list[Document] | None = None,
) -> Document:
    made: Document = {
        "operationId": name,
        "summary": summary,
        "description": f"Needs the scope `{scope}`.",
        "tags": [_TAGS[scope]],
        "security": [{"key": []}],
        "responses": {**answers, **problems(*statuses, 401, 403, 405, 500, 503)},
    }
    if parameters:
        made["parameters"] = parameters
    if body is not None:
        schema = {"$ref": REFERENCE.format(model=body.__name__)}
        content = {"schema": schema, "examples": examples} if examples else {"schema": schema}
        made["requestBody"] = {"required": True, "content": {"application/json": content}}
    return made


def answer(meaning: str, *models: type[BaseModel], headers: Document | None = None) -> Document:
    references = [{"$ref": REFERENCE.format(model=model.__name__)} for model in models]
    schema = references[0] if len(references) == 1 else {"anyOf": references}
    made: Document = {"description": meaning, "content": {"application/json": {"schema": schema}}}
    return made if headers is None else {**made, "headers": headers}


def statuses() -> list[int]:
    return sorted({kind.status for kind in (*KINDS.values(), *REFUSALS.values())})


def problems(*statuses: int) -> Document:
    return {str(status): {"$ref": f"#/components/responses/Problem{status}"} for status in sorted(statuses)}


def problem(status: int) -> Document:
    titles = {kind.title for kind in (*KINDS.values(), *REFUSALS.values()) if kind.status == status}
    made: Document = {
        "description": "; ".join(sorted(titles)) + ".",
        "content": {MEDIA_TYPE: {"schema": {"$ref": REFERENCE.format(model=jobs.Problem.__name__)}}},
    }
    if status in (429, 503):
        made["headers"] = {"Retry-After": RETRY_AFTER}
    return made


def path(name: str, pattern: str) -> Document:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": pattern}}


def query(name: str, meaning: str, schema: Document) -> Document:
    return {"name": name, "in": "query", "description": meaning, "schema": schema}


def header(name: str, meaning: str, schema: Document) -> Document:
    return {"name": name, "in": "header", "description": meaning, "schema": schema}


RETRY_AFTER: Final = {"description": "Seconds.", "schema": {"type": "integer"}}
LOCATION: Final = {"Location": {"description": "Its path.", "schema": {"type": "string"}}}
WAITED: Final = {
    **LOCATION,
    "Preference-Applied": {
        "description": "`wait=N`: that `Prefer` was heard.",
        "schema": {"type": "string", "pattern": "^wait=[0-9]+$"},
    },
    "Idempotent-Replayed": {
        "description": "`true`: this is the earlier job of the same key and body.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}
ACCEPTED: Final = {**WAITED, "Retry-After": RETRY_AFTER}
JOB: Final = path("job_id", jobs.JOB_ID)
ENDPOINT: Final = path("endpoint_id", jobs.ENDPOINT_ID)
TOKEN: Final = path("token", "^[A-Za-z0-9_.-]{1,250}$")


def change(name: str, summary: str, answers: Document, body: type[BaseModel], *statuses: int) -> Document:
    """An operator's operation with a body: what can be wrong with any body comes on top of `statuses`."""
    more = (400, 408, 413, 415, 422, 429, *statuses)
    return operation(name, summary, Scope.OPS_WRITE, answers, *more, body=body)
