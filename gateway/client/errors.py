"""Every error that the client raises.

* GatewayError              the gateway refused a request, or did not answer
  x InvalidRequest          400, 413, 415, 422: `problems` has everything that is wrong
  x Unauthenticated         401: the key is unknown, revoked or expired
  x BudgetExceeded          402: the budget of your tenant is used up
  x Forbidden               403: the key does not permit this
  x NotFound                404, 410: there is no such thing, or no longer
  x Conflict                409: not possible in the current state
  x RateLimited             429: `retry_after` seconds; nothing was accepted
  x Unavailable             500, 502, 503, 504: the gateway's own trouble
  x ConnectionFailed        no answer; `sent` tells whether the gateway may have acted
* NotCompleted              a job brought no video: `job`, whose `error` says why
  x JobFailed, JobCanceled
  x WaitTimeout             the time to wait is over; the job goes on (it is a TimeoutError too)
* BadDownload               the file that came is not the one that the gateway stored
* InvalidWebhook            do not trust this request
  x BadSignature, TooOld

Arguments that cannot be meant are a TypeError or a ValueError, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .models import Job


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a request. Decide by `code`; `message` is for people."""

    param: str
    code: str
    message: str


class GatewayError(Exception):
    """`status`: of HTTP, None without an answer. `code`: a stable word, such as `invalid-request`.
    `problems`: what is wrong with the request. `document`: the whole problem document. `request_id`: quote
    it when you report a fault. `retry_after`: seconds after which the gateway wants to be asked again, or
    None."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str = "",
        problems: Sequence[Problem] = (),
        document: Mapping[str, Any] | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.problems = tuple(problems)
        self.document = document or {}
        self.request_id = request_id
        self.retry_after = retry_after


class InvalidRequest(GatewayError):
    """The request is wrong, and costs nothing. `problems` has all reasons at once."""


class Unauthenticated(GatewayError):
    """The key is unknown, revoked or expired."""


class BudgetExceeded(GatewayError):
    """A budget does not allow the job. Nothing was accepted. `budget`: its name."""

    @property
    def budget(self) -> str | None:
        return self.document.get("budget")


class Forbidden(GatewayError):
    """The key is valid, but does not permit this."""


class NotFound(GatewayError):
    """There is no such thing, it is another tenant's, or it is no longer kept."""


class Conflict(GatewayError):
    """Not possible in the current state."""


class RateLimited(GatewayError):
    """A limit of your tenant is reached. Nothing was accepted. `limit`: its name."""

    @property
    def limit(self) -> str | None:
        return self.document.get("limit")


class Unavailable(GatewayError):
    """The gateway, or something that it needs, does not work at the moment."""


class ConnectionFailed(GatewayError):
    """There was no answer. `sent`: False if the gateway certainly got nothing; True if it may have acted."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message, code="connection-failed")
        self.sent = sent


class NotCompleted(Exception):
    """`job`: as it was seen last."""

    def __init__(self, message: str, job: Job) -> None:
        super().__init__(message)
        self.job = job


class JobFailed(NotCompleted):
    """The job failed. `job.error` says why, `job.spend` whether it was paid for."""


class JobCanceled(NotCompleted):
    """The job was canceled."""


class WaitTimeout(NotCompleted, TimeoutError):
    """The job is not finished yet. It goes on: wait again, or cancel it. It is a TimeoutError."""


class BadDownload(Exception):
    """What came has another SHA-256 than the file that the gateway stored. Nothing was kept; try again."""


#: What calls raise.
RAISED: Final = (GatewayError, NotCompleted, BadDownload)


class InvalidWebhook(Exception):
    """This request does not come from the gateway, or not now."""


class BadSignature(InvalidWebhook):
    """No signature matches any of the secrets, or a header is missing."""


class TooOld(InvalidWebhook):
    """The signature is right, but the time in it is too far from now: somebody may have repeated the
    request."""
