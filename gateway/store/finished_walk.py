"""Walks over the finished jobs in the order in which they became final, each job once.

`{gw}:finished` is the index. A walk remembers the time until which it has come, and the few jobs that it must
look at again: it never reads what it has handled, and needs nothing of what finishes a job.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Final, NamedTuple

from redis.asyncio import Redis

from gateway.store import arguments, keys
from gateway.store.client import store_errors
from gateway.store.script_runner import Scripts

_AGAIN_MS: Final = 600_000


class Stretch(NamedTuple):
    """What is due now. `until`: the walk has come so far when all of them are handled; None: no further.
    `more`: there may be more now."""

    jobs: list[str]
    until: int | None
    more: bool


class FinishedWalk:
    """`name`: of the walk. `after_ms`: jobs are due so long after they became final. Every call may raise
    StoreUnavailable, and can be repeated."""

    def __init__(self, redis: Redis, scripts: Scripts, name: str, after_ms: int) -> None:
        self._redis = redis
        self._scripts = scripts
        self._walk = keys.walk(name)
        self._later = keys.walk_later(name)
        self._after_ms = after_ms

    async def due(self, limit: int) -> Stretch:
        """About `limit` jobs that are due, and as many that are to be looked at again."""
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.time()
                pipe.get(self._walk)
                (seconds, microseconds), reached = await pipe.execute()
            now = seconds * 1000 + microseconds // 1000
            # Of the present millisecond more may come.
            before, start = now - max(1, self._after_ms), "-inf" if reached is None else f"({reached}"
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.zrangebyscore(self._later, "-inf", now, 0, limit)
                pipe.zrangebyscore(keys.FINISHED, start, before, 0, limit, withscores=True)
                later, found = await pipe.execute()
            until = int(found[-1][1]) if found else None
            names = [name for name, _ in found]
            if until is not None and len(found) == limit:  # jobs of one millisecond stay together
                names += await self._redis.zrangebyscore(keys.FINISHED, until, until)
        return Stretch(list(dict.fromkeys([*later, *names])), until, limit in (len(later), len(found)))

    async def lag_seconds(self) -> float:
        """How long ago the first job that the walk has not passed became due; 0 if none is due."""
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.time()
                pipe.get(self._walk)
                (seconds, microseconds), reached = await pipe.execute()
            start = "-inf" if reached is None else f"({reached}"
            found = await self._redis.zrangebyscore(keys.FINISHED, start, "+inf", 0, 1, withscores=True)
        due_ms = float(found[0][1]) + self._after_ms if found else inf
        now_ms: float = seconds * 1000 + microseconds / 1000
        return max(0.0, now_ms - due_ms) / 1000

    async def passed(self, stretch: Stretch, again: Sequence[str]) -> None:
        """The jobs of the stretch were handled, but for `again`: those are due again in ten minutes."""
        done = sorted(set(stretch.jobs) - set(again))
        until = "" if stretch.until is None else stretch.until
        args = [until, _AGAIN_MS, arguments.dump(done), arguments.dump(list(again))]
        await self._scripts.run("note_walk", [self._walk, self._later], args)
