"""The worker processes that exist, by their heartbeats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson
from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.client import store_errors
from gateway.store.script_runner import Scripts

BEAT_SECONDS: Final = 1.0
#: A process without a heartbeat for this long does not count: it was killed, or hangs.
SILENT_MS: Final = 10_000
#: A process without a heartbeat for this long is forgotten, as in scripts/heartbeat.lua.
GONE_MS: Final = 60_000
_MOST: Final = 1000


class Beat(NamedTuple):
    """The answer to a heartbeat. `ended`: how many leases ended, of what nobody works on: the sweep has
    something to do. `leads`: whether the process does what all processes need once. `processes`: how many
    report, this one included."""

    ended: int
    leads: bool
    processes: int


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """`seen_ms_ago`: since its last heartbeat. `running`: pieces of work in progress, as of then."""

    id: str
    host: str
    pid: int
    roles: tuple[str, ...]
    version: str
    started_at: int
    running: int
    seen_ms_ago: int

    @property
    def silent(self) -> bool:
        """Whether it was killed or hangs, because it no longer reports."""
        return self.seen_ms_ago >= SILENT_MS


class RedisWorkers:
    def __init__(self, redis: Redis, scripts: Scripts) -> None:
        self._redis = redis
        self._scripts = scripts

    async def beat(self, worker: str, fields: Mapping[str, str | int], left: Sequence[str] = ()) -> Beat:
        """Records that the process is alive. `left`: names of arq jobs that it took and left undone."""
        flat = [part for field in fields.items() for part in field]
        return await self._beat(worker, left, *flat)

    async def leave(self, worker: str) -> Beat:
        """Records that the process ends. The leases of what it held end, and it leads no more."""
        return await self._beat(worker, ())

    async def _beat(self, worker: str, left: Sequence[str], *fields: str | int) -> Beat:
        args = [worker, orjson.dumps(list(left)), *fields]
        names = [keys.WORKERS, keys.SWEEP, keys.LEADER]
        ended, leads, processes = await self._scripts.run("heartbeat", names, args)
        return Beat(ended, bool(leads), processes)

    async def all(self) -> list[WorkerProcess]:
        """The processes with a heartbeat in the last minute, newest heartbeat first."""
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.time()
                pipe.zrevrange(keys.WORKERS, 0, _MOST - 1, withscores=True)
                (seconds, microseconds), names = await pipe.execute()
            async with self._redis.pipeline(transaction=False) as pipe:
                for name, _ in names:
                    pipe.hgetall(keys.worker(name))
                found: list[dict[str, str]] = await pipe.execute()
        now = seconds * 1000 + microseconds // 1000
        return [
            WorkerProcess(
                id=name,
                host=fields["host"],
                pid=int(fields["pid"]),
                roles=tuple(fields["roles"].split()),
                version=fields["version"],
                started_at=int(fields["started_at"]),
                running=int(fields["running"]),
                seen_ms_ago=max(0, now - int(at)),
            )
            for (name, at), fields in zip(names, found, strict=True)
            if fields and now - int(at) < GONE_MS  # only a heartbeat removes what is older
        ]
