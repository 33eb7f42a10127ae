"""Reports every few seconds that this process is alive, what it does, and its version."""

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
    """`running`: returns the number of pieces of work in progress."""

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
        """Runs for ever. Other tasks log when Redis is away."""
        while True:
            with contextlib.suppress(StoreUnavailable):
                await self._workers.beat(self._id, self._fields | {"running": self._running()})
            await asyncio.sleep(BEAT_SECONDS)

    async def end(self) -> None:
        """Reports that this process ends."""
        with contextlib.suppress(StoreUnavailable):
            await self._workers.leave(self._id)
