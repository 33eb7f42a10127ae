"""`vidu-gateway keys`: create, list, change, rotate and revoke client keys. A key is shown once; its hash is
stored."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from gateway import variables
from gateway.delivery.secrets import tenant_secret
from gateway.environment import Environment
from gateway.errors import ConfigurationError, NotFound
from gateway.keyring import Keyring
from gateway.store.client import redis_at
from gateway.store.client_keys import RedisKeyStore
from gateway.store.script_runner import Scripts
from gateway.store.tenants import RedisTenants
from gateway.tenants import TENANT, Key, Scope, Tenant, mint

T = TypeVar("T")

#: The author of changes in the audit.
COMMAND_LINE: Final = "command line"
_TIMEOUT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class NewKey:
    """`signing_secret`: verifies webhooks to a job's callback_url."""

    key: str
    key_id: str
    tenant: str
    scopes: tuple[str, ...]
    signing_secret: str

    def __repr__(self) -> str:
        return f"NewKey(key_id={self.key_id!r}, tenant={self.tenant!r})"


def create(
    redis_url: str,
    keyring: Keyring,
    tenant: str,
    scopes: Sequence[Scope],
    name: str,
    expires_in_seconds: float | None = None,
) -> NewKey:
    """Create a key for a tenant. Raises ConfigurationError if the tenant's name is invalid."""
    check_tenant(tenant)
    environment = Environment()
    now = environment.now_ms()
    ends = None if expires_in_seconds is None else now + int(expires_in_seconds * 1000)
    key, text = mint(environment.entropy, now, tenant, scopes, name, expires_at=ends)
    _with_store(redis_url, lambda store: store.add(key, by=COMMAND_LINE))
    return _new(keyring, key, text)


def rotate(redis_url: str, keyring: Keyring, key_id: str, overlap_seconds: float) -> NewKey:
    """Create a key with the same scopes. The old key stays valid for the overlap. Raises NotFound."""
    environment = Environment()
    now = environment.now_ms()

    async def run(store: RedisKeyStore) -> NewKey:
        old = await store.lookup(key_id)
        if old is None:
            raise NotFound("key", key_id)
        key, text = mint(environment.entropy, now, old.tenant, old.scopes, old.name, replaces=old.id)
        until = now + int(overlap_seconds * 1000)
        await store.add(key, min(until, old.expires_at or until), by=COMMAND_LINE)
        return _new(keyring, key, text)

    return _with_store(redis_url, run)


def check_tenant(tenant: str) -> None:
    """Raises ConfigurationError if the tenant's name is invalid."""
    if not TENANT.match(tenant):
        raise ConfigurationError(
            f"{tenant!r} is not a valid tenant name: 1 to 32 of a-z, 0-9, _ and -, not starting with _ or -"
        )


def _new(keyring: Keyring, key: Key, text: str) -> NewKey:
    secret = tenant_secret(keyring, keyring.active_kid, key.tenant)
    return NewKey(text, key.id, key.tenant, tuple(sorted(key.scopes)), secret)


def all_keys(redis_url: str) -> list[Key]:
    """All keys, including revoked ones."""
    return _with_store(redis_url, lambda store: store.all())


def revoke(redis_url: str, key_id: str) -> None:
    """Revoke the key. All processes refuse it within a few seconds. Raises NotFound."""
    now = Environment().now_ms()
    if not _with_store(redis_url, lambda store: store.revoke(key_id, now, by=COMMAND_LINE)):
        raise NotFound("key", key_id)


def change(redis_url: str, key_id: str, changes: Mapping[str, object]) -> Tenant:
    """Change the budgets of a key; returns its tenant, which has them. Raises NotFound."""

    async def run() -> Tenant:
        async with redis_at(redis_url, _TIMEOUT_SECONDS, variables.acknowledgements()) as redis:
            scripts = Scripts(redis)
            key = await RedisKeyStore(redis, scripts, Environment().monotonic).lookup(key_id)
            if key is None:
                raise NotFound("key", key_id)
            return await RedisTenants(redis, scripts, {}).change(key.tenant, changes, COMMAND_LINE)

    return asyncio.run(run())


def _with_store(redis_url: str, call: Callable[[RedisKeyStore], Awaitable[T]]) -> T:
    async def run() -> T:
        async with redis_at(redis_url, _TIMEOUT_SECONDS, variables.acknowledgements()) as redis:
            return await call(RedisKeyStore(redis, Scripts(redis), Environment().monotonic))

    return asyncio.run(run())
