"""Errors as answers: one table from our errors to a status, one from HTTP's own refusals to a title.

Every error answer is `application/problem+json` (RFC 9457): `{type, title, status, detail, errors}`, where
`errors` is `[{param, code, message}]`, empty when no part of the request is at fault. `type` is a stable
URN, `urn:vidu-gateway:problem:<name>`; the names are the two tables below.
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
from gateway.web.http.rate_headers import rate_headers

MEDIA_TYPE: Final = "application/problem+json"
#: In a request's scope: its body was read to the end, so that the connection can be used again.
BODY_READ: Final = "gateway.body_read"
URN: Final = "urn:vidu-gateway:problem:"


class Kind(NamedTuple):
    status: int
    name: str
    title: str


_INTERNAL: Final = Kind(500, "internal", "Something went wrong here")

KINDS: Final[Mapping[type[GatewayError], Kind]] = {
    errors.InvalidRequest: Kind(422, "invalid-request", "The request cannot be accepted"),
    errors.MalformedBody: Kind(400, "malformed-body", "The body cannot be read"),
    errors.BodyTooLarge: Kind(413, "body-too-large", "The body is too large"),
    errors.IdempotencyMismatch: Kind(422, "idempotency-mismatch", "The key was used with another request"),
    errors.Unauthenticated: Kind(401, "unauthenticated", "A valid key is needed"),
    errors.ScopeMissing: Kind(403, "scope-missing", "The key does not permit this"),
    errors.NotFound: Kind(404, "not-found", "There is no such thing"),
    errors.Conflict: Kind(409, "conflict", "This cannot be done now"),
    errors.CannotCancel: Kind(409, "cannot-cancel-upstream", "The upstream offers no cancel"),
    errors.Fenced: Kind(409, "conflict", "This cannot be done now"),
    errors.LimitReached: Kind(429, "limit-reached", "A limit is reached"),
    errors.RateLimited: Kind(429, "rate-limited", "Too many in too short a time"),
    errors.Unavailable: Kind(503, "unavailable", "The service cannot serve just now"),
    errors.StoreUnavailable: Kind(503, "unavailable", "The service cannot serve just now"),
    errors.StoreFull: Kind(503, "unavailable", "The service cannot serve just now"),
    errors.BlobStoreUnavailable: Kind(503, "unavailable", "The service cannot serve just now"),
    errors.AddressRefused: Kind(422, "address-refused", "The address may not be dialled"),
    errors.ConfigurationError: _INTERNAL,
    GatewayError: _INTERNAL,
}

REFUSALS: Final[Mapping[int, Kind]] = {
    kind.status: kind
    for kind in (
        Kind(400, "bad-request", "A header or query parameter is wrong"),
        Kind(404, "not-found", "There is no such thing"),
        Kind(405, "method-not-allowed", "This method is not served here"),
        Kind(408, "body-too-slow", "The body did not arrive in time"),
        Kind(413, "body-too-large", "The body is too large"),
        Kind(415, "unsupported-media-type", "The body is not in a form that is read here"),
    )
}


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
    detail = kind.title if kind is _INTERNAL else str(error)
    if isinstance(error, errors.InvalidRequest):
        found = error.problems
        return kind, f"{len(found)} problems, listed in errors" if len(found) > 1 else detail, found
    return kind, detail, ()


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
    return _answer(scope, _INTERNAL, "this was logged, and is our fault; nothing accepted is lost", (), {})


def misdirected(scope: Mapping[str, Any]) -> Response:
    """Addressed to a host that this is not."""
    message = "is not a name of this service; ask for one of GATEWAY_ALLOWED_HOSTS"
    found = [Problem("Host", "not_one_of", message)]
    return _answer(scope, REFUSALS[400], f"Host: {message}", found, {})


def _answer(
    scope: Mapping[str, Any], kind: Kind, detail: str, found: Sequence[Problem], headers: dict[str, str]
) -> Response:
    document = {
        "type": URN + kind.name,
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "errors": [{"param": p.param, "code": p.code, "message": p.message} for p in found],
    }
    if scope["method"] not in ("GET", "HEAD") and BODY_READ not in scope:
        # Nobody is going to read the rest of the body, which may be long: the connection ends here.
        headers["connection"] = "close"
    return Response(orjson.dumps(document), kind.status, headers, MEDIA_TYPE)
