"""The building blocks of the API's document: operations, answers, problems, parameters."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel

from gateway.tenants import Scope
from gateway.web.api.deliveries import FILTERS
from gateway.web.openapi.paths import REFERENCE, parameter
from gateway.web.operation import Document as Document
from gateway.web.schemas import deliveries, jobs

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


def problems(*statuses: int) -> Document:
    return {str(status): {"$ref": f"#/components/responses/Problem{status}"} for status in sorted(statuses)}


def path(name: str, pattern: str) -> Document:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": pattern}}


def query(name: str, meaning: str, schema: Document) -> Document:
    return {"name": name, "in": "query", "description": meaning, "schema": schema}


JOB: Final = path("job_id", jobs.JOB_ID)
DELIVERY: Final = path("delivery_id", deliveries.DELIVERY_ID)


def filters() -> list[Document]:
    """The parameters of lists of deliveries."""
    return [parameter(param, "query") for param in FILTERS]


def health() -> Document:
    text = {"text/plain": {"schema": {"type": "string"}}}
    metrics = {
        "operationId": "metrics",
        "summary": "Metrics for Prometheus",
        "tags": ["operations"],
        "security": [],
        "responses": {"200": {"description": "Metrics.", "content": text}, **problems(500)},
    }
    return {
        "/livez": {"get": _health("livez", "Whether the process runs", {})},
        "/readyz": {"get": _health("readyz", "Whether jobs can be accepted", problems(503))},
        "/metrics": {"get": metrics},
    }


def _health(name: str, summary: str, more: Document) -> Document:
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["operations"],
        "security": [],
        "responses": {"200": answer("Yes.", jobs.Health), **problems(500), **more},
    }


def change(name: str, summary: str, answers: Document, body: type[BaseModel], *statuses: int) -> Document:
    """An operator's operation with a body: what can be wrong with any body comes on top of `statuses`."""
    more = (400, 408, 413, 415, 422, 429, *statuses)
    return operation(name, summary, Scope.OPS_WRITE, answers, *more, body=body)
