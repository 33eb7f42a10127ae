"""Records samples of the service's state, in the process that leads. If several do it, each is kept once."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from gateway.errors import StoreUnavailable
from gateway.store.samples import SAMPLE_MS, RedisSamples


@dataclass(frozen=True, slots=True)
class Sampler:
    samples: RedisSamples

    async def run(self, leads: asyncio.Event) -> None:
        """Runs for ever, and works while `leads` is set. While Redis is away there is a gap; other tasks log
        that."""
        while True:
            await leads.wait()
            with contextlib.suppress(StoreUnavailable):
                await self.samples.sample()
            await asyncio.sleep(SAMPLE_MS / 1000)
