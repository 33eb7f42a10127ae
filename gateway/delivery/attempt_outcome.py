"""What one try of an attempt came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.delivery.attempts import AttemptResult, DeliveryOutcome, Reply, excerpt, outcome_of_status
from gateway.delivery.timing import Watch

#: Failures of a try that no reply can have come of, unless it was on its way already.
_UNHEARD: Final = frozenset(
    {DeliveryOutcome.CONNECTION_REFUSED, DeliveryOutcome.CONNECTION_RESET, DeliveryOutcome.DNS_ERROR}
)


@dataclass(frozen=True, slots=True)
class Try:
    """`reply`: what came of it; else `outcome` and `hint` tell why none did. `partial`: it broke off."""

    watch: Watch
    reply: Reply | None = None
    outcome: DeliveryOutcome = DeliveryOutcome.INVALID_URL
    hint: str | None = None
    partial: bool = False

    def unheard(self) -> bool:
        """Whether the subscriber surely said nothing, so that the same may be sent once more."""
        return self.reply is None and not self.partial and self.outcome in _UNHEARD

    def result(self, duration_ms: int, retried: bool, url: str) -> AttemptResult:
        """The attempt of which this was the last try."""
        reply, watch = self.reply, self.watch
        timings = watch.timings()
        if reply is None:
            return AttemptResult(
                *(self.outcome, None, duration_ms, "", None, timings, watch.reused, retried),
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
            watch.reused,
            retried,
            reply.kept,
            reply.hint(),
            reply.disables(),
            url,
        )
