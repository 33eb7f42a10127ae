"""Error responses of the OpenAPI document: one per status, with an example for each problem type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request

from gateway import generation, strict_json
from gateway.cancellation import cannot_cancel
from gateway.errors import (
    GatewayError,
    IdempotencyMismatch,
    LinkRefused,
    NotFound,
    ResultGone,
    ResultNotReady,
    ScopeMissing,
    VariantUnavailable,
)
from gateway.jobs import Spend
from gateway.lifecycle import JobState
from gateway.store.admission import refusal_of
from gateway.store.delivery_base import Hindrance
from gateway.tenants import Scope
from gateway.web import auth
from gateway.web.api import jobs as jobs_api
from gateway.web.api import posting, recoveries
from gateway.web.api.examples import JOB_EXAMPLES
from gateway.web.http import bodies
from gateway.web.http.headers import gather
from gateway.web.http.params import Reader
from gateway.web.http.problem_document import MEDIA_TYPE
from gateway.web.http.problem_types import ERROR_TYPES, STATUS_TYPES, URN
from gateway.web.http.problems import Refusal, document_of
from gateway.web.http.ranges import wanted_part
from gateway.web.openapi.headers import references
from gateway.web.openapi.paths import reference
from gateway.web.operation import RETRY_AFTER, Document
from gateway.web.schemas import jobs
from gateway.web.server.heads import HeadRefused, check_framing, head_too_large

_JOB: Final = "job_01KAN7Q8ZJ4W6T3M5X9R2B1CDE"
_ENDPOINT: Final = "ep_01KAN7Q8ZJ4W6T3M5X9R2B1CDE"
_BODY_BYTES: Final = 20_000_000
_RATE: Final = {"burst": 20, "rate": 10, "left": 0, "reset_ms": 2000, "wait_ms": 100, "kind": "jobs"}


def _raised(act: Callable[[], object]) -> GatewayError | HTTPException:
    """What the service raises."""
    try:
        act()
    except HeadRefused as error:
        return _as_refusal(error)
    except (GatewayError, HTTPException) as error:
        return error
    raise AssertionError("nothing was raised")


def _as_refusal(error: HeadRefused) -> Refusal:
    return Refusal(error.status, error.detail, error.problems)


def _request(query: bytes = b"") -> Request:
    scope = {"type": "http", "method": "GET", "query_string": query, "headers": []}
    gather(scope)
    return Request(scope)


def _errors() -> list[GatewayError | HTTPException]:
    """One error for each problem type, made by the code that raises it."""
    wrong = {**JOB_EXAMPLES["minimal"]["value"], "duration": 11}
    return [
        _raised(lambda: Reader((jobs_api.LIMIT,)).read(_request(b"limit=0"))),
        _raised(lambda: strict_json.loads(b"")),
        _raised(lambda: auth.require(_request()).send(None)),
        ScopeMissing(Scope.JOBS_WRITE),
        NotFound("job", _JOB, expires=True),
        ResultNotReady("the job is in_progress; get this again when it is completed"),
        VariantUnavailable("this result has no cover; it has video"),
        LinkRefused("this link has expired; ask whoever sent it for a new one"),
        ResultGone("our copy of this file was deleted after its time; it cannot be fetched any more"),
        _raised(lambda: wanted_part({b"range": b"bytes=9-"}, '"tag"', 9)),
        HTTPException(405, headers={"allow": "GET, POST"}),
        bodies.too_slow(0, 60),
        recoveries.hindrance_error(Hindrance.DISABLED, _ENDPOINT),
        cannot_cancel(JobState.SUBMITTED, Spend.CERTAIN),
        bodies.too_large(_BODY_BYTES, posting.SMALLER),
        _raised(lambda: bodies.check_form(_request())),
        _raised(lambda: generation.parse(orjson.dumps(wrong), generation.Limits())),
        IdempotencyMismatch(_JOB),
        refusal_of("over_budget", ("tenant day", "8250000", "7975000", "275000", "275000"), None),
        refusal_of("price_unknown", ("tenant day",), None),
        refusal_of("full", (100, 100), None),
        refusal_of("limited", (orjson.dumps(_RATE),), None),
        _as_refusal(head_too_large()),
        GatewayError(),
        _raised(lambda: check_framing([(b"transfer-encoding", b"gzip, chunked")], "1.1")),
        posting.in_doubt(None),
    ]


def problems() -> Document:
    """{"Problem404": response}"""
    statuses = {kind.status for kind in (*ERROR_TYPES.values(), *STATUS_TYPES.values())}
    documents = [document_of(error) for error in _errors()]
    return {f"Problem{status}": _response(status, documents) for status in sorted(statuses)}


def _response(status: int, documents: list[jobs.Problem]) -> Document:
    titles = {kind.title for kind in (*ERROR_TYPES.values(), *STATUS_TYPES.values()) if kind.status == status}
    examples = {
        document["type"].removeprefix(URN): {"value": document}
        for document in documents
        if document["status"] == status
    }
    made: Document = {
        "description": "; ".join(sorted(titles)) + ".",
        "headers": references(rate=status == 429),
        "content": {MEDIA_TYPE: {"schema": reference(jobs.Problem), "examples": examples}},
    }
    if status in (429, 503):
        made["headers"]["Retry-After"] = RETRY_AFTER
    return made
