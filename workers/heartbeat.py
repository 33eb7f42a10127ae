"""Says every few seconds that this process lives, what it does, and of which version it is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Sequence
from importlib.metadata import version

from gateway.dispatch import Role
from gateway.environment import Environment
from gateway.errors import StoreUnavailable
from gateway.store.workers import BEAT_SECONDS, RedisWorkers


class Heartbeat:
    """`running`: how many pieces of work are in hand."""

    def __init__(
        self,
        workers: RedisWorkers,
        roles: Sequence[Role],
        environment: Environment,
        running: Callable[[], int],
    ) -> None:
        self._workers = workers
        self._running = running
        self._id = environment.entropy(8).hex()
        self._fields: dict[str, str | int] = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "roles": " ".join(role.value for role in roles),
            "version": version("vidu-gateway"),
            "started_at": environment.now_ms(),
        }

    async def run(self) -> None:
        """For ever. Redis being away is told of by others."""
        while True:
            with contextlib.suppress(StoreUnavailable):
                await self._workers.beat(self._id, self._fields | {"running": self._running()})
            await asyncio.sleep(BEAT_SECONDS)

    async def end(self) -> None:
        """This process leaves in good order."""
        with contextlib.suppress(StoreUnavailable):
            await self._workers.leave(self._id)
