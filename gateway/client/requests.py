"""One request and its answer: retries, idempotency keys, and what an error means."""

from __future__ import annotations

import email.utils
import json
import random
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol
from urllib.parse import urlencode

from . import errors
from .records import R, read
from .steps import Call, pause

_FIRST_WAIT_SECONDS: Final = 0.5
_LONGEST_WAIT_SECONDS: Final = 8.0
_JITTER: Final = 0.25
#: A longer Retry-After is not waited for: the error says how long it would take.
_LONGEST_RETRY_AFTER_SECONDS: Final = 120.0
_MAX_SHOWN_CHARACTERS: Final = 600
#: With these, nothing was done: any request may be repeated.
_NOTHING_DONE: Final = frozenset({408, 429})
_MAYBE_DONE: Final = frozenset({500, 502, 503, 504})
_ERRORS: Final[Mapping[int, type[errors.GatewayError]]] = {
    401: errors.Unauthenticated,
    402: errors.BudgetExceeded,
    403: errors.Forbidden,
    404: errors.NotFound,
    408: errors.Unavailable,
    409: errors.Conflict,
    410: errors.NotFound,
    425: errors.Unavailable,
    429: errors.RateLimited,
    501: errors.InvalidRequest,
}


class Content(Protocol):
    """A file to send, from its beginning at each attempt."""

    size: int

    def chunks(self) -> Iterable[bytes]: ...


@dataclass(frozen=True, slots=True)
class Request:
    """`path`: below the gateway's URL; or a whole URL, which does not get the key. `body`: sent as JSON.
    `seconds`: longest silence, if not that of the client. `repeatable`: the same request may be sent again
    when nobody knows whether the first one worked. `retries`: if not as many as the client's."""

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content: Content | None = None
    seconds: float | None = None
    repeatable: bool = True
    retries: int | None = None

    @property
    def target(self) -> str:
        given = urlencode({name: value for name, value in self.query.items() if value is not None}, safe=",")
        return f"{self.path}?{given}" if given else self.path

    @property
    def json(self) -> bytes | None:
        """The body, as it is sent."""
        if self.body is None:
            return None
        return json.dumps(self.body, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of an answer. `headers`: by lower-case names. `request`: what was asked, with its URL."""

    status: int
    headers: Mapping[str, str]
    request: str


@dataclass(frozen=True, slots=True)
class Answer:
    head: Head
    body: bytes

    def json(self) -> dict[str, Any]:
        """The object in the body. GatewayError for anything else."""
        try:
            found = json.loads(self.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            text = "the answer is no JSON object: is it a vidu-gateway?"
            raise errors.GatewayError(text, status=self.head.status)
        return found


def send(request: Request) -> Call[Answer]:
    """The answer, if it is a 2xx. GatewayError for any other, after the retries."""
    head = yield from opened(request)
    body: bytes = yield lambda session: session.read()
    return Answer(head, body)


def record(kind: type[R], request: Request) -> Call[R]:
    """The record in the answer."""
    return read(kind, (yield from send(request)).json())


def opened(request: Request, accepted: frozenset[int] = frozenset()) -> Call[Head]:
    """The head of the answer, whose body is still to be read. `accepted`: statuses that are no errors,
    besides 2xx."""
    request = _with_key(request)
    retries = request.retries
    if retries is None:
        retries = yield lambda session: session.retries
    for attempt in range(retries + 1):
        try:
            head: Head = yield lambda session: session.open(request)
            if 200 <= head.status < 300 or head.status in accepted:
                return head
            body: bytes = yield lambda session: session.read()
            raise error_of(request, Answer(head, body))
        except errors.GatewayError as error:
            wait = _wait(error, attempt)
            if attempt == retries or wait is None or not _may_repeat(request, error):
                raise
        yield from pause(wait)
    raise AssertionError("the last attempt returns or raises")


def _with_key(request: Request) -> Request:
    if request.method != "POST" or "Idempotency-Key" in request.headers:
        return request
    return replace(request, headers={**request.headers, "Idempotency-Key": f"auto_{uuid.uuid4()}"})


def _may_repeat(request: Request, error: errors.GatewayError) -> bool:
    if isinstance(error, errors.ConnectionFailed):
        return request.repeatable or not error.sent
    return error.status in _NOTHING_DONE or (request.repeatable and error.status in _MAYBE_DONE)


def _wait(error: errors.GatewayError, attempt: int) -> float | None:
    """Seconds until the next attempt; None: it would take too long."""
    asked = error.retry_after
    if asked is not None and asked > _LONGEST_RETRY_AFTER_SECONDS:
        return None
    return max(asked or 0.0, backoff(attempt, _LONGEST_WAIT_SECONDS))


def backoff(failures: int, longest: float, first: float = _FIRST_WAIT_SECONDS) -> float:
    """Doubles with each failure, up to `longest`, less up to a quarter at random."""
    return min(first * 2.0 ** min(failures, 16), longest) * (1 - random.random() * _JITTER)


def error_of(request: Request, answer: Answer) -> errors.GatewayError:
    """The error that an answer means."""
    status, headers = answer.head.status, answer.head.headers
    kind = _ERRORS.get(status)
    if kind is None:
        kind = errors.Unavailable if status >= 500 else errors.InvalidRequest
    if status < 400:
        kind = errors.GatewayError
    document = _document(answer.body)
    problems = _problems(document)
    reason = "; ".join(f"{one.param}: {one.message}" if one.param else one.message for one in problems)
    reason = reason or str(document.get("detail") or document.get("title") or "")
    reason = reason or answer.body.decode(errors="replace")[:_MAX_SHOWN_CHARACTERS] or "without a reason"
    if status == 401 and request.path.startswith("/"):
        reason += "; the gateway does not know this key: check key= or VIDU_GATEWAY_KEY"
    return kind(
        f"{answer.head.request} answered {status}: {reason}",
        status=status,
        code=str(document.get("type", "")).rpartition("/")[2],
        problems=problems,
        document=document,
        request_id=headers.get("x-request-id"),
        retry_after=_seconds(headers.get("retry-after")),
    )


def _document(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _problems(document: Mapping[str, Any]) -> list[errors.Problem]:
    given = document.get("errors")
    return [
        errors.Problem(str(one.get("param", "")), str(one.get("code", "")), str(one.get("message", "")))
        for one in (given if isinstance(given, list) else ())
        if isinstance(one, dict)
    ]


def _seconds(text: str | None) -> float | None:
    """Of a Retry-After: seconds or a date."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
