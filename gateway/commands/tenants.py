"""`vidu-gateway tenants`: what a tenant chose for its jobs."""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.errors import ConfigurationError
from gateway.lifecycle import OnUnknown
from gateway.store.tenant_settings import tenant_settings_at
from gateway.tenants import TENANT

#: Who changed it, among the operators' events.
_BY: Final = "command line"


def show(redis_url: str, tenant: str) -> OnUnknown | None:
    """None: what the service does. ConfigurationError for a tenant's name that cannot be one."""
    _check(tenant)

    async def run() -> OnUnknown | None:
        async with tenant_settings_at(redis_url) as settings:
            return await settings.on_unknown(tenant)

    return asyncio.run(run())


def change(redis_url: str, tenant: str, on_unknown: OnUnknown | None) -> None:
    """ConfigurationError for a tenant's name that cannot be one."""
    _check(tenant)

    async def run() -> None:
        async with tenant_settings_at(redis_url) as settings:
            await settings.change(tenant, on_unknown, _BY)

    asyncio.run(run())


def _check(tenant: str) -> None:
    if not TENANT.match(tenant):
        raise ConfigurationError(
            f"{tenant!r} is no name for a tenant: 1 to 32 of a-z, 0-9, _ and -, not beginning with _ or -"
        )
