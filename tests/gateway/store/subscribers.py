"""A subscriber's lane whose attempts a test judges, at times of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis

from gateway.dispatch import HealthLimits, Role
from gateway.endpoints import Endpoint
from gateway.events import EventType
from gateway.store import arguments, keys
from gateway.store.endpoints import RedisEndpointStore
from tests.gateway.store.conftest import ROLES
from tests.gateway.store.lane_scripts import DISPATCH, ENTER, JUDGE, LEAVE, Call, caller

LIMITS = HealthLimits()
START = 1_795_000_000_000 // LIMITS.bucket_ms * LIMITS.bucket_ms
DAY = 86_400_000
HOUR = 3_600_000


@dataclass(slots=True)
class Subscriber:
    """A lane whose attempts a test judges, at times of its own."""

    redis: Redis
    call: Call
    lane: str
    endpoint: str
    at: int = START
    limits: HealthLimits = field(default_factory=HealthLimits)
    tenant: str = "acme"

    async def result(self, ok: bool, many: int = 1, *, after: int = 0) -> None:
        self.at += after
        limits = arguments.dump(arguments.health_limits(self.limits))
        attempt = {"lane": self.lane, "endpoint": self.endpoint, "tenant": self.tenant, "ok": ok}
        attempt |= {"error": "HTTP 500", "url": "https://client.example.com"}
        for _ in range(many):
            await self.call(JUDGE, arguments.dump(attempt), limits, self.at)

    async def paused_for(self) -> int | None:
        until = await self.redis.zscore("{gw}:deliver:parked", self.lane)
        return None if until is None else int(until) - self.at

    async def tried(self, *, after: int) -> bool:
        """Whether a delivery is dispatched then."""
        self.at += after
        await self.call(ENTER, "deliver", f"{self.lane}|dlv_{self.at}", "new", self.at)
        limits = arguments.dump(arguments.limits_of(ROLES, Role.DELIVER))
        dispatched: int = await self.call(DISPATCH, limits, self.at)
        for ticket in await self.redis.hkeys("{gw}:deliver:holders"):  # type: ignore[misc]
            await self.call(LEAVE, "deliver", ticket)
        return dispatched > 0

    async def ops_events(self) -> list[dict[str, Any]]:
        return [fields for _, fields in await self.redis.xrange(keys.OPS_EVENTS)]

    async def kinds(self) -> list[str]:
        return [fields["kind"] for fields in await self.ops_events()]


async def registered(redis: Redis, endpoints: RedisEndpointStore) -> Subscriber:
    """One with an endpoint, `ep_1`."""
    made = Endpoint("ep_1", "acme", "https://a.example.com", (EventType.COMPLETED,), "k1", 1)
    await endpoints.create(made, 50)
    return Subscriber(redis, caller(redis), "ep_1", "ep_1")


def of_a_job(redis: Redis) -> Subscriber:
    """A job's own callback URL."""
    return Subscriber(redis, caller(redis), "url-0a", "")
