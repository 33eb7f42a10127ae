"""The possible results of an attempt, and what the log keeps of it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from gateway.delivery.headers import MASK, printable
from gateway.delivery.timing import Timings

EXCERPT_LIMIT_BYTES: Final = 2_048
HINT_CHARACTERS: Final = 200
_MIN_SECRET: Final = 4  # characters; a shorter value is no secret, and would hide every other word
_RETRY_AFTER_LIMIT: Final = 64
_GONE: Final = "answered 410 Gone"
_DISABLE: Final = "answered with the header webhook-delivery: disable"
_DECODER: Final = codecs.getincrementaldecoder("utf-8")


class DeliveryOutcome(StrEnum):
    """How an attempt ended. `gone` (410): the subscriber asks to disable its endpoint at once."""

    SUCCEEDED = "succeeded"
    HTTP_3XX = "http_3xx"
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    GONE = "gone"
    THROTTLED = "throttled"
    TIMEOUT = "timeout"
    CONNECTION_REFUSED = "connection_refused"
    CONNECTION_RESET = "connection_reset"
    DNS_ERROR = "dns_error"
    TLS_ERROR = "tls_error"
    TARGET_FORBIDDEN = "target_forbidden"
    INVALID_URL = "invalid_url"
    PROTOCOL_ERROR = "protocol_error"
    SECRET_MISSING = "secret_missing"  #: not sent: there is no key to sign it with  # noqa: S105
    HEADERS_UNREADABLE = "headers_unreadable"  #: not sent: the endpoint's headers cannot be decrypted


_BY_STATUS: Final = {
    410: DeliveryOutcome.GONE,
    429: DeliveryOutcome.THROTTLED,
    503: DeliveryOutcome.THROTTLED,
}
_BY_CLASS: Final = {
    2: DeliveryOutcome.SUCCEEDED,
    3: DeliveryOutcome.HTTP_3XX,
    4: DeliveryOutcome.HTTP_4XX,
    5: DeliveryOutcome.HTTP_5XX,
}


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """One attempt, as logged. `excerpt`: the start of the reply, safe to print; `retry_after`: the raw
    header.

    `timings`, `reused` (a kept connection): of the last request; `retried`: there were two requests.
    `headers`: some of the reply's, safe to print. `hint`: what the subscriber can do about the problem.
    `disables`: the reason, if the subscriber asked for no more webhooks. `url`: the target.
    """

    outcome: DeliveryOutcome
    status: int | None
    duration_ms: int
    excerpt: str
    retry_after: str | None
    timings: Timings = field(default_factory=Timings)
    reused: bool = False
    retried: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    hint: str | None = None
    disables: str | None = None
    url: str = ""

    def hiding(self, secrets: Iterable[str]) -> AttemptResult:
        """The attempt without these values of the endpoint's headers, or their words, which a subscriber may
        have echoed."""
        words = {word for value in secrets for word in (value, *value.split()) if len(word) >= _MIN_SECRET}
        if not words:
            return self
        echoed = re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))))

        def hide(text: str) -> str:
            return echoed.sub(MASK, text)

        return replace(
            self,
            excerpt=hide(self.excerpt),
            headers={name: hide(value) for name, value in self.headers.items()},
            hint=None if self.hint is None else hide(self.hint),
        )

    def public(self) -> dict[str, Any]:
        """The attempt as the API shows it to the owner of the endpoint."""
        return {
            "url": self.url,
            "outcome": self.outcome.value,
            "status": self.status,
            "duration_ms": self.duration_ms,
            "timings": self.timings.public(),
            "reused": self.reused,
            "retried": self.retried,
            "response_headers": self.headers,
            "excerpt": self.excerpt,
            "hint": self.hint,
        }


@dataclass(frozen=True, slots=True)
class Reply:
    """A subscriber's reply. `headers`: all of them, matched in any case; `kept`: some, safe to print."""

    status: int
    headers: Mapping[str, str]
    kept: dict[str, str]
    body: bytearray

    def retry_after(self) -> str | None:
        """The raw header, truncated to the length that a valid value can have."""
        return self.headers.get("Retry-After", "")[:_RETRY_AFTER_LIMIT] or None

    def hint(self) -> str | None:
        """What the subscriber can do to get its webhooks."""
        if self.status // 100 != 3:
            return None
        place = printable(self.headers.get("Location", ""))[:HINT_CHARACTERS]
        advice = "redirects are not followed; register the final address"
        return f"{advice}: {place}" if place else advice

    def disables(self) -> str | None:
        """The reason, if the subscriber asked for no more webhooks."""
        if self.status == 410:
            return _GONE
        asked = self.headers.get("webhook-delivery", "").strip().lower()
        return _DISABLE if asked == "disable" else None


def outcome_of_status(status: int) -> DeliveryOutcome:
    """The outcome for a final status code; codes that HTTP does not define are protocol errors."""
    return _BY_STATUS.get(status) or _BY_CLASS.get(status // 100, DeliveryOutcome.PROTOCOL_ERROR)


def excerpt(body: bytes | bytearray) -> str:
    """The first 2 KiB of a reply as text that is safe to print and store."""
    cut = len(body) > EXCERPT_LIMIT_BYTES
    try:
        # A character that was truncated in the middle is dropped; it does not make the reply binary.
        text = _DECODER().decode(bytes(body[:EXCERPT_LIMIT_BYTES]), final=not cut)
    except UnicodeDecodeError:
        text = "\0"
    return f"<{len(body)} bytes of binary>" if "\0" in text else printable(text)
