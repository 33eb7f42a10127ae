"""Client keys on Redis, with a short-lived cache, so that a request needs no round trip for its key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from redis.asyncio import Redis

from gateway.store import arguments, keys
from gateway.store.client import store_errors
from gateway.store.effects import AuditEntry
from gateway.store.exchange import Word
from gateway.store.script_runner import Scripts
from gateway.tenants import Key, Scope

#: How long a key is cached, in seconds. A key that ended may still work for this long.
REMEMBERED_SECONDS: Final = 2.5
_REMEMBERED_KEYS: Final = 10_000


class RedisKeyStore:
    def __init__(self, redis: Redis, scripts: Scripts, monotonic: Callable[[], float]) -> None:
        self._redis = redis
        self._scripts = scripts
        self._monotonic = monotonic
        self._remembered: dict[str, tuple[float, Key]] = {}
        self._used: dict[str, int] = {}

    async def add(self, key: Key, until: int | None = None, *, by: str) -> None:
        """Adds the key in one step that can be repeated. `until` (ms): when the key that it replaces expires.
        `by`: who adds it, for the audit."""
        fields: dict[str, object] = {
            "tenant": key.tenant,
            "scopes": " ".join(sorted(key.scopes)),
            "digest": key.digest,
            "name": key.name,
            "created_at": key.created_at,
            "expires_at": key.expires_at,
            "replaces": key.replaces,
        }
        order: dict[str, Any] = {
            "audit": _made(key, by).document(),
            "id": key.id,
            "tenant": key.tenant,
            "fields": [
                part for name, value in fields.items() if value is not None for part in (name, str(value))
            ],
        }
        names = [keys.client_key(key.id), keys.KEYS, keys.tenant_keys(key.tenant), keys.TENANTS]
        if key.replaces is not None and until is not None:
            names.append(keys.client_key(key.replaces))
            order["replaces"] = key.replaces
            order["replaced_until"] = str(until)  # a string, because a number could lose digits in Lua
        await self._scripts.run("add_key", names, [arguments.dump(order)])
        self._remembered.pop(key.replaces or "", None)

    async def find(self, key_id: str) -> Key | None:
        """The key with this id, also if revoked or expired; None if there is none. May be up to
        `REMEMBERED_SECONDS` old."""
        now = self._monotonic()
        at, key = self._remembered.get(key_id, (0.0, None))
        if key is not None and now - at < REMEMBERED_SECONDS:
            return key
        self._remembered.pop(key_id, None)
        with store_errors():
            fields = await self._redis.hgetall(keys.client_key(key_id))  # type: ignore[misc]
        if not fields:
            return None
        found = _key_from(key_id, fields)
        self._remember(found, now)
        return found

    async def fresh(self, key_ids: Sequence[str]) -> list[Key]:
        """Those of the keys that exist, as they are stored now, in one round trip."""
        now = self._monotonic()
        found = await self._read(key_ids)
        for key in found:
            self._remember(key, now)
        return found

    def _remember(self, key: Key, now: float) -> None:
        if len(self._remembered) >= _REMEMBERED_KEYS:
            self._remembered.clear()
        self._remembered[key.id] = (now, key)

    async def lookup(self, key_id: str) -> Key | None:
        """The key as it is stored now, past the cache."""
        self._remembered.pop(key_id, None)
        return await self.find(key_id)

    async def all(self) -> list[Key]:
        with store_errors():
            names: set[str] = await self._redis.smembers(keys.KEYS)  # type: ignore[misc]
        return await self._read(sorted(names))

    async def _read(self, names: Sequence[str]) -> list[Key]:
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.hgetall(keys.client_key(name))
                found: list[dict[str, str]] = await pipe.execute()
        return [_key_from(name, fields) for name, fields in zip(names, found, strict=True) if fields]

    async def of_tenant(self, tenant: str) -> list[Key]:
        """The tenant's keys, also revoked and expired ones, oldest first."""
        with store_errors():
            names: set[str] = await self._redis.smembers(keys.tenant_keys(tenant))  # type: ignore[misc]
        found = await self._read(sorted(names))
        return sorted(found, key=lambda key: (key.created_at, key.id))

    def note_use(self, key_id: str, now: int) -> None:
        """Remembers that the key was used at `now` (ms). `flush_uses` stores it, so that no request waits."""
        self._used[key_id] = now

    async def flush_uses(self) -> None:
        """Stores the uses since the last call."""
        used, self._used = self._used, {}
        if not used:
            return
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for key_id, at in used.items():
                    pipe.hset(keys.client_key(key_id), "last_used_at", str(at))
                await pipe.execute()

    async def revoke(self, key_id: str, at: int, *, by: str) -> bool:
        """Revokes the key. `by`: who does, for the audit. False when there is no such key."""
        audit = AuditEntry("key_revoked", by, {"key": key_id})
        args: list[Word] = [str(at), arguments.dump(audit.document())]
        revoked = await self._scripts.run("revoke_key", [keys.client_key(key_id)], args)
        self._remembered.pop(key_id, None)
        return bool(revoked >= 0)


def _made(key: Key, by: str) -> AuditEntry:
    fields = {
        "key": key.id,
        "tenant": key.tenant,
        "name": key.name,
        "scopes": " ".join(sorted(key.scopes)),
        "replaces": key.replaces or "",
    }
    return AuditEntry("key_made", by, fields)


def _key_from(key_id: str, fields: dict[str, str]) -> Key:
    def integer(field: str) -> int | None:
        return int(fields[field]) if field in fields else None

    return Key(
        id=key_id,
        tenant=fields["tenant"],
        scopes=frozenset(Scope(scope) for scope in fields["scopes"].split()),
        digest=fields["digest"],
        name=fields["name"],
        created_at=int(fields["created_at"]),
        revoked_at=integer("revoked_at"),
        expires_at=integer("expires_at"),
        replaces=fields.get("replaces"),
        last_used_at=integer("last_used_at"),
    )
