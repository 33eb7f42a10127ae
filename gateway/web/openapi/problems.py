"""Error responses of the OpenAPI document: one per status, with an example for each problem type."""

from __future__ import annotations

from typing import Final

from gateway.errors import (
    AddressRefused,
    CannotCancel,
    Conflict,
    GatewayError,
    IdempotencyMismatch,
    InvalidRequest,
    LimitReached,
    MalformedBody,
    NotFound,
    Problem,
    RateLimited,
    ScopeMissing,
    Unauthenticated,
    Unavailable,
)
from gateway.tenants import Scope
from gateway.web.http.problem_document import MEDIA_TYPE
from gateway.web.http.problem_types import ERROR_TYPES, STATUS_TYPES, URN
from gateway.web.http.problems import Refusal, document_of
from gateway.web.openapi.paths import reference
from gateway.web.operation import RETRY_AFTER, Document
from gateway.web.schemas import jobs

_JOB: Final = "job_01KAN7Q8ZJ4W6T3M5X9R2B1CDE"
_ENDPOINT: Final = "ep_01KAN7Q8ZJ4W6T3M5X9R2B1CDE"
_CODING: Final = "Transfer-Encoding: only chunked is supported; send the body without another coding"
_UNSUPPORTED: Final = "send the body as JSON, with Content-Type: application/json"
#: One example for each problem type, as the service raises it.
_ERRORS: Final[tuple[GatewayError | Refusal, ...]] = (
    Refusal(400, "wrong: limit", [Problem("limit", "out_of_range", "send a whole number from 1 to 100")]),
    MalformedBody([Problem("", "empty_body", "the body is empty; send one JSON document")]),
    Unauthenticated("send Authorization: Bearer with a key of this service, vgw_..."),
    ScopeMissing(Scope.JOBS_WRITE),
    NotFound("job", _JOB),
    Refusal(405, "use GET or POST"),
    Refusal(408, "the body did not arrive within 10 s; send it again"),
    Conflict(f"the endpoint {_ENDPOINT} is disabled; enable it first"),
    CannotCancel("the job was handed to the upstream, which offers no cancel"),
    Refusal(413, "the body is larger than 20000000 bytes; give large media as URLs instead"),
    Refusal(415, _UNSUPPORTED, [Problem("Content-Type", "not_json", _UNSUPPORTED)]),
    Refusal(501, _CODING, [Problem("Transfer-Encoding", "not_supported", _CODING)]),
    InvalidRequest(
        [
            Problem(
                "duration",
                "out_of_range",
                "11 is out of range; send whole seconds from 0 to 10",
            )
        ]
    ),
    IdempotencyMismatch(_JOB),
    AddressRefused("this address may not be dialled"),
    LimitReached("100 of this tenant's jobs wait already, of 100 that may", 30),
    RateLimited("this tenant may send 20 jobs in 2 s; send the next in 1 s", 1, None),
    Unavailable("Redis does not answer: TimeoutError"),
    GatewayError(),
)


def problems() -> Document:
    """{"Problem404": response}"""
    statuses = {kind.status for kind in (*ERROR_TYPES.values(), *STATUS_TYPES.values())}
    return {f"Problem{status}": _response(status) for status in sorted(statuses)}


def _response(status: int) -> Document:
    titles = {kind.title for kind in (*ERROR_TYPES.values(), *STATUS_TYPES.values()) if kind.status == status}
    documents = [document for document in map(document_of, _ERRORS) if document["status"] == status]
    examples = {document["type"].removeprefix(URN): {"value": document} for document in documents}
    made: Document = {
        "description": "; ".join(sorted(titles)) + ".",
        "content": {MEDIA_TYPE: {"schema": reference(jobs.Problem), "examples": examples}},
    }
    if status in (429, 503):
        made["headers"] = {"Retry-After": RETRY_AFTER}
    return made
