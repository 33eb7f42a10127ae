"""Proves that callbacks can reach us: regularly calls our own callback route by its public URL.

Without this proof, a missing callback would mean nothing: perhaps it could not have arrived.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final

from gateway.callbacks import tokens
from gateway.environment import Environment
from gateway.errors import StoreUnavailable
from gateway.keyring import Keyring
from gateway.store.base import JobStore
from gateway.telemetry.logs import Outage
from gateway.upstream.base import Upstream

_PROBES_A_GAP: Final = 3


@dataclass(frozen=True, slots=True)
class Prober:
    """`gap_seconds`: after this long without proof, callbacks count as unable to reach us."""

    jobs: JobStore
    upstream: Upstream
    keyring: Keyring
    environment: Environment
    public_url: str
    gap_seconds: float

    async def run(self) -> None:
        """Runs for ever. The gateway records each probe that arrives; this only logs when one does not."""
        outage = Outage("callback_path_shut", "callback_path_open", url=self.public_url)
        while True:
            if await self.probe():
                outage.recovered()
            else:
                outage.failed("our own callback route does not answer by the public URL")
            await asyncio.sleep(self.gap_seconds / _PROBES_A_GAP)

    async def probe(self) -> bool:
        with contextlib.suppress(StoreUnavailable):  # other tasks log it, and the next probe notes it
            await self.jobs.note_callback_probe()
        token = tokens.make_probe(self.keyring, int(self.environment.clock() // 60))
        return await self.upstream.probe(f"{self.public_url}/callbacks/probe/{token}")
