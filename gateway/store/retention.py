"""Removes jobs whose retention has passed. It sweeps, because no important key has a time to live in
Redis."""

from __future__ import annotations

from typing import Any, Final

from redis.asyncio import Redis

from gateway.dispatch import PREFIX
from gateway.events import EventType, event_id
from gateway.lifecycle import FINAL, DeliveryState
from gateway.store import arguments, keys
from gateway.store.client import store_errors
from gateway.store.script_runner import Scripts

_LEAD: Final = f"{PREFIX}retention"
_AGAIN_MS: Final = 3_600_000


class RedisRetention:
    """`{gw}:finished` lists the final jobs by the time when they became final, in ms of Redis' clock. Every
    call may raise StoreUnavailable, and can be repeated."""

    def __init__(
        self, redis: Redis, scripts: Scripts, retention_seconds: float, audit_days: float = 365
    ) -> None:
        self._redis = redis
        self._scripts = scripts
        self._retention_ms = int(retention_seconds * 1000)
        self._audit_ms = int(audit_days * 86_400_000)

    async def lead(self, seconds: float) -> bool:
        """True for only one caller in this many seconds."""
        return bool(await self._scripts.run("acquire_leadership", [_LEAD], [int(seconds * 1000)]))

    async def expired(self, limit: int) -> list[str]:
        """Ids of jobs that have been final for longer than the retention, oldest first."""
        with store_errors():
            seconds, microseconds = await self._redis.time()
            before = seconds * 1000 + microseconds // 1000 - self._retention_ms
            found: list[str] = await self._redis.zrangebyscore(keys.FINISHED, "-inf", before, 0, limit)
        return found

    async def forget(self, job_id: str) -> bool:
        """Removes the job and everything that belongs to it. False when it must be kept longer, or is
        gone."""
        return await self._run(job_id, later=False) == 1

    async def trim_audit(self) -> None:
        """Removes audit entries that are older than the retention of the audit."""
        await self._scripts.run("trim_audit", [keys.AUDIT], [self._audit_ms])

    async def put_off(self, job_id: str) -> None:
        """Postpones the removal of the job by an hour."""
        await self._run(job_id, later=True)

    async def _run(self, job_id: str, *, later: bool) -> int:
        order: dict[str, Any] = {
            "name": job_id,
            "final": {state.value: True for state in FINAL},
            "pending": DeliveryState.PENDING,
            "retention_ms": self._retention_ms,
            "again_ms": _AGAIN_MS,
            "steps": arguments.STEP_TYPES,
            "events": [event_id(job_id, kind) for kind in EventType],
            "later": later,
        }
        answer: int = await self._scripts.run("forget", [keys.job(job_id)], [arguments.dump(order)])
        return answer
