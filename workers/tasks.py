"""The functions that arq runs: unwrap the ticket, call the role."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from gateway.dispatch import Role, Ticket
from gateway.errors import StoreUnavailable
from workers.confirm import Confirmer
from workers.deliver import Messenger
from workers.submit import Submitter


async def submit(ctx: dict[str, Any], ticket: str, ring: int) -> None:
    submitter: Submitter = ctx["submitter"]
    await _run(submitter.submit, Ticket.parse(Role.SUBMIT, ticket, ring))


async def confirm(ctx: dict[str, Any], ticket: str, ring: int) -> None:
    confirmer: Confirmer = ctx["confirmer"]
    await _run(confirmer.confirm, Ticket.parse(Role.CONFIRM, ticket, ring))


async def deliver(ctx: dict[str, Any], ticket: str, ring: int) -> None:
    messenger: Messenger = ctx["messenger"]
    await _run(messenger.deliver, Ticket.parse(Role.DELIVER, ticket, ring))


FUNCTIONS = {Role.SUBMIT: submit, Role.CONFIRM: confirm, Role.DELIVER: deliver}


async def _run(work: Callable[[Ticket], Awaitable[None]], ticket: Ticket) -> None:
    """Redis being away is no failure of the work: its lease runs out, and the sweep rings for it again."""
    try:
        await work(ticket)
    except StoreUnavailable as error:
        structlog.get_logger().warning("work_left", role=ticket.role, ticket=ticket.name, reason=str(error))
