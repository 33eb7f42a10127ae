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
    (`overdue_seconds`: how late the earliest of them is); `slots`: held now (`lease_overdue_seconds`: how
    long ago the earliest lease among them ran out)."""

    waiting: int
    oldest_seconds: float
    due: int
    overdue_seconds: float
    slots: int
    lease_overdue_seconds: float


@dataclass(frozen=True, slots=True)
class Gauges:
    """`counts`: {"job:queued": n, "delivery:pending": n, ...}; `tally`: {"name|label": n, ...};
    `sweep_age_seconds`: since the last sweep, or since the epoch when there was none."""

    counts: dict[str, int]
    tally: dict[str, int]
    roles: dict[Role, RoleGauges]
    sweep_age_seconds: float


class RedisGauges:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def read(self) -> Gauges:
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.time()
                pipe.hgetall(keys.COUNTS)
                pipe.hgetall(keys.TALLY)
                pipe.get(keys.SWEPT)
                for role in Role:
                    pipe.zcard(keys.waiting(role))
                    pipe.zrange(keys.waiting(role), 0, 0, withscores=True)
                    pipe.zcard(keys.due(role))
                    pipe.zrange(keys.due(role), 0, 0, withscores=True)
                    pipe.zcard(keys.slots(role))
                    pipe.zrange(keys.slots(role), 0, 0, withscores=True)
                replies = await pipe.execute()
        (seconds, microseconds), counts, tally, swept = replies[:4]
        now = (seconds + microseconds / 1e6) * 1000
        roles = {}
        for at, role in enumerate(Role):
            waiting, oldest, due, earliest, slots, lease = replies[4 + 6 * at : 10 + 6 * at]
            roles[role] = RoleGauges(
                waiting, _age(now, oldest), due, _age(now, earliest), slots, _age(now, lease)
            )
        return Gauges(_numbers(counts), _numbers(tally), roles, _age(now, [("", float(swept or 0))]))

    async def ping(self) -> None:
        """StoreUnavailable when Redis does not answer or does not take writes."""
        with store_errors():
            await self._redis.set(f"{keys.SWEEP}:probe", "1", ex=60)


def _age(now_ms: float, head: list[tuple[str, float]]) -> float:
    return max(0.0, now_ms - head[0][1]) / 1000 if head else 0.0


def _numbers(fields: dict[str, str]) -> dict[str, int]:
    return {name: int(value) for name, value in fields.items()}
