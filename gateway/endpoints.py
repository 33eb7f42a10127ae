"""Who is told: a tenant's endpoints, what is owed to them, and what became of each attempt."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from gateway.events import EventType
from gateway.jobs import rfc3339
from gateway.lifecycle import DeliveryState


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A subscriber's registered URL. Its secret is derived (`kid`, `version`), never stored."""

    id: str
    tenant: str
    url: str
    events: tuple[EventType, ...]  #: empty: all of them
    kid: str
    created_at: int
    version: int = 1
    description: str = ""
    disabled_at: int | None = None
    disabled_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event owed to one endpoint, or to a job's own callback_url (then `endpoint_id` is None).

    `attempts`: how many were made. `url`: where to, when it is a job's own callback_url.
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
    log: list[dict[str, Any]] = field(default_factory=list)


def callback_lane(tenant: str, url: str) -> str:
    """The lane of deliveries to jobs' own callback URLs: one for each tenant and host, so that a slow
    host holds up nobody but itself."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")  # in lower case, without userinfo
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    digest = hashlib.sha256(f"{tenant} {parts.scheme}://{host}:{port}".encode()).hexdigest()
    return f"url-{digest[:20]}"


def public_endpoint(endpoint: Endpoint) -> dict[str, Any]:
    """The endpoint as its owner sees it; the secret is not part of it."""
    return {
        "id": endpoint.id,
        "object": "endpoint",
        "url": endpoint.url,
        "events": list(endpoint.events or EventType),
        "description": endpoint.description,
        "created_at": rfc3339(endpoint.created_at),
        "disabled_at": rfc3339(endpoint.disabled_at),
        "disabled_reason": endpoint.disabled_reason,
    }
