"""Creates the events of a job's steps (queued, submitted) when an endpoint wants them.

The final event is created by the transition that finishes the job. The events of earlier steps are created a
moment later: the step puts a ticket into the events lane, and this worker creates the event from it.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway import events
from gateway.dispatch import Ticket
from gateway.events import EventType
from gateway.jobs import EVENT_PAYLOAD_CHARACTERS
from gateway.money.prices import CURRENCY
from gateway.store.base import JobStore
from gateway.store.delivery_base import DeliveryStore


@dataclass(frozen=True, slots=True)
class StepEventCreator:
    """`client_url`: the base URL of the gateway for clients. `currency`: of costs."""

    jobs: JobStore
    deliveries: DeliveryStore
    client_url: str = ""
    currency: str = CURRENCY

    async def create(self, ticket: Ticket) -> None:
        """`ticket.name`: `<job>:<type of the event>`."""
        name, _, kind = ticket.name.partition(":")
        job = await self.jobs.read(name)
        event = None
        if job is not None:
            long = (job.payload_characters or 0) > EVENT_PAYLOAD_CHARACTERS  # omitted: not fetched
            payload = " " * (EVENT_PAYLOAD_CHARACTERS + 1) if long else await self.jobs.payload(job)
            event = events.make_step(job, EventType(kind), payload, self.client_url, self.currency)
        await self.deliveries.make(ticket, event)
