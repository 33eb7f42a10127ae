"""The base of all effects, and helpers for the documents that they send to Lua. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar

from gateway.dispatch import Role, Ticket
from gateway.endpoints import callback_lane
from gateway.events import Event
from gateway.jobs import Job
from gateway.lifecycle import DeliveryState
from gateway.store.job_fields import to_fields


@dataclass(frozen=True, slots=True)
class Subject:
    """The record that changes. `slot`: the ticket of its slot; `job`: the record, if it is a job."""

    slot: Ticket
    job: Job | None = None

    @property
    def known_job(self) -> Job:
        assert self.job is not None, "an effect for jobs only"
        return self.job


class Effect:
    """`name`: of the effect's function in Lua."""

    __slots__ = ()
    name: ClassVar[str]

    def document(self, of: Subject) -> Any:
        """The argument of the function in Lua."""
        raise NotImplementedError

    def roles(self, of: Subject) -> Collection[Role]:
        """The roles in which the effect may free slots or create work."""
        return ()


def owed(event: Event, callback_url: str | None = None, told: Event | None = None) -> dict[str, Any]:
    """The argument of `owe_event` in scripts/lib/records.lua. `told`: what the callback URL gets, if not the
    event itself."""
    lane = callback_lane(event.tenant, callback_url) if callback_url else None
    return given(
        id=event.id,
        type=event.type,
        job_id=event.job_id,
        tenant=event.tenant,
        at=event.created_at,
        pending=DeliveryState.PENDING,
        held=DeliveryState.HELD,
        trace=event.trace or "",
        callback_url=callback_url,
        callback_lane=lane,
        callback_event=told.id if told else None,
        callback_body=told.body.decode() if told else None,
    )


def texts(**values: object) -> dict[str, str]:
    """Fields as strings, because numbers could lose digits in Lua."""
    return {
        name: value.decode() if isinstance(value, bytes) else str(value)
        for name, value in to_fields(**values).items()
    }


def kind_of_video(job: Job) -> str:
    """The kind of the job's video, such as `720p:5`. Videos of one kind take about the same time."""
    peak = ":off_peak" if job.off_peak else ""
    return f"{job.params.get('resolution', '720p')}:{job.params.get('duration', 5)}{peak}"


def slot_of(ticket: Ticket) -> dict[str, Any]:
    return {"role": ticket.role, "ticket": str(ticket)}


def given(**values: Any) -> dict[str, Any]:
    """`values` without None, because cjson would decode null to a value that Lua treats as true."""
    return {name: value for name, value in values.items() if value is not None}
