"""Keeps a lease alive while its work is in progress."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AbstractAsyncContextManager

from gateway.dispatch import Ticket
from gateway.errors import StoreUnavailable
from gateway.store.base import JobStore


def renewed(jobs: JobStore, ticket: Ticket, lease_seconds: float) -> AbstractAsyncContextManager[None, None]:
    """Renews the ticket's lease while the block runs. If the lease is lost anyway, fencing stops the work."""
    return _Renewal(jobs, ticket, lease_seconds / 3)


class _Renewal:
    """Most blocks end before the first renewal is due, so there is no task before that."""

    def __init__(self, jobs: JobStore, ticket: Ticket, every_seconds: float) -> None:
        self._jobs, self._ticket, self._every_seconds = jobs, ticket, every_seconds
        self._over = False
        self._renewing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._every_seconds, self._begin)

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        self._timer.cancel()
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])

    def _begin(self) -> None:
        self._renewing = asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        while not self._over:
            with contextlib.suppress(StoreUnavailable):
                await self._jobs.renew(self._ticket)
            await asyncio.sleep(self._every_seconds)
