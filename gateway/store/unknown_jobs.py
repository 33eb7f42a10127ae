"""Jobs whose outcome is unknown, on Redis: the list, and the owner of a task that an operator names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis

from gateway.lifecycle import OnUnknown
from gateway.store import keys
from gateway.store.client import store_errors

_NOBODY: Final = "-"  # as in scripts/lib/records.lua


@dataclass(frozen=True, slots=True)
class UnknownJob:
    """`since`: ms. `on_unknown`: the owner's choice for this job or for all its jobs. `evidence`: proof that
    the upstream accepted the job."""

    job_id: str
    tenant: str
    epoch: int
    since: int
    on_unknown: OnUnknown | None
    evidence: str | None


class RedisUnknownJobs:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def page(self, after: tuple[int, str] | None, limit: int) -> tuple[list[UnknownJob], bool]:
        """Jobs, those that have been unknown longest first; and whether more follow. `after`: (since in ms,
        id) of the last job of the previous page, which may be resolved by now."""
        since, last = after or (0, "")
        with store_errors():
            same = await self._redis.zcount(keys.UNKNOWNS, since, since) if after else 0
            found = await self._redis.zrangebyscore(
                keys.UNKNOWNS, since, "+inf", start=0, num=limit + 1 + same, withscores=True
            )
        later = [(int(at), name) for name, at in found if (int(at), name) > (since, last)]
        return await self._read(later[:limit]), len(later) > limit

    async def _read(self, found: list[tuple[int, str]]) -> list[UnknownJob]:
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for _, name in found:
                    pipe.hmget(keys.job(name), ["tenant", "epoch", "on_unknown", "evidence"])
                records = await pipe.execute()
            owners = sorted({tenant for tenant, *_ in records if tenant})
            async with self._redis.pipeline(transaction=False) as pipe:
                for tenant in owners:
                    pipe.hget(keys.tenant_settings(tenant), "on_unknown")
                chosen = dict(zip(owners, await pipe.execute(), strict=True))
        return [
            UnknownJob(name, tenant, int(epoch or 0), at, _policy(own or chosen[tenant]), evidence)
            for (at, name), (tenant, epoch, own, evidence) in zip(found, records, strict=True)
            if tenant
        ]

    async def owner_of(self, task_id: str) -> str | None:
        """The id of the job that owns the task; None also when callbacks of two jobs named it."""
        with store_errors():
            found: str | None = await self._redis.get(keys.task(task_id))
        return None if found == _NOBODY else found


def _policy(text: str | None) -> OnUnknown | None:
    return OnUnknown(text) if text else None
