"""The result of one HTTP request of an attempt. An attempt makes one request, or two if the first failed
before any reply could come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.delivery.attempts import AttemptResult, DeliveryOutcome, Reply, excerpt, outcome_of_status
from gateway.delivery.timing import Stopwatch

#: Failures before the subscriber could answer, unless a reply had already begun.
_BEFORE_ANY_REPLY: Final = frozenset(
    {DeliveryOutcome.CONNECTION_REFUSED, DeliveryOutcome.CONNECTION_RESET, DeliveryOutcome.DNS_ERROR}
)


@dataclass(frozen=True, slots=True)
class RequestResult:
    """`reply`: the answer, if there was one; else `outcome` and `hint` say why there is none, and `received`
    is the start of what came."""

    stopwatch: Stopwatch
    reply: Reply | None = None
    outcome: DeliveryOutcome = DeliveryOutcome.INVALID_URL
    hint: str | None = None
    received: bytes = b""

    def may_be_repeated(self) -> bool:
        """Whether the subscriber certainly answered nothing, so that the same request may be sent again."""
        return self.reply is None and not self.received and self.outcome in _BEFORE_ANY_REPLY

    def result(self, duration_ms: int, retried: bool, url: str) -> AttemptResult:
        """The result of the attempt, if this was its last request."""
        reply, stopwatch = self.reply, self.stopwatch
        timings = stopwatch.timings()
        if reply is None:
            return AttemptResult(
                *(self.outcome, None, duration_ms, excerpt(self.received), None),
                *(timings, stopwatch.reused, retried),
                hint=self.hint,
                url=url,
            )
        return AttemptResult(
            outcome_of_status(reply.status),
            reply.status,
            duration_ms,
            excerpt(reply.body),
            reply.retry_after(),
            timings,
            stopwatch.reused,
            retried,
            reply.kept,
            reply.hint(),
            reply.disables(),
            url,
        )
