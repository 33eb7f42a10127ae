"""Every exception that the service raises on purpose, as a tree.

* GatewayError
  x InvalidRequest            the request cannot be accepted; has every Problem that was found
    + MalformedBody           the body is not one JSON document
    + BodyTooLarge            the upstream would not accept a body of this size
    + IdempotencyMismatch     the key was used before with another body
  x Unauthenticated           no key, or an unknown or revoked one
  x ScopeMissing              the key is valid, but not for this
  x NotFound                  no such job, endpoint or delivery, or it belongs to another tenant
  x Conflict
    + CannotCancel            money may have been spent, and the upstream offers no cancel
    + Fenced                  another worker holds the record now; the caller must stop
  x LimitReached              a quota of the tenant is used up; try again later
    + RateLimited             the tenant posts too fast
  x PaymentRefused            a hard budget does not allow the job
    + BudgetExceeded          it would cost more than is left
    + PriceUnknown            nobody knows what it would cost
  x Unavailable
    + StoreUnavailable        Redis did not answer; the command may have been executed or not
    + StoreFull               Redis' memory is almost full: new jobs are refused, everything else continues
    + MediaStoreUnavailable   the folder or the bucket of files cannot be written or read
      - ArchiveLost           the object of an archived job is missing or damaged
    + DiskFull                the disk of files is almost full: new files, then new jobs, are refused
  x AddressRefused            the address may not be dialled
  x ConfigurationError        a setting is wrong; names the environment variable
    + AmountRefused           an amount of money is not a number, or out of range

Errors know nothing of HTTP: `gateway.web.http.problem_types` holds the one table from class to status.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

#: The longest quote of a value in a message.
MAX_SHOWN_CHARACTERS: Final = 40


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a request: where it is, a stable code, and a message that says what to do instead."""

    param: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that the client of an accepted request should know: where, a stable code, and a message."""

    param: str
    code: str
    message: str


class GatewayError(Exception):
    """Base of every error raised on purpose."""


class InvalidRequest(GatewayError):
    """The request cannot be accepted; `problems` has every reason at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{p.param}: {p.message}" if p.param else p.message for p in problems))
        self.problems = tuple(problems)


class MalformedBody(InvalidRequest):
    """The body is not one JSON document in UTF-8."""


class BodyTooLarge(InvalidRequest):
    """The upstream would not accept a body of this size."""


class IdempotencyMismatch(InvalidRequest):
    """The Idempotency-Key was used before with another body."""

    def __init__(self, made: str) -> None:
        """`made`: the id of the job or endpoint that was made with the key."""
        message = (
            f"was used before for {made} with another body or other Gateway-* headers; send a new key, or "
            "exactly the same request"
        )
        super().__init__([Problem("Idempotency-Key", "idempotency_mismatch", message)])
        self.made = made


class Unauthenticated(GatewayError):
    """No key was sent, or the key is unknown or revoked."""


class ScopeMissing(GatewayError):
    """The key is valid, but lacks a scope."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"this key lacks the scope {scope}; use a key that has it, or ask for one")
        self.scope = scope


class NotFound(GatewayError):
    """There is no such record, or it belongs to another tenant; a client cannot see which."""

    def __init__(self, kind: str, name: str, *, expires: bool = False) -> None:
        """`expires`: such records are removed some time after they are finished."""
        gone = "; it may have been removed, because a finished one is kept for a limited time"
        super().__init__(f"no {kind} {name}{gone if expires else ''}")
        self.kind = kind
        self.name = name


class Conflict(GatewayError):
    """The state of the record does not allow this."""


class CannotCancel(Conflict):
    """The job was sent to the upstream, which cannot cancel it."""


class Fenced(Conflict):
    """Another worker has changed the record: a worker with an old epoch must stop."""


class ContentRefused(GatewayError):
    """The file of a result cannot be served. `problem` says why, with a stable code."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.param}: {problem.message}")
        self.problem = problem


class ResultNotReady(ContentRefused):
    """The job is not finished, or its cover is still being made."""

    retry_after_seconds = 5

    def __init__(self, message: str) -> None:
        super().__init__(Problem("job_id", "result_not_ready", message))


class VariantUnavailable(ContentRefused):
    """The result has no such file."""

    def __init__(self, message: str) -> None:
        super().__init__(Problem("variant", "variant_unavailable", message))


class ResultGone(ContentRefused):
    """There is no copy, and the upstream's address is dead."""

    def __init__(self, message: str) -> None:
        super().__init__(Problem("variant", "result_gone", message))


