"""Samples of the service's recent state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson
from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.client import store_errors
from gateway.store.histograms import timing_of
from gateway.store.script_runner import Scripts

SAMPLE_MS: Final = 15_000
KEPT_MS: Final = 21_600_000
_KEPT: Final = KEPT_MS // SAMPLE_MS
_NUMBERS: Final = (
    *("waiting", "oldest_ms", "in_flight", "owed", "accepted", "completed", "finished"),
    *("attempts", "delivered", "callbacks", "callback_lost"),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """`at`: ms. `waiting`: jobs, the longest for `oldest_ms`; `in_flight`: jobs at the upstream; `owed`:
    unfinished deliveries. Counted since the service first ran: `accepted`, `completed`, `finished` (jobs),
    `attempts`, `delivered` (webhooks), `callbacks`, `callback_lost` and `job_times` (durations of jobs,
    counts of `Timing`)."""

    at: int
    waiting: int
    oldest_ms: int
    in_flight: int
    owed: int
    accepted: int
    completed: int
    finished: int
    attempts: int
    delivered: int
    callbacks: int
    callback_lost: int
    job_times: tuple[int, ...] = ()


class RedisSamples:
    """A stream of samples. Every call may raise StoreUnavailable."""

    def __init__(self, redis: Redis, scripts: Scripts) -> None:
        self._redis = redis
        self._scripts = scripts

    async def sample(self) -> bool:
        """Records a sample now. False when the newest one is too young."""
        return bool(await self._scripts.run("record_sample", [keys.HISTORY], [SAMPLE_MS, _KEPT]))

    async def read(self, ms: int) -> list[Sample]:
        """The samples of the last `ms`, oldest first."""
        with store_errors():
            seconds, _ = await self._redis.time()
            found: Sequence[tuple[str, Mapping[str, str]]] = await self._redis.xrange(
                keys.HISTORY, seconds * 1000 - ms, "+", count=_KEPT
            )
        return [_sample(name, fields) for name, fields in found]


def _sample(name: str, fields: Mapping[str, str]) -> Sample:
    numbers = {field: int(float(fields.get(field, 0))) for field in _NUMBERS}
    times = timing_of(orjson.loads(fields.get("job_times", "{}"))).counts
    return Sample(at=int(name.partition("-")[0]), **numbers, job_times=times)
