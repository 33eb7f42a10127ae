"""Generates the paths of the OpenAPI document from the operations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import BaseModel

from gateway.tenants import Scope
from gateway.web.http.answers import BYTES, CSV, JSON_LINES
from gateway.web.http.params import Param
from gateway.web.openapi.headers import references, shows_rate
from gateway.web.operation import Document, Operation, Reply
from gateway.web.schemas import deliveries, jobs, ops, tenants, uploads

REFERENCE: Final = "#/components/schemas/{model}"
_OF_EVERY_KEYED: Final = (400, 401, 403, 405, 429, 500, 503)
_OF_EVERY_BODY: Final = (408, 413, 415, 422)
_OF_EVERY_OPEN: Final = (500,)
_TAGS: Final = {
    Scope.JOBS_WRITE: "jobs",
    Scope.JOBS_READ: "jobs",
    Scope.ENDPOINTS_WRITE: "endpoints",
    Scope.OPS_READ: "operators",
    Scope.OPS_WRITE: "operators",
}
#: Patterns of path parameters.
_PATH_PATTERNS: Final = {
    "job_id": jobs.JOB_ID,
    "endpoint_id": jobs.ENDPOINT_ID,
    "delivery_id": deliveries.DELIVERY_ID,
    "recovery_id": deliveries.RECOVERY_ID,
    "upload_id": uploads.UPLOAD_ID,
    "token": "^[A-Za-z0-9_.-]{1,250}$",
    "tenant": ops.TENANT,
    "account": ops.TENANT,
    "key_id": tenants.KEY_ID,
    "character_id": "^[A-Za-z0-9._-]{1,64}$",
    "model": "^[A-Za-z0-9._-]{1,64}$",
}
_IN_PATH: Final = re.compile(r"\{(\w+)\}")


def paths(operations: Iterable[Operation]) -> Document:
    """{path: {"parameters": [...], method: operation}}"""
    made: dict[str, Document] = {}
    for operation in operations:
        parameters = [_in_path(name) for name in _IN_PATH.findall(operation.path)]
        item = made.setdefault(operation.path, {"parameters": parameters} if parameters else {})
        item[operation.method.lower()] = _described(operation)
    return made


def _described(operation: Operation) -> Document:
    shared = references(rate=shows_rate(operation))
    replies = {str(status): _reply(reply, shared) for status, reply in operation.replies.items()}
    made: Document = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag or _TAGS[operation.scopes[0]]],
        "security": _security(operation),
        "responses": {**replies, **_problems(operation)},
    }
    if description := _description(operation):
        made["description"] = description
    parameters = [parameter(param, "query") for param in operation.query]
    parameters += [parameter(param, "header") for param in operation.headers]
    if parameters:
        made["parameters"] = parameters
    if operation.content:
        made["requestBody"] = {
            "required": operation.body_required,
            "content": {kind: {"schema": schema} for kind, schema in operation.content.items()},
        }
    if operation.body is not None:
        content = {"schema": _schema(operation.body)}
        if operation.examples:
            content["examples"] = operation.examples
        made["requestBody"] = {
            "required": operation.body_required,
            "content": {"application/json": content},
        }
    return made


def _security(operation: Operation) -> list[Document]:
    if not operation.scopes:
        return []
    return [{"key": []}] if operation.signature is None else [{"key": []}, {}]


def _description(operation: Operation) -> str:
    scopes = " or ".join(f"`{scope}`" for scope in operation.scopes)
    needs = f"Needs the scope {scopes}." if scopes else ""
    if operation.signature is not None:
        needs = f"{needs} Or no key, but the `{operation.signature.name}` of a link."
    return f"{operation.description} {needs}".strip()


def _problems(operation: Operation) -> Document:
    statuses = set(operation.problems)
    statuses |= set(_OF_EVERY_KEYED if operation.scopes else _OF_EVERY_OPEN)
    if operation.scopes and "{" in operation.path:
        statuses.add(404)
    if isinstance(operation.body, type):
        statuses |= set(_OF_EVERY_BODY)
    return {str(status): {"$ref": f"#/components/responses/Problem{status}"} for status in sorted(statuses)}


def _reply(reply: Reply, shared: Document) -> Document:
    made: Document = {"description": reply.description, "headers": {**reply.headers, **shared}}
    if reply.schema is not None:
        made["content"] = {reply.media_type: {"schema": _schema(reply.schema)}}
    if reply.lines is not None:  # client generators do not know JSON Lines, and use bytes
        binary = {"type": "string", "format": "binary"}
        made["content"] = {JSON_LINES: {"schema": _schema(reply.lines)}, BYTES: {"schema": binary}}
    if reply.csv:
        made["content"][CSV] = {"schema": {"type": "string"}}
    return made


def _schema(shape: Any) -> Document:
    """`shape`: a model, a TypedDict, or a JSON schema."""
    return shape if isinstance(shape, dict) else reference(shape)


def reference(model: type[Any]) -> Document:
    return {"$ref": REFERENCE.format(model=model.__name__)}


def _in_path(name: str) -> Document:
    schema = {"type": "string", "pattern": _PATH_PATTERNS[name]}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def parameter(param: Param[Any], place: str) -> Document:
    made: Document = {
        "name": param.name,
        "in": place,
        "description": param.description,
        "schema": dict(param.schema),
        **param.serialization,
    }
    return made | {"required": True} if param.missing is not None else made


def models(operations: Iterable[Operation]) -> tuple[list[type[BaseModel]], list[Any]]:
    """The models of all request bodies, and those of all responses."""
    bodies: dict[type[BaseModel], None] = {}
    answers: dict[Any, None] = {}
    for operation in operations:
        if isinstance(operation.body, type):
            bodies[operation.body] = None
        for reply in operation.replies.values():
            for model in (reply.schema, reply.lines):
                if model is not None and not isinstance(model, Mapping):
                    answers[model] = None
    return list(bodies), list(answers)
