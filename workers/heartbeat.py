"""Reports every second or two that this process is alive, what it does, and its version.

What a dead process held is taken back by the heartbeats of the others, and what this process left undone by
its own. Then the sweep has work.

The answer says whether this process leads. One process does what all need once, and the others only report:
the dispatch of what becomes due, the sweep, the steps of recoveries, the samples.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Final

from gateway.dispatch import Role, Ticket
from gateway.environment import Environment
from gateway.errors import StoreUnavailable
from gateway.store.workers import BEAT_SECONDS, RedisWorkers

#: A process that holds no work and does not lead reports less often the more there are, up to this: less than
#: the silence after which it counts as dead (heartbeat.lua).
IDLE_BEAT_SECONDS: Final = 2.5
_IDLE_BEATS_A_SECOND: Final = 8  # of all processes together
_AGAIN_SECONDS: Final = 0.2  # while Redis is away: nobody is judged before all could report again


class Heartbeat:
    """`running`: returns the number of pieces of work in progress. `wake`: called when the sweep has work, or
    the process begins to lead. `known`: set once Redis knows of the process; before, it must take no work.
    `leads`: set while the process leads."""

    def __init__(
        self,
        workers: RedisWorkers,
        roles: Sequence[Role],
        environment: Environment,
        running: Callable[[], int],
        wake: Callable[[], object] = lambda: None,
    ) -> None:
        self._workers = workers
        self._running = running
        self._wake = wake
        self._left: list[str] = []
        self._busy = asyncio.Event()
        self.known = asyncio.Event()
        self.leads = asyncio.Event()
        self.id = environment.entropy(8).hex()
        self._fields: dict[str, str | int] = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "roles": " ".join(role.value for role in roles),
            "version": version("vidu-gateway"),
            "started_at": environment.now_ms(),
        }

    def leave(self, ticket: Ticket) -> None:
        """The work of the ticket was left undone, because Redis was away: it need not wait for its lease."""
        self._left.append(ticket.arq_name)
        self._busy.set()

    def took_work(self) -> None:
        """The process holds work from now on, so it reports every second."""
        self._busy.set()

    async def run(self) -> None:
        """Runs for ever. Other tasks log when Redis is away."""
        while True:
            left = list(self._left)
            self._busy.clear()
            try:
                beat = await self._workers.beat(self.id, self._fields | {"running": self._running()}, left)
            except StoreUnavailable:
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            self.known.set()
            del self._left[: len(left)]
            begins = beat.leads and not self.leads.is_set()
            if beat.leads:
                self.leads.set()
            else:
                self.leads.clear()
            if beat.ended or begins:
                self._wake()
            await asyncio.sleep(BEAT_SECONDS)
            if not beat.leads and not self._running():
                await self._rest(beat.processes)

    async def _rest(self, processes: int) -> None:
        """Waits longer, until there is work."""
        seconds = min(processes / _IDLE_BEATS_A_SECOND, IDLE_BEAT_SECONDS) - BEAT_SECONDS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._busy.wait()

    async def end(self) -> None:
        """Reports that this process ends."""
        with contextlib.suppress(StoreUnavailable):
            await self._workers.leave(self.id)
