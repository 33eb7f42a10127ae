"""What a client can set for a job, beside its parameters."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

from gateway.events import EventType
from gateway.jobs import Priority
from gateway.lifecycle import OnUnknown


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What a client can set beside the request itself, with Gateway-* headers.

    Seconds count from acceptance; None: the default of the service. `trace`: the client's traceparent.
    `door`: the API through which the job comes, if not `/v1/jobs`. `callback_events`: what its callback URL
    hears; empty: as usual for the door. `attempt`: how often the client says that it sent this request
    before; None: it does not say.
    """

    start_seconds: int | None = None
    total_seconds: int | None = None
    on_unknown: OnUnknown | None = None
    priority: Priority = Priority.NORMAL
    trace: str | None = None
    door: str | None = None
    callback_events: tuple[EventType, ...] = ()
    attempt: int | None = None

    @property
    def meaning(self) -> dict[str, object]:
        """What makes it another job than one without options; empty if nothing does."""
        asked = asdict(self)
        for name in ("trace", "door", "attempt"):  # a repeated request may have others
            del asked[name]
        if not self.callback_events:  # keys from before there was this option
            del asked["callback_events"]
        return asked if any(value != getattr(JobOptions(), name) for name, value in asked.items()) else {}


NO_OPTIONS: Final = JobOptions()
