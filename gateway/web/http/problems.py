"""Turns exceptions into error responses. `problem_types` maps them to a status and a title."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway import errors
from gateway.doors.base import Door
from gateway.doors.base import Refusal as RefusedByDoor
from gateway.errors import GatewayError, Problem
from gateway.store.base import Allowance
from gateway.telemetry.context import REQUEST
from gateway.web.http import problem_document
from gateway.web.http.problem_document import MEDIA_TYPE, problem
from gateway.web.http.problem_types import ERROR_TYPES, INTERNAL, STATUS_TYPES, URN, ProblemType
from gateway.web.http.rate_headers import rate_headers

_INTERNAL: Final = "this is our fault and was logged; no accepted job is lost"
#: Key in a request's scope: its body was read to the end, so the connection can be reused.
BODY_READ: Final = "gateway.body_read"
#: Key in a request's scope: the door to which its route belongs, which words the error.
DOOR: Final = "gateway.door"


class Refusal(HTTPException):
    """A request refused before it reaches the service: wrong headers or query, too large, or too slow."""

    def __init__(self, status: int, detail: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(status, detail)
        self.problems = tuple(problems)


class ErrorSummary(NamedTuple):
    """An error to show, in any format. `problems`: the parts of the request that are at fault.
    `retry_after_seconds`: when to try again; None if that would not help."""

    status: int
    title: str
    detail: str
    problems: Sequence[Problem] = ()
    retry_after_seconds: int | None = None


def summarize(error: GatewayError | HTTPException) -> ErrorSummary:
    """The error for a page, with the same texts as in a response of the API."""
    if isinstance(error, GatewayError):
        problem_type, detail, faults = _described(error)
        return ErrorSummary(problem_type.status, problem_type.title, detail, faults, _retry_after(error))
    problem_type = STATUS_TYPES[error.status_code]
    detail = error.detail if isinstance(error, Refusal) else "there is no such page"
    return ErrorSummary(
        problem_type.status, problem_type.title, detail, error.problems if isinstance(error, Refusal) else ()
    )


def _described(error: GatewayError) -> tuple[ProblemType, str, Sequence[Problem]]:
    problem_type = next(ERROR_TYPES[cls] for cls in type(error).__mro__ if cls in ERROR_TYPES)
    detail = _INTERNAL if problem_type is INTERNAL else str(error)
    if isinstance(error, errors.InvalidRequest):
        return problem_type, detail_of(error.problems), error.problems
    if isinstance(error, errors.ContentRefused):
        return problem_type, detail, (error.problem,)
    if isinstance(error, errors.PaymentRefused):
        return problem_type, detail, (Problem("", error.code, detail),)
    return problem_type, detail, ()


def detail_of(problems: Sequence[Problem]) -> str:
    """What is wrong, or where to find it if that is more than one thing."""
    if len(problems) == 1:
        return str(errors.InvalidRequest(problems))
    return f"{len(problems)} problems, listed in errors"


def _retry_after(error: GatewayError) -> int | None:
    waiting = errors.LimitReached | errors.Unavailable | errors.ResultNotReady
    return error.retry_after_seconds if isinstance(error, waiting) else None


def _limit(error: GatewayError) -> str | None:
    return error.limit if isinstance(error, errors.LimitReached) else None


def _of_budget(error: errors.PaymentRefused) -> problem_document.OfBudget:
    if not isinstance(error, errors.BudgetExceeded):
        return {"budget": error.budget}
    return {
        "budget": error.budget,
        "limit": error.limit,
        "spent": error.spent,
        "reserved": error.reserved,
        "estimate": error.estimate,
    }


def document_of(error: GatewayError | HTTPException) -> problem_document.Problem:
    """The body of the error's response; also of Starlette's own 404 and 405."""
    if isinstance(error, errors.PaymentRefused):
        return {**problem(*_described(error)), **_of_budget(error)}
    if isinstance(error, GatewayError):
        return problem(*_described(error), _limit(error))
    problem_type = STATUS_TYPES[error.status_code]
    if isinstance(error, Refusal):
        return problem(problem_type, error.detail, error.problems)
    return problem(problem_type, _default_detail(error.status_code, error.headers or {}))


async def answer_error(request: Request, error: Exception) -> Response:
    """The response to one of our exceptions."""
    assert isinstance(error, GatewayError)
    headers: dict[str, str] = {}
    if (seconds := _retry_after(error)) is not None:
        headers["retry-after"] = str(seconds)
    if isinstance(error, errors.RateLimited) and isinstance(error.allowance, Allowance):
        headers |= rate_headers(error.allowance)
    if isinstance(error, errors.Unauthenticated):
        headers["www-authenticate"] = 'Bearer realm="vidu-gateway"'
    in_doubt = isinstance(error, errors.StoreUnavailable)
    return _answer(request.scope, document_of(error), headers, in_doubt=in_doubt)


async def answer_refusal(request: Request, error: Exception) -> Response:
    """The response to a refused request, including Starlette's own 404 and 405."""
    assert isinstance(error, HTTPException)
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    return _answer(request.scope, document_of(error), headers)


def _default_detail(status: int, headers: Mapping[str, str]) -> str:
    """The detail of an error that Starlette raised, which has only the name of the status."""
    allowed = {name.lower(): value for name, value in headers.items()}.get("allow")
    if status == HTTPStatus.METHOD_NOT_ALLOWED and allowed is not None:
        return f"use {' or '.join(sorted(set(allowed.split(', ')) - {'HEAD'}))}"
    return (
        "there is no such path; see /docs" if status == HTTPStatus.NOT_FOUND else STATUS_TYPES[status].title
    )


def internal(scope: Mapping[str, Any]) -> Response:
    """The response to an unexpected exception. It reveals nothing about the cause."""
    return _answer(scope, document_of(GatewayError()), {})


def refused(scope: Mapping[str, Any], fault: Problem) -> Response:
    """The response to a request whose headers show that it is not for this service."""
    return _answer(scope, document_of(Refusal(400, detail_of([fault]), [fault])), {})


def _answer(
    scope: Mapping[str, Any],
    document: problem_document.Problem,
    headers: dict[str, str],
    *,
    in_doubt: bool = False,
) -> Response:
    """`in_doubt`: as of a door's `Refusal`."""
    if scope["method"] not in ("GET", "HEAD") and BODY_READ not in scope:
        # The rest of the body, which may be long, will not be read, so the connection must be closed.
        headers["connection"] = "close"
    door: Door | None = scope.get(DOOR)
    if door is not None:
        status, body = door.refused(_refusal(document, in_doubt))
        return Response(orjson.dumps(body), status, headers, "application/json")
    return Response(orjson.dumps(document), document["status"], headers, MEDIA_TYPE)


def _refusal(document: problem_document.Problem, in_doubt: bool) -> RefusedByDoor:
    return RefusedByDoor(
        document["status"],
        document["type"].removeprefix(URN),
        document["detail"],
        [Problem(one["param"], one["code"], one["message"]) for one in document["errors"]],
        REQUEST.get(),
        in_doubt,
    )
