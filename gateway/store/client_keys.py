"""Client keys on Redis, with a short memory in front, so that a request costs no round trip for its key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.client import store_errors
from gateway.tenants import Key, Scope

#: How long a key is remembered, and so how long a revoked one may still work, in seconds.
REMEMBERED_SECONDS: Final = 5.0
_REMEMBERED_KEYS: Final = 10_000


class RedisKeyStore:
    def __init__(self, redis: Redis, monotonic: Callable[[], float]) -> None:
        self._redis = redis
        self._monotonic = monotonic
        self._remembered: dict[str, tuple[float, Key]] = {}

    async def add(self, key: Key) -> None:
        fields: dict[str, str | int] = {
            "tenant": key.tenant,
            "scopes": " ".join(sorted(key.scopes)),
            "digest": key.digest,
            "name": key.name,
            "created_at": key.created_at,
        }
        with store_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hset(keys.client_key(key.id), mapping=fields)
                pipe.sadd(keys.KEYS, key.id)
                await pipe.execute()

    async def find(self, key_id: str) -> Key | None:
        """The key with this id; one that was revoked says so for itself."""
        now = self._monotonic()
        at, key = self._remembered.get(key_id, (0.0, None))
        if key is not None and now - at < REMEMBERED_SECONDS:
            return key
        self._remembered.pop(key_id, None)
        with store_errors():
            fields = await self._redis.hgetall(keys.client_key(key_id))  # type: ignore[misc]
        if not fields:
            return None
        if len(self._remembered) >= _REMEMBERED_KEYS:
            self._remembered.clear()
        found = _key_from(key_id, fields)
        self._remembered[key_id] = (now, found)
        return found

    async def all(self) -> list[Key]:
        with store_errors():
            names = sorted(await self._redis.smembers(keys.KEYS))  # type: ignore[misc]
            async with self._redis.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.hgetall(keys.client_key(name))
                found: list[dict[str, str]] = await pipe.execute()
        return [_key_from(name, fields) for name, fields in zip(names, found, strict=True) if fields]

    async def revoke(self, key_id: str, at: int) -> bool:
        """False when there is no such key."""
        with store_errors():
            if not await self._redis.exists(keys.client_key(key_id)):
                return False
            await self._redis.hsetnx(keys.client_key(key_id), "revoked_at", str(at))  # type: ignore[misc]
        self._remembered.pop(key_id, None)
        return True


def _key_from(key_id: str, fields: dict[str, str]) -> Key:
    revoked = fields.get("revoked_at")
    return Key(
        id=key_id,
        tenant=fields["tenant"],
        scopes=frozenset(Scope(scope) for scope in fields["scopes"].split()),
        digest=fields["digest"],
        name=fields["name"],
        created_at=int(fields["created_at"]),
        revoked_at=int(revoked) if revoked else None,
    )
