"""Creates the events of a job's steps when an endpoint or the job's own callback URL wants them.

The final event is created by the transition that finishes the job. The events of earlier steps are created a
moment later: the step puts a ticket into the events lane, and this worker creates the event from it.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway import events
from gateway.dispatch import Ticket
from gateway.doors import DOORS
from gateway.doors.base import Link, no_link
from gateway.events import EventType
from gateway.jobs import EVENT_PAYLOAD_CHARACTERS
from gateway.money.prices import CURRENCY
from gateway.settlement import in_words_of_its_door
from gateway.store.base import JobStore
from gateway.store.delivery_base import DeliveryStore


@dataclass(frozen=True, slots=True)
class StepEventCreator:
    """`client_url`: the base URL of the gateway for clients. `link`: as of `Settlement`. `currency`: of
    costs."""

    jobs: JobStore
    deliveries: DeliveryStore
    client_url: str = ""
    link: Link = no_link
    currency: str = CURRENCY

    async def create(self, ticket: Ticket) -> None:
        """`ticket.name`: `<job>:<type of the event>`."""
        name, _, kind = ticket.name.partition(":")
        job = await self.jobs.read(name)
        if job is None:
            await self.deliveries.make(ticket, None)
            return
        long = (job.payload_characters or 0) > EVENT_PAYLOAD_CHARACTERS  # omitted: not fetched
        payload = " " * (EVENT_PAYLOAD_CHARACTERS + 1) if long else await self.jobs.payload(job)
        event = events.make_step(job, EventType(kind), payload, self.client_url, self.currency)
        callback_url = events.callback_url_for(job, event.type)
        if event.type is EventType.MIRRORED and job.door in DOORS:
            callback_url = None  # a door has no word for it
        told = in_words_of_its_door(events.as_of(job, event.type), event, payload, self.link)
        await self.deliveries.make(ticket, event, callback_url, told if callback_url else None)
