"""The records of webhooks: a tenant's endpoints and the deliveries to them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from gateway import events
from gateway.events import EventType
from gateway.lifecycle import DeliveryState

#: Followed by a tenant's name: the lane, in the deliver role, of its events that must still be created.
EVENTS_LANES: Final = "events-"
_SHORT_HINT_CHARACTERS: Final = 100


@dataclass(frozen=True, slots=True)
class PreviousSecret:
    """A secret from before a rotation. Webhooks are also signed with it until `until` (ms)."""

    kid: str
    version: int
    until: int


@dataclass(frozen=True, slots=True)
class Idempotency:
    """`key`: digest of the Idempotency-Key. `fingerprint`: keyed digest of the body, because the body may
    hold secrets that could be guessed from a plain one; it begins with the name of the key."""

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class SealedHeaders:
    """Encrypted values of headers by name, and the name of the key (gateway/delivery/sealing.py)."""

    kid: str
    values: dict[str, str]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A subscriber's registered URL. Its secret is derived (`kid`, `version`), never stored.

    `events`: the filters as the client sent them, types or a wildcard; empty: the final events.
    `sealed_headers`: sent with each webhook; `headers`: the same in clear, from before they were encrypted.
    `schedule`: its own waits before attempts 2, 3, ... in seconds. `slots`: its own limit of parallel
    attempts. `previous`: newest first. `idempotency`: of the request that created it.
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
    sealed_headers: SealedHeaders | None = None
    schedule: tuple[float, ...] | None = None
    slots: int | None = None
    previous: tuple[PreviousSecret, ...] = ()
    disabled_at: int | None = None
    disabled_reason: str | None = None
    idempotency: Idempotency | None = None

    @property
    def wanted(self) -> tuple[EventType, ...]:
        """The types of events that the endpoint gets."""
        return events.expand(self.events)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event owed to one endpoint, or to a job's own callback_url (then `endpoint_id` is None).

    `attempts`: how many were made. `url`: the target, if it is a job's own callback_url. A redelivery starts
    a new round of the schedule: `since`: how many attempts were made before the current round; `round_at`:
    when the round started (ms); `trigger`: what started it: auto, manual or recovery. `next_attempt_at` (ms):
    None if there is none. `trace`: the traceparent of its job; only set while a worker handles the delivery.
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


def shortened(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of an attempt in a delivery's log, without the long parts of the subscriber's reply."""
    hint = entry.get("hint")
    short: dict[str, Any] = {
        "excerpt": "",
        "response_headers": {},
        "hint": hint and hint[:_SHORT_HINT_CHARACTERS],
    }
    return dict(entry) | {name: value for name, value in short.items() if name in entry}


@lru_cache(maxsize=1024)
def callback_lane(tenant: str, url: str) -> str:
    """The lane of deliveries to jobs' own callback URLs. Each tenant and host has its own lane, so that a
    slow host does not hold up others."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")  # in lower case, without userinfo
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    digest = hashlib.sha256(f"{tenant} {parts.scheme}://{host}:{port}".encode()).hexdigest()
    return f"url-{digest[:20]}"
