"""Operators' actions, used by the API and by the pages. Each is one step together with its audit entry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from gateway import cancellation
from gateway.dispatch import Role
from gateway.endpoints import Delivery, Endpoint
from gateway.jobs import Job, rfc3339
from gateway.lifecycle import DeliveryState
from gateway.recoveries import Recovery
from gateway.resolution import Action, Resolver
from gateway.store.delivery_base import Hindrance
from gateway.store.effects import AuditEntry
from gateway.web.api import deliveries
from gateway.web.api.recoveries import hindrance_error
from gateway.web.state import State

_AT_ONCE: Final = 100  # deliveries or subscribers in one step, which holds up Redis for a few milliseconds
_HOUR_MS: Final = 3_600_000


async def cancel(state: State, job: Job, by: str) -> Job:
    """Cancel the job. Raises Conflict or CannotCancel, as if its owner had canceled it."""
    resources = state.resources
    entry = AuditEntry("job_canceled", by, {"job": job.id, "tenant": job.tenant})
    return await cancellation.cancel(
        job,
        resources.jobs,
        resources.settlement,
        resources.environment,
        upstream_can=state.dialect.capabilities.cancel,
        also=[entry],
    )


async def resolve(state: State, job: Job, action: Action, task_id: str | None, by: str) -> Job:
    """Apply an operator's decision; returns the job. Conflict if its outcome is not unknown."""
    r = state.resources
    return await Resolver(r.jobs, r.settlement, r.unknown_jobs, r.environment).resolve(
        job, action, task_id, by
    )


async def charge(state: State, job: Job, amount: int, reason: str, by: str) -> Job:
    """Decide what a finished job cost, in micro-units; returns the job. Conflict if nothing is in suspense
    for it."""
    await state.resources.charges.decide(job, amount, reason, by)
    return await state.resources.jobs.read(job.id) or job


async def redeliver(state: State, delivery: Delivery, by: str) -> Delivery:
    """Redeliver the delivery; returns it, pending. Conflict if it cannot be redelivered."""
    entry = AuditEntry("delivery_sent_again", by, {"delivery": delivery.id, "tenant": delivery.tenant})
    asked = state.resources.environment.new_ulid()
    found = await state.resources.deliveries.redeliver(delivery, asked, entry)
    if isinstance(found, Hindrance):
        raise deliveries.hindrance_error(found, delivery)
    return found


async def redeliver_all(state: State, wanted: Sequence[Delivery], by: str) -> Counter[str]:
    """Redeliver the deliveries, `_AT_ONCE` in a step. Counts those that are redelivered as `sent`, the others
    by reason."""
    done: Counter[str] = Counter()
    entry, asked = AuditEntry("deliveries_sent_again", by), state.resources.environment.new_ulid()
    for first in range(0, len(wanted), _AT_ONCE):
        batch = wanted[first : first + _AT_ONCE]
        found = await state.resources.deliveries.redeliver_all(batch, asked, entry)
        done.update("sent" if one is None else one.value for one in found)
    return done


async def recover(state: State, endpoint: Endpoint, hours: int, by: str) -> Recovery:
    """Redeliver the endpoint's dead and held deliveries of the last hours, after all its other deliveries.
    Conflict if that cannot begin."""
    resources = state.resources
    now = resources.environment.now_ms()
    recovery = Recovery(
        id=f"rec_{resources.environment.new_ulid()}",
        tenant=endpoint.tenant,
        endpoint_id=endpoint.id,
        since=now - hours * _HOUR_MS,
        until=now,
        created_at=now,
        states=(DeliveryState.DEAD, DeliveryState.HELD),
    )
    fields = {"endpoint": endpoint.id, "tenant": endpoint.tenant, "since": str(rfc3339(recovery.since))}
    begun = await resources.recoveries.begin(recovery, AuditEntry("recovery_begun", by, fields))
    if isinstance(begun, Hindrance):
        raise hindrance_error(begun, endpoint.id)
    return begun


async def pause_subscriber(state: State, subscriber: str, seconds: int | None, reason: str, by: str) -> None:
    """Send nothing to the subscriber for `seconds`; None: until it is resumed."""
    fields = {"subscriber": subscriber, "seconds": str(seconds or ""), "reason": reason}
    await state.resources.lanes.pause(
        Role.DELIVER,
        subscriber,
        None if seconds is None else seconds * 1000,
        reason=reason,
        asked=state.resources.environment.new_ulid(),
        audit=AuditEntry("subscriber_parked", by, fields),
    )


async def resume_subscribers(state: State, names: Sequence[str], by: str) -> None:
    """Send to the subscribers again immediately, `_AT_ONCE` in a step, with their circuit breakers closed."""
    fields = {"subscriber": names[0] if len(names) == 1 else ""}
    entry = AuditEntry("subscribers_resumed", by, fields)
    for first in range(0, len(names), _AT_ONCE):
        await state.resources.lanes.resume(Role.DELIVER, *names[first : first + _AT_ONCE], audit=entry)
