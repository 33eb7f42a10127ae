"""Operators' actions, used by the API and by the pages."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

from gateway import cancellation
from gateway.dispatch import Role
from gateway.endpoints import Delivery
from gateway.jobs import Job
from gateway.resolution import Action, Resolver
from gateway.store.delivery_base import Hindrance
from gateway.web.api import deliveries
from gateway.web.state import State

_AT_ONCE: Final = 8


async def cancel(state: State, job: Job, by: str) -> Job:
    """Cancel the job. Raises Conflict or CannotCancel, as if its owner had canceled it."""
    resources = state.resources
    await resources.ops_log.note("job_canceled", job=job.id, tenant=job.tenant, by=by)
    return await cancellation.cancel(
        job,
        resources.jobs,
        resources.settlement,
        resources.environment,
        upstream_can=state.dialect.capabilities.cancel,
    )


async def resolve(state: State, job: Job, action: Action, task_id: str | None, by: str) -> Job:
    """Apply an operator's decision; returns the job. Conflict if its outcome is not unknown."""
    r = state.resources
    resolver = Resolver(r.jobs, r.settlement, r.ops_log, r.unknown_jobs, r.environment)
    return await resolver.resolve(job, action, task_id, by)


async def redeliver(state: State, delivery: Delivery, by: str) -> Delivery:
    """Redeliver the delivery; returns it, pending. Conflict if it cannot be redelivered."""
    found = await _redeliver(state, delivery)
    if isinstance(found, Hindrance):
        raise deliveries.hindrance_error(found, delivery)
    await state.resources.ops_log.note(
        "delivery_sent_again", delivery=delivery.id, tenant=delivery.tenant, by=by
    )
    return found


async def pause_subscriber(state: State, subscriber: str, seconds: int | None, reason: str, by: str) -> None:
    """Send nothing to the subscriber for `seconds`; None: until it is resumed."""
    await state.resources.lanes.pause(Role.DELIVER, subscriber, None if seconds is None else seconds * 1000)
    fields = {"subscriber": subscriber, "seconds": str(seconds or ""), "reason": reason}
    await state.resources.ops_log.note("subscriber_parked", **fields, by=by)


async def resume_subscribers(state: State, names: Sequence[str], by: str) -> None:
    """Send to the subscribers again immediately, with their circuit breakers closed."""
    for name in names:
        await state.resources.lanes.resume(Role.DELIVER, name)
    fields = {"number": str(len(names)), "subscriber": names[0] if len(names) == 1 else ""}
    await state.resources.ops_log.note("subscribers_resumed", **fields, by=by)


async def redeliver_all(state: State, wanted: Sequence[Delivery], by: str) -> Counter[str]:
    """Redeliver the deliveries. Counts those that are redelivered as `sent`, the others by reason."""
    done: Counter[str] = Counter()
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(delivery: Delivery) -> None:
        async with slots:
            found = await _redeliver(state, delivery)
        done[found.value if isinstance(found, Hindrance) else "sent"] += 1

    await asyncio.gather(*(one(delivery) for delivery in wanted))
    await state.resources.ops_log.note("deliveries_sent_again", number=str(done["sent"]), by=by)
    return done


async def _redeliver(state: State, delivery: Delivery) -> Delivery | Hindrance:
    return await state.resources.deliveries.redeliver(delivery, state.resources.environment.new_ulid())
