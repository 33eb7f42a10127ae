"""Removes jobs whose retention has passed. It sweeps, because no important key has a time to live in
Redis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from redis.asyncio import Redis

from gateway.assets import Variant
from gateway.dispatch import PREFIX
from gateway.events import EventType, event_id
from gateway.lifecycle import FINAL, DeliveryState
from gateway.store import arguments, keys
from gateway.store.client import store_errors
from gateway.store.finished_walk import FinishedWalk
from gateway.store.script_runner import Scripts

_LEAD: Final = f"{PREFIX}retention"
_AGAIN_MS: Final = 3_600_000
_FINAL: Final = {state.value: True for state in FINAL}


@dataclass(frozen=True, slots=True)
class Early:
    """What goes before its job. `verb`: removes it from one job. `walk`: over the jobs where it is due."""

    verb: Literal["forget_deliveries", "forget_claim"]
    walk: FinishedWalk
    after_ms: int


class RedisRetention:
    """`{gw}:finished` lists the final jobs by the time when they became final, in ms of Redis' clock.
    `deliveries_seconds`: how long their deliveries and events are kept, `claims_seconds`: their idempotency
    keys; None: as long as the job. Every call may raise StoreUnavailable, and can be repeated."""

    def __init__(
        self,
        redis: Redis,
        scripts: Scripts,
        retention_seconds: float,
        audit_days: float = 365,
        *,
        deliveries_seconds: float | None = None,
        claims_seconds: float | None = None,
    ) -> None:
        self._redis = redis
        self.early: list[Early] = []
        for verb, seconds in (("forget_deliveries", deliveries_seconds), ("forget_claim", claims_seconds)):
            if seconds is not None and seconds < retention_seconds:
                after_ms = int(seconds * 1000)
                walk = FinishedWalk(redis, scripts, verb.removeprefix("forget_"), after_ms)
                self.early.append(Early(verb, walk, after_ms))  # type: ignore[arg-type]
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

    async def forget_early(self, job_id: str, early: Early) -> bool:
        """Removes that part of the job. False when it must be kept longer."""
        order: dict[str, Any] = {
            "name": job_id,
            "after_ms": early.after_ms,
            "final": _FINAL,
            "pending": DeliveryState.PENDING,
            "variants": list(Variant),
            "steps": arguments.TICKET_TYPES,
            "events": [event_id(job_id, kind) for kind in EventType],
        }
        answer: int = await self._scripts.run(early.verb, [keys.job(job_id)], [arguments.dump(order)])
        return answer != 0

    async def trim_audit(self) -> None:
        """Removes audit entries that are older than the retention of the audit."""
        await self._scripts.run("trim_audit", [keys.AUDIT], [self._audit_ms])

    async def put_off(self, job_id: str) -> None:
        """Postpones the removal of the job by an hour."""
        await self._run(job_id, later=True)

    async def _run(self, job_id: str, *, later: bool) -> int:
        order: dict[str, Any] = {
            "name": job_id,
            "final": _FINAL,
            "pending": DeliveryState.PENDING,
            "retention_ms": self._retention_ms,
            "again_ms": _AGAIN_MS,
            "steps": arguments.TICKET_TYPES,
            "events": [event_id(job_id, kind) for kind in EventType],
            "later": later,
        }
        answer: int = await self._scripts.run("forget", [keys.job(job_id)], [arguments.dump(order)])
        return answer