class LinkRefused(ContentRefused):
    """A signed link has expired, or this service did not make it."""

    def __init__(self, message: str) -> None:
        super().__init__(Problem("sig", "link_refused", message))


class LimitReached(GatewayError):
    """A quota of the tenant is used up. `limit`: its name for programs, one of `problem_codes.LIMITS`."""

    def __init__(self, message: str, retry_after_seconds: int, *, limit: str | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.limit = limit


class RateLimited(LimitReached):
    """The tenant posts too fast. `allowance`: what it may still post (`Allowance` in
    gateway/store/base.py), whose kind is the name of the limit; without one it is `requests`."""

    def __init__(self, message: str, retry_after_seconds: int, allowance: object) -> None:
        kind: str = getattr(allowance, "kind", "requests")
        super().__init__(message, retry_after_seconds, limit=kind.replace(" ", "_"))
        self.allowance = allowance


class PaymentRefused(GatewayError):
    """A hard budget does not allow the job, which was not queued. `budget`: such as "tenant day". `code`: for
    programs."""

    code = "payment_refused"

    def __init__(self, message: str, budget: str) -> None:
        super().__init__(message)
        self.budget = budget


class BudgetExceeded(PaymentRefused):
    """It would cost more than is left. The amounts are decimal strings; `reserved` includes what is in
    suspense."""

    code = "budget_exceeded"

    def __init__(self, budget: str, *, limit: str, spent: str, reserved: str, estimate: str) -> None:
        super().__init__(
            f"the {budget} budget is {limit}: {spent} is spent and {reserved} is reserved, so there is no "
            f"room for a job of {estimate}; wait for the next period, or ask an operator for a larger budget",
            budget,
        )
        self.limit, self.spent, self.reserved, self.estimate = limit, spent, reserved, estimate


class PriceUnknown(PaymentRefused):
    """Nobody knows what it would cost."""

    code = "price_unknown"

    def __init__(self, budget: str) -> None:
        super().__init__(
            f"no price is known for these parameters, so the {budget} budget cannot allow the job; use other "
            "parameters, or ask an operator to add the price",
            budget,
        )


class Unavailable(GatewayError):
    """A dependency of the service does not answer; nothing was lost."""

    retry_after_seconds = 2


class StoreUnavailable(Unavailable):
    """Redis did not answer in time. It may or may not have executed the command."""


class StoreFull(Unavailable):
    """Redis' memory is used up to the watermark."""

    retry_after_seconds = 30

    def __init__(self, ratio: float) -> None:
        super().__init__(f"the store is {ratio:.0%} full and takes no new jobs; post again later")
        self.ratio = ratio


class MediaStoreUnavailable(Unavailable):
    """The media store cannot be written or read."""


class ArchiveLost(MediaStoreUnavailable):
    """The media store answers, but the object of an archived job is missing or damaged."""

    retry_after_seconds = 3600  # until an operator has restored it


class DiskFull(Unavailable):
    """The disk of files is used up to the watermark. `inline`: only for jobs and uploads that bring files."""

    retry_after_seconds = 30

    def __init__(self, free: int, needed: int, *, inline: bool) -> None:
        advice = "send media as URLs, or post again later" if inline else "post again later"
        super().__init__(
            f"the disk of files has {free // 1_000_000} MB free, and {needed // 1_000_000} MB must "
            f"stay free; {advice}"
        )


class AddressRefused(GatewayError, OSError):
    """The address may not be dialled."""


class ConfigurationError(GatewayError):
    """A setting is missing or wrong."""


class AmountRefused(ConfigurationError, ValueError):
    """An amount of money is not a number, negative, too large or too fine. The message continues the name of
    its field."""


def not_one_of(value: str, expected: str) -> str:
    """The message for a wrong enumeration value. `expected`: pydantic's "'540p', '720p' or '1080p'"."""
    words = [word for word in expected.split("'") if word not in ("", ", ", " or ")]
    message = f"{shown(value)} is not one of {', '.join(words)}"
    near = difflib.get_close_matches(value[:MAX_SHOWN_CHARACTERS].lower(), words, n=1)
    return f"{message}; did you mean {near[0]}?" if near else message


def shown(value: object) -> str:
    """The value as JSON, for a message. If it may be long or confidential, only its kind."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= MAX_SHOWN_CHARACTERS:
        return text
    return "a string" if isinstance(value, str) else text[:MAX_SHOWN_CHARACTERS] + "..."
