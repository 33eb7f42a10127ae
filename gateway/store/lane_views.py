"""The lanes of a role for operators: those with the longest waits, and paused ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis

from gateway.dispatch import Role
from gateway.lifecycle import JobState
from gateway.store import keys
from gateway.store.client import store_errors

#: How many of the longest waiting tickets are read to find lanes, because there can be any number of lanes.
TICKETS_READ: Final = 1000


@dataclass(frozen=True, slots=True)
class LaneRow:
    """`waiting`: tickets in the lane; `oldest_seconds`: the longest wait among the tickets that were read.
    `in_flight`: slots that it holds; `cap`: their limit (None: the role's). `weight`: its share of turns.
    `paused_until`: ms; inf: until it is resumed; None: not paused."""

    lane: str
    waiting: int
    oldest_seconds: float
    in_flight: int
    cap: int | None
    weight: int
    paused_until: float | None


class RedisLaneViews:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def lanes(self, role: Role, limit: int) -> list[LaneRow]:
        """At most `limit` lanes, those with the longest waits first, then paused ones."""
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.time()
                pipe.zrange(keys.waiting(role), 0, TICKETS_READ - 1, withscores=True)
                pipe.zrange(keys.paused_lanes(role), 0, limit - 1, withscores=True)
                (seconds, _), tickets, paused = await pipe.execute()
            oldest: dict[str, float] = {}
            for ticket, since in tickets:
                oldest.setdefault(ticket.partition("|")[0], max(0.0, seconds - since / 1000))
            names = list(dict.fromkeys([*oldest, *(lane for lane, _ in paused)]))[:limit]
            return await self._rows(role, names, oldest, dict(paused))

    async def named(self, role: Role, names: Sequence[str]) -> list[LaneRow]:
        """These lanes, in this order. `oldest_seconds` is not read: always 0."""
        with store_errors():
            until = await self._redis.zmscore(keys.paused_lanes(role), list(names)) if names else []
            paused = {
                name: float(score) for name, score in zip(names, until, strict=True) if score is not None
            }
            return await self._rows(role, list(names), {}, paused)

    async def counts(self, tenant: str) -> dict[str, int]:
        """{state: number of the tenant's stored jobs}."""
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for phase in JobState:
                    pipe.zcard(keys.tenant_jobs(tenant, phase))
                found: list[int] = await pipe.execute()
        return {phase.value: n for phase, n in zip(JobState, found, strict=True)}

    async def _rows(
        self, role: Role, names: list[str], oldest: dict[str, float], paused: dict[str, float]
    ) -> list[LaneRow]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.zcard(keys.lane(role, name))
                pipe.hget(keys.in_flight(role), name)
                pipe.hget(keys.caps(role), name)
                pipe.hget(keys.weights(role), name)
            flat = await pipe.execute()
        return [
            LaneRow(
                lane=name,
                waiting=flat[4 * at],
                oldest_seconds=oldest.get(name, 0.0),
                in_flight=int(flat[4 * at + 1] or 0),
                cap=None if flat[4 * at + 2] is None else int(flat[4 * at + 2]),
                weight=int(flat[4 * at + 3] or 1),
                paused_until=paused.get(name),
            )
            for at, name in enumerate(names)
        ]


def finite_ms(until: float | None) -> int | None:
    """The time in ms, or None for infinite or None."""
    return int(until) if until is not None and math.isfinite(until) else None
