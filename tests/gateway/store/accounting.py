"""Balances and a ledger, written as the scripts write them, for tests of those who read them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from redis.asyncio import Redis

from gateway.store import keys

_NUMBER = iter(range(1, 10**9))


def day_of(days_ago: int = 0) -> str:
    return date.fromordinal(datetime.now(UTC).date().toordinal() - days_ago).isoformat()


async def write_entry(
    redis: Redis, kind: str, amount: int, *, day: str | None = None, period: str | None = None, **fields: str
) -> str:
    """An entry of the ledger alone. `day`: when it is written. Returns its id."""
    day = day or day_of()
    at = int(datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp() * 1000)
    given = {"job": "job_1", "tenant": "acme", "key": "00000000000a", **fields}
    entry: dict[Any, Any] = {
        "kind": kind,
        **{name: given[name] for name in ("job", "tenant", "key")},
        "amount": str(amount),
        "period": period or day,
        "priced": "2026-12-01",
        "why": given.get("why", "accepted"),
        "taken": given.get("taken", "0"),
    }
    name: str = await redis.xadd(keys.ledger(day), entry, id=f"{at}-{next(_NUMBER)}")
    return name


async def add_balance(
    redis: Redis, tenant: str, day: str, *, key: str | None = "00000000000a", **amounts: int
) -> None:
    """Adds to the balances of the day, its month and the total, of the tenant and of the key."""
    await redis.zadd(keys.TENANTS, {tenant: 0})
    for period in (day, day[:7], "total"):
        for who in ("*", *([key] if key else [])):
            for field, amount in amounts.items():
                await redis.hincrby(keys.balance(tenant, period), f"{who}|{field}", amount)  # type: ignore[misc]


async def set_budgets(redis: Redis, tenant: str, budgets: Mapping[str, str]) -> None:
    await redis.zadd(keys.TENANTS, {tenant: 0})
    await redis.hset(keys.tenant_settings(tenant), mapping=dict(budgets))  # type: ignore[misc]
