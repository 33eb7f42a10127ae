"""What a store of endpoints and of deliveries does, whatever it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gateway.dispatch import Ticket
from gateway.endpoints import Delivery, Endpoint
from gateway.events import Event
from gateway.lifecycle import DeliveryEvent, DeliveryState
from gateway.store.base import TransitionResult


@dataclass(frozen=True, slots=True)
class DeliveryQuery:
    """Of a tenant, in one of `states`; of one lane or one job, if named; older than the delivery `after`."""

    tenant: str
    states: Sequence[DeliveryState]
    lane: str | None = None
    job_id: str | None = None
    after: Delivery | None = None
    limit: int = 20


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Newest first; `more` when older ones follow."""

    deliveries: list[Delivery]
    more: bool


class Hindrance(StrEnum):
    """Why nothing is sent again."""

    MISSING = "missing"
    DELETED = "deleted"  #: its endpoint is gone
    DISABLED = "disabled"  #: its endpoint gets nothing
    UNDER_WAY = "under_way"  #: an attempt of it, or a recovery of the endpoint


class DeliveryStore(Protocol):
    async def begin(self, ticket: Ticket) -> tuple[Delivery, bytes, Endpoint | None] | None:
        """Take up a delivery: it, its event's bytes, and its endpoint when it has one that still exists.
        None when the ticket is stale."""

    async def finish(
        self,
        ticket: Ticket,
        delivery: Delivery,
        event: DeliveryEvent,
        *,
        retry_in_ms: int | None,
        tally: Sequence[str],
        health_ok: bool | None = None,
    ) -> TransitionResult:
        """Record an attempt (`delivery` as it is after it). `health_ok`: what it says of the endpoint's
        health; None: nothing."""

    async def read(self, tenant: str, delivery_id: str) -> Delivery | None:
        """The delivery, if it is this tenant's."""

    async def page(self, query: DeliveryQuery) -> DeliveryPage:
        """A tenant's deliveries, newest first."""

    async def redeliver(self, delivery: Delivery, asked: str) -> Delivery | Hindrance:
        """Begin a new round of it, now. `asked`: by whom, unlike any other, so that it may be asked again
        when the answer was lost."""

    async def make(self, ticket: Ticket, event: Event | None) -> None:
        """Make the event of a step of a job, and what is owed of it, once; the ticket in the lane of events
        is done with. None: there is none to be made any more."""


class Written(StrEnum):
    """What became of a change to an endpoint."""

    WRITTEN = "written"
    CHANGED = "changed"  #: somebody else has changed it meanwhile; nothing was written
    MISSING = "missing"  #: it is gone


class EndpointStore(Protocol):
    async def create(self, endpoint: Endpoint, most: int) -> bool:
        """Register it; False when the tenant has `most` already."""

    async def change(self, endpoint: Endpoint, before: Endpoint, *, heal: bool = False) -> Written:
        """Write it as it is to be, if it is still as `before`. `heal`: what was found out of its health
        counts no more."""

    async def read(self, tenant: str, endpoint_id: str) -> Endpoint | None:
        """The endpoint, if it is this tenant's."""

    async def of(self, tenant: str) -> list[Endpoint]:
        """All of a tenant's."""

    async def delete(self, endpoint: Endpoint) -> None:
        """Forget it; what is still owed to it dies at its next attempt."""

    async def disable(self, endpoint: Endpoint, reason: str, at: int) -> None:
        """What is owed to it is held from now on."""
