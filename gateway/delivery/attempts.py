"""What an attempt can come to, and what is kept of it."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

from gateway.delivery.headers import printable
from gateway.delivery.timing import Timings

EXCERPT_LIMIT_BYTES: Final = 2_048
HINT_CHARACTERS: Final = 200
_RETRY_AFTER_LIMIT: Final = 64
_GONE: Final = "answered 410 Gone"
_DISABLE: Final = "answered with the header webhook-delivery: disable"
_DECODER: Final = codecs.getincrementaldecoder("utf-8")


class DeliveryOutcome(StrEnum):
    """How an attempt ended. `gone` (410) asks that the endpoint be disabled at once."""

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
    """One attempt, as logged. `excerpt`: the reply's start, safe to print; `retry_after`: the raw header.

    `timings`, `reused` (a kept connection): of the last try; `retried`: there were two. `headers`: some of
    the reply's, safe to print. `hint`: what the subscriber may do about it. `disables`: why it must be sent
    no more, when it asked for that. `url`: where it went.
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

    def public(self) -> dict[str, Any]:
        """The attempt as an endpoint's owner sees it."""
        return {
            "url": self.url,
            "outcome": self.outcome.value,
            "status": self.status,
            "duration_ms": self.duration_ms,
            "timings": asdict(self.timings),
            "reused": self.reused,
            "retried": self.retried,
            "response_headers": self.headers,
            "excerpt": self.excerpt,
            "hint": self.hint,
        }


@dataclass(frozen=True, slots=True)
class Reply:
    """What a subscriber answered. `headers`: all, in any case; `kept`: some of them, safe to print."""

    status: int
    headers: Mapping[str, str]
    kept: dict[str, str]
    body: bytearray

    def retry_after(self) -> str | None:
        """The header as it came, as far as it can mean anything."""
        return self.headers.get("Retry-After", "")[:_RETRY_AFTER_LIMIT] or None

    def hint(self) -> str | None:
        """What the subscriber may do so that it gets its webhooks."""
        if self.status // 100 != 3:
            return None
        place = printable(self.headers.get("Location", ""))[:HINT_CHARACTERS]
        advice = "redirects are not followed; register the final address"
        return f"{advice}: {place}" if place else advice

    def disables(self) -> str | None:
        """Why the subscriber must be sent no more, when it asked for that."""
        if self.status == 410:
            return _GONE
        asked = self.headers.get("webhook-delivery", "").strip().lower()
        return _DISABLE if asked == "disable" else None


def outcome_of_status(status: int) -> DeliveryOutcome:
    """The outcome that a final status code stands for; codes that HTTP does not know are protocol errors."""
    return _BY_STATUS.get(status) or _BY_CLASS.get(status // 100, DeliveryOutcome.PROTOCOL_ERROR)


def excerpt(body: bytes | bytearray) -> str:
    """The first 2 KiB of a reply as text that is safe to print and to store."""
    cut = len(body) > EXCERPT_LIMIT_BYTES
    try:
        # A character that the cut goes through is dropped; it does not make the reply a binary one.
        text = _DECODER().decode(bytes(body[:EXCERPT_LIMIT_BYTES]), final=not cut)
    except UnicodeDecodeError:
        text = "\0"
    return f"<{len(body)} bytes of binary>" if "\0" in text else printable(text)
