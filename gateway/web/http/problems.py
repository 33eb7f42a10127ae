"""Errors as answers.

`problem_types` has the tables from our errors and from HTTP's own refusals to a status and a title.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway import errors
from gateway.errors import GatewayError, Problem
from gateway.store.base import Allowance
from gateway.web.http import problem_document
from gateway.web.http.problem_document import MEDIA_TYPE, problem
from gateway.web.http.problem_types import INTERNAL, KINDS, REFUSALS, Kind
from gateway.web.http.rate_headers import rate_headers

#: In a request's scope: its body was read to the end, so that the connection can be used again.
BODY_READ: Final = "gateway.body_read"


class Refusal(HTTPException):
    """What HTTP itself refuses before any part of the service is asked: headers, query, size, time."""

    def __init__(self, status: int, detail: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(status, detail)
        self.problems = tuple(problems)


class Told(NamedTuple):
    """What is said of an error, in whatever form. `problems`: of the parts of the request at fault."""

    status: int
    title: str
    detail: str
    problems: Sequence[Problem] = ()


def told(error: GatewayError | HTTPException) -> Told:
    """The same as the answers of the API say, for those who read pages."""
    if isinstance(error, GatewayError):
        kind, detail, found = _said(error)
        return Told(kind.status, kind.title, detail, found)
    kind = REFUSALS[error.status_code]
    detail = error.detail if isinstance(error, Refusal) else "there is no such page"
    return Told(kind.status, kind.title, detail, error.problems if isinstance(error, Refusal) else ())


def _said(error: GatewayError) -> tuple[Kind, str, Sequence[Problem]]:
    kind = next(KINDS[cls] for cls in type(error).__mro__ if cls in KINDS)
    detail = kind.title if kind is INTERNAL else str(error)
    if isinstance(error, errors.InvalidRequest):
        found = error.problems
        return kind, f"{len(found)} problems, listed in errors" if len(found) > 1 else detail, found
    return kind, detail, ()


def document_of(error: GatewayError | Refusal) -> problem_document.Problem:
    """The body of its answer."""
    if isinstance(error, Refusal):
        return problem(REFUSALS[error.status_code], error.detail, error.problems)
    return problem(*_said(error))


async def answer_error(request: Request, error: Exception) -> Response:
    """An error raised on purpose. `Conflict` and `NotFound` say what is the matter in `detail`."""
    assert isinstance(error, GatewayError)
    kind, detail, found = _said(error)
    headers: dict[str, str] = {}
    if isinstance(error, errors.LimitReached | errors.Unavailable):
        headers["retry-after"] = str(error.retry_after_seconds)
    if isinstance(error, errors.RateLimited) and isinstance(error.allowance, Allowance):
        headers |= rate_headers(error.allowance)
    if isinstance(error, errors.Unauthenticated):
        headers["www-authenticate"] = 'Bearer realm="vidu-gateway"'
    return _answer(request.scope, kind, detail, found, headers)


async def answer_refusal(request: Request, error: Exception) -> Response:
    """A refusal of HTTP's own, Starlette's 404 and 405 among them."""
    assert isinstance(error, HTTPException)
    found = error.problems if isinstance(error, Refusal) else ()
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    detail = error.detail if isinstance(error, Refusal) else _way_out(error.status_code, headers)
    return _answer(request.scope, REFUSALS[error.status_code], detail, found, headers)


def _way_out(status: int, headers: Mapping[str, str]) -> str:
    """What to say where Starlette says no more than the status's name."""
    if status == HTTPStatus.METHOD_NOT_ALLOWED and "allow" in headers:
        return f"use {' or '.join(sorted(set(headers['allow'].split(', ')) - {'HEAD'}))}"
    return "there is no such path; see /docs" if status == HTTPStatus.NOT_FOUND else REFUSALS[status].title


def internal(scope: Mapping[str, Any]) -> Response:
    """Whatever nobody thought of; it tells nothing of what happened inside."""
    return _answer(scope, INTERNAL, "this was logged, and is our fault; nothing accepted is lost", (), {})


def misdirected(scope: Mapping[str, Any]) -> Response:
    """Addressed to a host that this is not."""
    message = "is not a name of this service; ask for one of GATEWAY_ALLOWED_HOSTS"
    found = [Problem("Host", "not_one_of", message)]
    return _answer(scope, REFUSALS[400], f"Host: {message}", found, {})


def _answer(
    scope: Mapping[str, Any], kind: Kind, detail: str, found: Sequence[Problem], headers: dict[str, str]
) -> Response:
    document = problem(kind, detail, found)
    if scope["method"] not in ("GET", "HEAD") and BODY_READ not in scope:
        # Nobody is going to read the rest of the body, which may be long: the connection ends here.
        headers["connection"] = "close"
    return Response(orjson.dumps(document), kind.status, headers, MEDIA_TYPE)
