"""Finished jobs whose money is in suspense: nobody knows yet whether they were paid."""

from __future__ import annotations

from dataclasses import dataclass

from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.client import store_errors


@dataclass(frozen=True, slots=True)
class SuspendedJob:
    """`since`: ms. `amount`: in suspense, in micro-units."""

    job_id: str
    tenant: str
    since: int
    amount: int


class RedisSuspense:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def page(self, after: tuple[int, str] | None, limit: int) -> tuple[list[SuspendedJob], bool]:
        """Jobs, those that have been in suspense longest first; and whether more follow. `after`: (since in
        ms, id) of the last job of the previous page, which may be decided by now."""
        since, last = after or (0, "")
        with store_errors():
            same = await self._redis.zcount(keys.SUSPENSE, since, since) if after else 0
            found = await self._redis.zrangebyscore(
                keys.SUSPENSE, since, "+inf", start=0, num=limit + 1 + same, withscores=True
            )
            later = [(int(at), name) for name, at in found if (int(at), name) > (since, last)]
            async with self._redis.pipeline(transaction=False) as pipe:
                for _, name in later[:limit]:
                    pipe.hmget(keys.job(name), ["tenant", "suspense"])
                records = await pipe.execute() if later else []
        jobs = [
            SuspendedJob(name, tenant, at, int(amount or 0))
            for (at, name), (tenant, amount) in zip(later[:limit], records, strict=True)
            if tenant
        ]
        return jobs, len(later) > limit
