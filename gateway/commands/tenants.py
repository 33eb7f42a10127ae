"""`vidu-gateway tenants`: reads and changes tenants in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

from gateway import variables
from gateway.commands.keys import COMMAND_LINE, check_tenant
from gateway.store.tenants import RedisTenants, tenants_at
from gateway.tenants import Tenant

T = TypeVar("T")

_PAGE: Final = 500


def show(redis_url: str, tenant: str) -> Tenant:
    """The tenant. All functions with a tenant's name raise ConfigurationError if it is invalid."""
    check_tenant(tenant)
    return _run(redis_url, lambda tenants: tenants.read(tenant))


def change(redis_url: str, tenant: str, changes: Mapping[str, object]) -> Tenant:
    """Change the given settings; None resets one to the service's default."""
    check_tenant(tenant)
    return _run(redis_url, lambda tenants: tenants.change(tenant, changes, COMMAND_LINE))


def pause(redis_url: str, tenant: str, reason: str) -> Tenant:
    check_tenant(tenant)
    return _run(redis_url, lambda tenants: tenants.pause(tenant, reason, COMMAND_LINE))


def resume(redis_url: str, tenant: str) -> Tenant:
    check_tenant(tenant)
    return _run(redis_url, lambda tenants: tenants.resume(tenant, COMMAND_LINE))


def all_tenants(redis_url: str) -> list[Tenant]:
    """All tenants, ordered by name."""

    async def run(tenants: RedisTenants) -> list[Tenant]:
        found: list[Tenant] = []
        more = True
        while more:
            page, more = await tenants.page(found[-1].name if found else None, _PAGE)
            found += page
        return found

    return _run(redis_url, run)


def _run(redis_url: str, call: Callable[[RedisTenants], Awaitable[T]]) -> T:
    async def run() -> T:
        async with tenants_at(redis_url, variables.acknowledgements()) as tenants:
            return await call(tenants)

    return asyncio.run(run())
