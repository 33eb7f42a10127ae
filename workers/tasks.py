"""The functions that arq runs: unwrap the ticket, call the role."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from gateway.dispatch import Role, Ticket
from gateway.endpoints import EVENTS_LANES
from gateway.errors import MediaStoreUnavailable, StoreUnavailable
from gateway.store.base import JobStore
from workers.confirm import Confirmer
from workers.deliver import DeliveryWorker
from workers.mirror import Mirrorer
from workers.step_events import StepEventCreator
from workers.submit import Submitter


async def submit(ctx: dict[str, Any], ticket: str, number: int, begun: Any = None) -> None:
    submitter: Submitter = ctx["submitter"]
    await _run(ctx, submitter.submit, Ticket.parse(Role.SUBMIT, ticket, number, begun))


async def confirm(ctx: dict[str, Any], ticket: str, number: int, begun: Any = None) -> None:
    confirmer: Confirmer = ctx["confirmer"]
    await _run(ctx, confirmer.confirm, Ticket.parse(Role.CONFIRM, ticket, number, begun))


async def deliver(ctx: dict[str, Any], ticket: str, number: int, begun: Any = None) -> None:
    delivery_worker: DeliveryWorker = ctx["delivery_worker"]
    step_events: StepEventCreator = ctx["step_events"]
    found = Ticket.parse(Role.DELIVER, ticket, number, begun)
    await _run(
        ctx, step_events.create if found.lane.startswith(EVENTS_LANES) else delivery_worker.deliver, found
    )


async def mirror(ctx: dict[str, Any], ticket: str, number: int, begun: Any = None) -> None:
    mirrorer: Mirrorer = ctx["mirrorer"]
    await _run(ctx, mirrorer.copy, Ticket.parse(Role.MIRROR, ticket, number, begun))


_AFTER_FAULT_MS = 30_000
_MEDIA_AWAY_MS = 10_000

FUNCTIONS = {Role.SUBMIT: submit, Role.CONFIRM: confirm, Role.DELIVER: deliver, Role.MIRROR: mirror}


async def _run(ctx: dict[str, Any], work: Callable[[Ticket], Awaitable[None]], ticket: Ticket) -> None:
    """Runs the work of one ticket. A Redis failure is no fault: when Redis is back, the next heartbeat ends
    the lease, and the sweep dispatches the work again.

    A fault of ours must not hold a slot for ever: it is logged with its traceback, and the work is postponed.
    A submission is left to its lease: when that runs out, the sweep decides whether money may have been
    spent.
    """
    try:
        await work(ticket)
    except StoreUnavailable as error:
        _log(ticket).warning("work_left", reason=str(error))
        ctx["leave"](ticket)
    except MediaStoreUnavailable as error:  # only what is archived needs it: it waits, and nothing is lost
        _log(ticket).warning("work_postponed", reason=str(error))
        if ticket.role is not Role.SUBMIT:
            await _postpone(ctx, ticket, _MEDIA_AWAY_MS)
    except Exception:  # noqa: BLE001  # any fault of ours is logged, and the worker goes on
        _log(ticket).exception("work_failed")
        if ticket.role is not Role.SUBMIT:
            await _postpone(ctx, ticket, _AFTER_FAULT_MS)


async def _postpone(ctx: dict[str, Any], ticket: Ticket, in_ms: int) -> None:
    jobs: JobStore = ctx["jobs"]
    await jobs.postpone(ticket, in_ms, {})


def _log(ticket: Ticket) -> Any:
    return structlog.get_logger().bind(role=ticket.role.value, ticket=ticket.name)
