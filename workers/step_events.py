"""Events of the steps on a job's way, made when an endpoint wants them.

How a job ends is told by the very step that ends it. That it was queued, or submitted, is told a moment
later: the step itself leaves a ticket in the lane of events, and this makes the event of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway import events
from gateway.dispatch import Ticket
from gateway.events import EventType
from gateway.jobs import EVENT_PAYLOAD_CHARACTERS
from gateway.store.base import JobStore
from gateway.store.delivery_base import DeliveryStore


@dataclass(frozen=True, slots=True)
class StepEventCreator:
    jobs: JobStore
    deliveries: DeliveryStore

    async def create(self, ticket: Ticket) -> None:
        """`ticket.name`: `<job>:<type of the event>`."""
        name, _, kind = ticket.name.partition(":")
        job = await self.jobs.read(name)
        event = None
        if job is not None:
            long = (job.payload_characters or 0) > EVENT_PAYLOAD_CHARACTERS  # left out: not even fetched
            payload = " " * (EVENT_PAYLOAD_CHARACTERS + 1) if long else await self.jobs.payload(job)
            event = events.make_step(job, EventType(kind), payload)
        await self.deliveries.make(ticket, event)
