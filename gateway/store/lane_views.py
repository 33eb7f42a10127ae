"""The lanes of a role for operators: those with the longest waits, paused ones, and failing subscribers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from redis.asyncio import Redis

from gateway.dispatch import Role
from gateway.lifecycle import JobState
from gateway.store import keys
from gateway.store.client import store_errors

#: How many of the longest waiting tickets are read to find lanes, because there can be any number of lanes.
TICKETS_READ: Final = 1000


class LaneState(StrEnum):
    """Whether the work of a lane goes on now, and if not, why."""

    PAUSED = "paused"  #: by an operator, or by its circuit breaker
    STOPPED = "stopped"  #: an operator paused the whole service
    BLOCKED = "blocked"  #: the upstream refused or holds all accounts
    PROBING = "half-open"  #: one attempt at a time, until one succeeds
    FULL = "full"  #: it holds all slots that it may
    ACTIVE = "active"  #: it holds slots
    WAITING = "waiting"  #: it waits for its turn, or for a free slot
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class LaneRow:
    """`waiting`: tickets in the lane; `oldest_seconds`: the longest wait among the tickets that were read.
    `in_flight`: slots that it holds; `cap`: their limit (None: the role's). `weight`: its share of turns.
    `paused_until`: ms; inf: until it is resumed; None: not paused. `probing`: half-open, one attempt at a
    time until one succeeds."""

    lane: str
    waiting: int
    oldest_seconds: float
    in_flight: int
    cap: int | None
    weight: int
    paused_until: float | None
    probing: bool = False

    def state(self, slots: int, hindered: LaneState | None = None) -> LaneState:
        """`slots`: what a lane without a `cap` may hold. `hindered`: why nothing of its role is sent."""
        if self.paused_until is not None:
            return LaneState.PAUSED
        if self.waiting and hindered is not None:
            return hindered
        if self.probing:
            return LaneState.PROBING
        if self.waiting and self.in_flight >= (slots if self.cap is None else self.cap):
            return LaneState.FULL
        if self.in_flight:
            return LaneState.ACTIVE
        return LaneState.WAITING if self.waiting else LaneState.IDLE


@dataclass(frozen=True, slots=True)
class FailingSubscriber:
    """A subscriber whose last attempt failed. `tenant`, `url`: whose it is, and where to (an endpoint's URL
    without its query; the host of callback URLs); `error`: of the last attempt, in a few words; `seconds`:
    since the first failure after the last success; `open`: its circuit breaker paused it."""

    lane: str
    tenant: str
    url: str
    error: str
    seconds: float
    open: bool


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

    async def failing(self, limit: int) -> list[FailingSubscriber]:
        """At most `limit` subscribers, those that have failed longest first."""
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.time()
                pipe.zrange(keys.FAILING, 0, limit - 1, withscores=True)
                (seconds, microseconds), found = await pipe.execute()
            async with self._redis.pipeline(transaction=False) as pipe:
                for lane, _ in found:
                    pipe.hmget(keys.health(lane), ["tenant", "url", "error", "parks"])
                    pipe.hget(keys.endpoint(lane), "url")
                    pipe.zscore(keys.paused_lanes(Role.DELIVER), lane)
                    pipe.hexists(keys.pauses(Role.DELIVER), lane)
                flat = await pipe.execute()
        rows = []
        for at, (lane, since) in enumerate(found):
            (tenant, origin, error, parks), url, paused, by_operator = flat[4 * at : 4 * at + 4]
            if error is not None:  # else its failures were forgotten
                rows.append(
                    FailingSubscriber(
                        lane=lane,
                        tenant=tenant,
                        url=(url or origin).partition("?")[0],
                        error=error,
                        seconds=max(0.0, seconds + microseconds / 1e6 - since / 1000),
                        open=bool(parks) and paused is not None and not by_operator,
                    )
                )
        return rows

    async def _rows(
        self, role: Role, names: list[str], oldest: dict[str, float], paused: dict[str, float]
    ) -> list[LaneRow]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.zcard(keys.lane(role, name))
                pipe.hget(keys.in_flight(role), name)
                pipe.hget(keys.caps(role), name)
                pipe.hget(keys.weights(role), name)
                pipe.sismember(keys.probing(role), name)
            flat = await pipe.execute()
        return [
            LaneRow(
                lane=name,
                waiting=flat[5 * at],
                oldest_seconds=oldest.get(name, 0.0),
                in_flight=int(flat[5 * at + 1] or 0),
                cap=None if flat[5 * at + 2] is None else int(flat[5 * at + 2]),
                weight=int(flat[5 * at + 3] or 1),
                paused_until=paused.get(name),
                probing=bool(flat[5 * at + 4]),
            )
            for at, name in enumerate(names)
        ]


def finite_ms(until: float | None) -> int | None:
    """The time in ms, or None for infinite or None."""
    return int(until) if until is not None and math.isfinite(until) else None
