"""The interfaces of the stores for endpoints and deliveries."""

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
from gateway.store.effects import AuditEntry


@dataclass(frozen=True, slots=True)
class DeliveryQuery:
    """Selects a tenant's deliveries in one of `states`, of one lane or job if given, older than `after`."""

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
    """Why a redelivery or recovery cannot begin."""

    MISSING = "missing"
    DELETED = "deleted"  #: its endpoint is gone
    DISABLED = "disabled"  #: its endpoint is disabled
    UNDER_WAY = "under_way"  #: an attempt, or another recovery of the endpoint, is in progress


class DeliveryStore(Protocol):
    async def begin(self, ticket: Ticket) -> tuple[Delivery, bytes | None, Endpoint | None] | None:
        """Starts an attempt and its lease. Returns the delivery, which has no next attempt now, its event's
        bytes unless they are lost, and its endpoint if that still exists. None when the ticket is stale.
        Raises MediaStoreUnavailable: the event is archived, and cannot be read now."""

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
        """Records an attempt. `delivery`: as it is afterwards. `retry_in_ms`: None for no further attempt.
        `health_ok`: whether the attempt counts as a success for the circuit breaker; None: it does not
        count."""

    async def read(self, tenant: str, delivery_id: str) -> Delivery | None:
        """The delivery, if it is this tenant's. Raises MediaStoreUnavailable: its job is archived, and the
        earlier attempts cannot be read now."""

    async def page(self, query: DeliveryQuery) -> DeliveryPage:
        """A tenant's deliveries, newest first."""

    async def redeliver(
        self, delivery: Delivery, asked: str, audit: AuditEntry | None = None
    ) -> Delivery | Hindrance:
        """Begins a new round of attempts now. `asked`: a unique id of this request, so that it can be
        repeated when the answer was lost. `audit`: if an operator asks."""

    async def make(
        self,
        ticket: Ticket,
        event: Event | None,
        callback_url: str | None = None,
        told: Event | None = None,
    ) -> None:
        """Creates the event of a job's step and its deliveries, once, and finishes the ticket in the events
        lane. `event`: None if the job is gone; then only the ticket is finished. `callback_url`, `told`: as
        of `OweEvent`."""


class Written(StrEnum):
    """The outcome of a change to an endpoint."""

    WRITTEN = "written"
    CHANGED = "changed"  #: it was changed in the meantime; nothing was written
    MISSING = "missing"  #: it is gone


class EndpointStore(Protocol):
    async def create(self, endpoint: Endpoint, most: int) -> Endpoint | None:
        """Stores a new endpoint and returns it, or the one that was created with the same Idempotency-Key.
        None when the tenant has `most` already. LimitReached when its webhooks would take more bytes than the
        tenant may."""

    async def created_with(self, tenant: str, key_digest: str) -> Endpoint | None:
        """The endpoint that was created with this Idempotency-Key, if it still exists."""

    async def change(self, endpoint: Endpoint, before: Endpoint, *, heal: bool = False) -> Written:
        """Writes `endpoint` if the stored one still equals `before`. `heal`: resets its circuit breaker.
        LimitReached as for `create`, if it would get more webhooks than before."""

    async def read(self, tenant: str, endpoint_id: str) -> Endpoint | None:
        """The endpoint, if it is this tenant's."""

    async def of(self, tenant: str) -> list[Endpoint]:
        """All endpoints of a tenant."""

    async def delete(self, endpoint: Endpoint) -> None:
        """Removes it. Its pending deliveries become dead at their next attempt."""

    async def disable(self, endpoint: Endpoint, reason: str, at: int) -> None:
        """Disables it: its deliveries are held from now on."""
