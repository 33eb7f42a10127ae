"""Keeps how the service does, for the last hours: any number of processes may, each sample is kept once."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from gateway.errors import StoreUnavailable
from gateway.store.samples import SAMPLE_MS, RedisHistory


@dataclass(frozen=True, slots=True)
class Sampler:
    history: RedisHistory

    async def run(self) -> None:
        """For ever. Redis being away leaves a gap, and is told of by others."""
        while True:
            with contextlib.suppress(StoreUnavailable):
                await self.history.sample()
            await asyncio.sleep(SAMPLE_MS / 1000)
