"""Every exception that the service raises on purpose, drawn as a tree.

* GatewayError
  x InvalidRequest            what the client sent cannot be accepted; carries every Problem found
    + MalformedBody           the body is not one JSON document at all
    + BodyTooLarge            the upstream would not take a body of this size
    + IdempotencyMismatch     the key was used before with another body
  x Unauthenticated           no key, or one that is not known or was revoked
  x ScopeMissing              the key is good, but not for this
  x NotFound                  no such job, endpoint or delivery, or not this tenant's
  x Conflict
    + CannotCancel            money may have been spent, and the upstream offers no cancel
    + Fenced                  another worker holds the record now; the caller must stop
  x LimitReached              a quota of the tenant; try again later
  x Unavailable
    + StoreUnavailable        Redis did not answer; whether it acted is not known
    + StoreFull               Redis' memory is nearly used up: nothing new is accepted, all else goes on
    + BlobStoreUnavailable    the folder of inline media cannot be written or read
  x AddressRefused            the address may not be dialled
  x ConfigurationError        a setting is wrong; names the environment variable

Errors know nothing of HTTP: `gateway.web.http.problem_types` holds the one table from class to status.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

#: Of a value that is quoted in a message.
MAX_SHOWN_CHARACTERS: Final = 40


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a request: where, what (a stable word), and the way out (a sentence)."""

    param: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A request that is accepted, with something its client should know: where, what, and why."""

    param: str
    code: str
    message: str


class GatewayError(Exception):
    """Base of every error raised on purpose."""


class InvalidRequest(GatewayError):
    """The request cannot be accepted; `problems` names every reason at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{p.param}: {p.message}" if p.param else p.message for p in problems))
        self.problems = tuple(problems)


class MalformedBody(InvalidRequest):
    """The body is not one JSON document in UTF-8."""


class BodyTooLarge(InvalidRequest):
    """The upstream would not take a body of this size."""


class IdempotencyMismatch(InvalidRequest):
    """The Idempotency-Key was used before with another body."""

    def __init__(self, job_id: str) -> None:
        message = (
            f"was used before for {job_id} with another body or other Gateway-* headers; send a new key, or "
            "exactly that request again"
        )
        super().__init__([Problem("Idempotency-Key", "idempotency_mismatch", message)])
        self.job_id = job_id


class Unauthenticated(GatewayError):
    """No key was sent, or it is not known, or it was revoked."""


class ScopeMissing(GatewayError):
    """The key is good, but lacks a scope."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"this key lacks the scope {scope}")
        self.scope = scope


class NotFound(GatewayError):
    """No such record, or not one of this tenant's: the two are not told apart."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"no {kind} {name}")
        self.kind = kind
        self.name = name


class Conflict(GatewayError):
    """The record is not in a state for this."""


class CannotCancel(Conflict):
    """The job was handed to the upstream, which cannot take it back."""


class Fenced(Conflict):
    """The record moved on under another worker: whoever holds an old epoch must stop."""


class LimitReached(GatewayError):
    """A quota of the tenant is used up."""

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class RateLimited(LimitReached):
    """The tenant posts faster than it may. `allowance`: what it is left with (gateway/store/base.py)."""

    def __init__(self, message: str, retry_after_seconds: int, allowance: object) -> None:
        super().__init__(message, retry_after_seconds)
        self.allowance = allowance


class Unavailable(GatewayError):
    """Something the service depends on does not answer; nothing was lost."""

    retry_after_seconds = 2


class StoreUnavailable(Unavailable):
    """Redis did not answer in time. The command may have been carried out or not."""


class StoreFull(Unavailable):
    """Redis' memory is used up to the watermark."""

    retry_after_seconds = 30

    def __init__(self, ratio: float) -> None:
        super().__init__(f"the store is {ratio:.0%} full; post again when jobs have been worked off")
        self.ratio = ratio


class BlobStoreUnavailable(Unavailable):
    """The folder of inline media cannot be written or read."""


class AddressRefused(GatewayError, OSError):
    """The address that was about to be dialled is not one that may be dialled."""


class ConfigurationError(GatewayError):
    """A setting is missing or wrong."""


def not_one_of(value: str, expected: str) -> str:
    """The message; `expected` is pydantic's "'540p', '720p' or '1080p'"."""
    words = [word for word in expected.split("'") if word not in ("", ", ", " or ")]
    message = f"{shown(value)} is not one of {', '.join(words)}"
    near = difflib.get_close_matches(value[:MAX_SHOWN_CHARACTERS].lower(), words, n=1)
    return f"{message}; did you mean {near[0]}?" if near else message


def shown(value: object) -> str:
    """The value as a client knows it, cut short; only the kind of what may be long or confidential."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= MAX_SHOWN_CHARACTERS:
        return text
    return "a string" if isinstance(value, str) else text[:MAX_SHOWN_CHARACTERS] + "..."
