"""Who is told: a tenant's endpoints, what is owed to them, and what became of each attempt."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from gateway import events
from gateway.events import EventType
from gateway.lifecycle import DeliveryState

#: With a tenant's name, the lane of its events that are yet to be made, in the deliver role.
EVENTS_LANES: Final = "events-"


@dataclass(frozen=True, slots=True)
class PreviousSecret:
    """A secret from before a rotation: webhooks are signed with it too, until `until` (ms)."""

    kid: str
    version: int
    until: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A subscriber's registered URL. Its secret is derived (`kid`, `version`), never stored.

    `events`: filters as given, types or a wildcard; empty: the final ones. `headers`: sent with each webhook.
    `schedule`: its own waits before attempts 2, 3, ... in seconds. `slots`: how many attempts at once, if not
    as many as others. `previous`: newest first.
    """

    id: str
    tenant: str
    url: str
    events: tuple[str, ...]
    kid: str
    created_at: int
    version: int = 1
    description: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    schedule: tuple[float, ...] | None = None
    slots: int | None = None
    previous: tuple[PreviousSecret, ...] = ()
    disabled_at: int | None = None
    disabled_reason: str | None = None

    @property
    def wanted(self) -> tuple[EventType, ...]:
        """The types of events that it gets."""
        return events.expand(self.events)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event owed to one endpoint, or to a job's own callback_url (then `endpoint_id` is None).

    `attempts`: how many were made. `url`: where to, when it is a job's own callback_url. `since`: how many
    were made when the present round began (a redelivery begins a new round of the schedule), `round_at` when
    that was (ms), `trigger` what began it: auto, manual or recovery. `next_attempt_at` (ms): None when there
    is none. `trace`: the traceparent of its job, when it is taken up.
    """

    id: str
    state: DeliveryState
    event_id: str
    event_type: EventType
    tenant: str
    job_id: str
    lane: str
    created_at: int
    endpoint_id: str | None = None
    url: str | None = None
    attempts: int = 0
    since: int = 0
    round_at: int | None = None
    trigger: str = "auto"
    next_attempt_at: int | None = None
    log: list[dict[str, Any]] = field(default_factory=list)
    trace: str | None = None


def callback_lane(tenant: str, url: str) -> str:
    """The lane of deliveries to jobs' own callback URLs: one for each tenant and host, so that a slow
    host holds up nobody but itself."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")  # in lower case, without userinfo
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    digest = hashlib.sha256(f"{tenant} {parts.scheme}://{host}:{port}".encode()).hexdigest()
    return f"url-{digest[:20]}"
