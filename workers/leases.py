"""Keeps a lease alive while its work is in progress."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from gateway.dispatch import Ticket
from gateway.errors import StoreUnavailable
from gateway.store.base import JobStore


@contextlib.asynccontextmanager
async def renewed(jobs: JobStore, ticket: Ticket, lease_seconds: float) -> AsyncIterator[None]:
    """Renews the ticket's lease while the block runs. If the lease is lost anyway, fencing stops the work."""
    over = asyncio.Event()

    async def renew() -> None:
        while not over.is_set():
            await asyncio.sleep(lease_seconds / 3)
            with contextlib.suppress(StoreUnavailable):
                await jobs.renew(ticket)

    renewing = asyncio.create_task(renew())
    try:
        yield
    finally:
        over.set()
        renewing.cancel()
        await asyncio.wait([renewing])
