"""Tenants on Redis: the operators' settings for each, and whether it is paused."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final

from redis.asyncio import Redis

from gateway.dispatch import Role
from gateway.environment import Environment
from gateway.lifecycle import OnUnknown
from gateway.money.budgets import budgets_in
from gateway.store import arguments, keys
from gateway.store.client import redis_at, store_errors
from gateway.store.script_runner import Scripts
from gateway.telemetry.context import REQUEST
from gateway.tenants import Tenant

Network = IPv4Network | IPv6Network
REMEMBERED_SECONDS: Final = 5.0
_TIMEOUT_SECONDS: Final = 5.0
_MOST_KNOWN: Final = 10_000

#: Fields of a tenant's usage, and what they are called here.
_USAGE: Final = {
    "bytes": "stored",
    "media": "media",
    "uploads": "uploads",
    "upload_count": "upload_count",
    "results": "results",
}


class RedisTenants:
    """`roles`: limits, so that a change can dispatch work at once; if empty, the next tick dispatches it."""

    def __init__(self, redis: Redis, scripts: Scripts, roles: arguments.Roles) -> None:
        self._redis = redis
        self._scripts = scripts
        self._dispatch = arguments.dump(arguments.limits_of(roles, Role.SUBMIT) if roles else {})
        self._monotonic = Environment().monotonic
        self._known: dict[str, tuple[float, tuple[Network, ...]]] = {}

    async def read(self, tenant: str) -> Tenant:
        """The tenant. If nothing is stored for it, all its settings are None: the service's defaults."""
        [found] = await self._read([tenant])
        return found

    async def networks(self, tenant: str) -> tuple[Network, ...]:
        """The additional networks that its webhooks may go to; at most `REMEMBERED_SECONDS` old."""
        now = self._monotonic()
        at, found = self._known.get(tenant, (-REMEMBERED_SECONDS, ()))
        if now - at < REMEMBERED_SECONDS:
            return found
        text: str | None = await self._scripts.read("HGET", keys.tenant_settings(tenant), "networks")
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        found = tuple(map(ip_network, text.split(","))) if text else ()
        self._known[tenant] = now, found
        return found

    async def page(self, after: str | None, limit: int) -> tuple[list[Tenant], bool]:
        """Tenants after the name `after`, in the order of their names; and whether more follow."""
        first = f"({after}" if after else "-"
        with store_errors():
            names: list[str] = await self._redis.zrangebylex(keys.TENANTS, first, "+", 0, limit + 1)
        return await self._read(names[:limit]), len(names) > limit

    async def _read(self, names: Sequence[str]) -> list[Tenant]:
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.hgetall(keys.tenant_settings(name))
                    pipe.hmget(keys.tenant_usage(name), list(_USAGE))
                found = await pipe.execute()
        return [
            replace(tenant_from(name, fields), **_usage(used))
            for name, fields, used in zip(names, found[::2], found[1::2], strict=True)
        ]

    async def change(self, tenant: str, changes: Mapping[str, object], by: str) -> Tenant:
        """Changes only these settings; None: back to the service's default. Adds an audit entry with `by` in
        the same step."""
        wanted = {name: _text(value) for name, value in changes.items() if value is not None}
        gone = [name for name, value in changes.items() if value is None]
        await self._run({"tenant": tenant, "by": by, "set": wanted, "unset": gone})
        return await self.read(tenant)

    async def pause(self, tenant: str, reason: str, by: str) -> Tenant:
        """Sends none of its jobs to the upstream. Its jobs are still accepted, and wait."""
        await self._run({"tenant": tenant, "by": by, "set": {}, "unset": [], "pause": reason})
        return await self.read(tenant)

    async def resume(self, tenant: str, by: str) -> Tenant:
        await self._run({"tenant": tenant, "by": by, "set": {}, "unset": [], "pause": ""})
        return await self.read(tenant)

    async def _run(self, order: dict[str, Any]) -> None:
        order["request"] = REQUEST.get()
        places = [keys.tenant_settings(order["tenant"]), keys.TENANTS]
        await self._scripts.run("tenant", places, [arguments.dump(order), self._dispatch])


def _usage(used: Sequence[str | None]) -> dict[str, Any]:
    return {name: int(number or 0) for name, number in zip(_USAGE.values(), used, strict=True)}


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def tenant_from(name: str, fields: Mapping[str, str]) -> Tenant:
    def integer(field: str) -> int | None:
        return int(fields[field]) if field in fields else None

    budgets = budgets_in(fields)
    return Tenant(
        name=name,
        created_at=integer("created_at"),
        title=fields.get("title"),
        on_unknown=OnUnknown(fields["on_unknown"]) if "on_unknown" in fields else None,
        weight=integer("weight"),
        in_flight=integer("in_flight"),
        queue_max=integer("queue_max"),
        rate=float(fields["rate"]) if "rate" in fields else None,
        burst=integer("burst"),
        networks=tuple(fields["networks"].split(",")) if "networks" in fields else None,
        budgets=budgets.get(None, {}),
        key_budgets={key_id: own for key_id, own in budgets.items() if key_id is not None},
        paused_at=integer("paused_at"),
        paused_by=fields.get("paused_by"),
        paused_reason=fields.get("paused_reason"),
    )


@contextlib.asynccontextmanager
async def tenants_at(redis_url: str, acknowledgements: int = 0) -> AsyncIterator[RedisTenants]:
    """A store for a process that runs one command. `acknowledgements`: as of `connection_pool`."""
    async with redis_at(redis_url, _TIMEOUT_SECONDS, acknowledgements) as redis:
        yield RedisTenants(redis, Scripts(redis), {})
