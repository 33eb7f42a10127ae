"""What a tenant chose for its jobs, on Redis."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Final

from redis.asyncio import Redis

from gateway.lifecycle import OnUnknown
from gateway.store import keys, orders
from gateway.store.client import connection_pool, store_errors
from gateway.store.lua import Scripts

_TIMEOUT_SECONDS: Final = 5.0


class RedisTenantSettings:
    def __init__(self, redis: Redis, scripts: Scripts) -> None:
        self._redis = redis
        self._scripts = scripts

    async def on_unknown(self, tenant: str) -> OnUnknown | None:
        """What becomes of its jobs whose outcome stays unknown; None: what the service does."""
        with store_errors():
            chosen = await self._redis.hget(keys.tenant_settings(tenant), "on_unknown")  # type: ignore[misc]
        return OnUnknown(chosen) if chosen else None

    async def change(self, tenant: str, on_unknown: OnUnknown | None, by: str) -> None:
        """`by` is told to operators, in the same step."""
        chosen = on_unknown or ""
        told = ("tenant_changed", "tenant", tenant, "on_unknown", chosen, "by", by)
        await self._scripts.run(
            "tell", [keys.tenant_settings(tenant)], [orders.dump({"on_unknown": chosen}), *told]
        )


@contextlib.asynccontextmanager
async def tenant_settings_at(redis_url: str) -> AsyncIterator[RedisTenantSettings]:
    """For a process that lives for one command."""
    pool = connection_pool(redis_url, timeout_seconds=_TIMEOUT_SECONDS, retries=1, connections=2)
    redis = Redis(connection_pool=pool)
    try:
        yield RedisTenantSettings(redis, Scripts(redis))
    finally:
        await pool.disconnect()
