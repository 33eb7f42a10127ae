"""Records samples of the service's state. Any number of processes may do this: each sample is kept once."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from gateway.errors import StoreUnavailable
from gateway.store.samples import SAMPLE_MS, RedisSamples


@dataclass(frozen=True, slots=True)
class Sampler:
    samples: RedisSamples

    async def run(self) -> None:
        """Runs for ever. While Redis is away there is a gap; other tasks log that."""
        while True:
            with contextlib.suppress(StoreUnavailable):
                await self.samples.sample()
            await asyncio.sleep(SAMPLE_MS / 1000)
