"""What ops watch: depths, ages, slots and counts, read from Redis in one round trip."""

from __future__ import annotations

from dataclasses import dataclass

from redis.asyncio import Redis

from gateway.dispatch import Role
from gateway.store import keys
from gateway.store.client import store_errors


@dataclass(frozen=True, slots=True)
class RoleGauges:
    """`waiting`: in lanes; `oldest_seconds`: the age of the longest there; `due`: to enter a lane later
    (`overdue_seconds`: how late the earliest of them is); `slots`: held now."""

    waiting: int
    oldest_seconds: float
    due: int
    overdue_seconds: float
    slots: int


@dataclass(frozen=True, slots=True)
class Gauges:
    """`counts`: {"job:queued": n, "delivery:pending": n, ...}; `tally`: {"name|label": n, ...}."""

    counts: dict[str, int]
    tally: dict[str, int]
    roles: dict[Role, RoleGauges]


class RedisGauges:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def read(self) -> Gauges:
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.time()
                pipe.hgetall(keys.COUNTS)
                pipe.hgetall(keys.TALLY)
                for role in Role:
                    pipe.zcard(keys.waiting(role))
                    pipe.zrange(keys.waiting(role), 0, 0, withscores=True)
                    pipe.zcard(keys.due(role))
                    pipe.zrange(keys.due(role), 0, 0, withscores=True)
                    pipe.zcard(keys.slots(role))
                replies = await pipe.execute()
        (seconds, microseconds), counts, tally = replies[:3]
        now = (seconds + microseconds / 1e6) * 1000
        roles = {}
        for at, role in enumerate(Role):
            waiting, oldest, due, earliest, slots = replies[3 + 5 * at : 8 + 5 * at]
            roles[role] = RoleGauges(waiting, _age(now, oldest), due, _age(now, earliest), slots)
        return Gauges(_numbers(counts), _numbers(tally), roles)

    async def ping(self) -> None:
        """StoreUnavailable when Redis does not answer or does not take writes."""
        with store_errors():
            await self._redis.set(f"{keys.SWEEP}:probe", "1", ex=60)


def _age(now_ms: float, head: list[tuple[str, float]]) -> float:
    return max(0.0, now_ms - head[0][1]) / 1000 if head else 0.0


def _numbers(fields: dict[str, str]) -> dict[str, int]:
    return {name: int(value) for name, value in fields.items()}
