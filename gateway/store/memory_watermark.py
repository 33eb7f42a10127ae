"""Redis' memory use. Above the watermark no new job is accepted, so that accepted jobs can be finished."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.background import cancel_all
from gateway.errors import StoreFull
from gateway.telemetry.logs import Outage

_PAUSE_SECONDS: Final = 1.0
_HYSTERESIS: Final = 0.02
#: An older reading is ignored; if Redis is full by then, it refuses writes itself.
_STALE_SECONDS: Final = 10.0


class MemoryGauge:
    """`async with gauge:` reads INFO once a second; `check` uses the last reading.

    `watermark`: share of maxmemory. Intake closes above it and opens again two percentage points below.
    """

    def __init__(self, redis: Redis, watermark: float, monotonic: Callable[[], float]) -> None:
        self._redis = redis
        self._watermark = watermark
        self._monotonic = monotonic
        self._full = False
        self._ratio: float | None = None
        self._read_at = 0.0
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> MemoryGauge:
        self._reader = asyncio.create_task(self._keep_reading(), name="memory")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._reader is not None
        await cancel_all(self._reader)

    @property
    def ratio(self) -> float | None:
        """Used memory divided by maxmemory; None without a limit or a recent reading."""
        return self._ratio if self._monotonic() - self._read_at <= _STALE_SECONDS else None

    def check(self) -> None:
        """Raises StoreFull when no new job should be accepted."""
        ratio = self.ratio
        if self._full and ratio is not None:
            raise StoreFull(ratio)

    async def read(self) -> None:
        """Reads the memory now. Raises redis' errors."""
        self._ratio = ratio_of(await self._redis.info("memory"))
        self._read_at = self._monotonic()
        mark = self._watermark - _HYSTERESIS if self._full else self._watermark
        self._full = self._ratio is not None and self._ratio > mark

    async def _keep_reading(self) -> None:
        away = Outage("memory_unknown", "memory_known")
        full = Outage("intake_closed", "intake_open")
        while True:
            try:
                await self.read()
                away.recovered()
                if self._full:
                    full.failed(f"Redis' memory is {self._ratio:.0%} used")
                else:
                    full.recovered()
            except (RedisError, OSError) as error:
                away.failed(type(error).__name__)
            await asyncio.sleep(_PAUSE_SECONDS)


def ratio_of(info: dict[str, Any]) -> float | None:
    """The ratio from INFO's section `memory`, computed as Redis does before it refuses a write: buffers for
    the append-only file and for replicas do not count. None without a limit."""
    limit = int(info.get("maxmemory", 0))
    if not limit:
        return None
    used = int(info["used_memory"]) - int(info.get("mem_not_counted_for_evict", 0))
    return used / limit
