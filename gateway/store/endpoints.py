"""Endpoints on Redis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
from redis.asyncio import Redis

from gateway import events
from gateway.endpoints import Endpoint, Idempotency, PreviousSecret, SealedHeaders
from gateway.errors import LimitReached
from gateway.store import arguments, keys
from gateway.store.client import store_errors
from gateway.store.delivery_base import Written
from gateway.store.script_runner import Scripts

#: Bytes that an endpoint takes besides its fields: the record, its indexes, its lane and its recoveries.
_RECORD_BYTES: Final = 16_384
_HEAVY_RETRY_SECONDS: Final = 3600


class RedisEndpointStore:
    """`EndpointStore` on Redis. The tenant's index holds which events each endpoint wants; the scripts read
    it when they create deliveries. `bytes_max`: bytes that one tenant may take in Redis; None: no limit."""

    def __init__(self, redis: Redis, scripts: Scripts, bytes_max: int | None = None) -> None:
        self._redis = redis
        self._scripts = scripts
        self._bytes_max = bytes_max

    async def create(self, endpoint: Endpoint, most: int) -> Endpoint | None:
        outcome = await self._write(endpoint, {"most": most})
        if outcome == "replayed" and endpoint.idempotency is not None:
            earlier = await self.created_with(endpoint.tenant, endpoint.idempotency.key)
            return earlier or await self.create(endpoint, most)  # it was deleted in the meantime
        return endpoint if outcome == "written" else None

    async def created_with(self, tenant: str, key_digest: str) -> Endpoint | None:
        with store_errors():
            stored = keys.tenant_endpoint_keys(tenant)
            name: str | None = await self._redis.hget(stored, key_digest)  # type: ignore[misc]
        return await self.read(tenant, name) if name else None

    async def change(self, endpoint: Endpoint, before: Endpoint, *, heal: bool = False) -> Written:
        found = _fields(before)
        return Written(await self._write(endpoint, {"expect": found, "heal": heal}))

    async def disable(self, endpoint: Endpoint, reason: str, at: int) -> None:
        args: list[str | int] = [endpoint.id, reason, at, endpoint.url]
        await self._scripts.run("disable", [keys.endpoint(endpoint.id)], args)

    async def _write(self, endpoint: Endpoint, terms: dict[str, Any]) -> str:
        fields = _fields(endpoint)
        order: dict[str, Any] = {
            "name": endpoint.id,
            "tenant": endpoint.tenant,
            "steps": arguments.STEP_TYPES,
            "bytes": _RECORD_BYTES + sum(len(value.encode()) for value in fields.values()),
            "fields": {name: value for name, value in fields.items() if value},
            "unset": [name for name, value in fields.items() if not value],
            "wish": _wish(endpoint, disabled=endpoint.disabled_at is not None).decode(),
            "wanted": keys.tenant_wanted(endpoint.tenant),
            "idempotency_keys": keys.tenant_endpoint_keys(endpoint.tenant),
            **terms,
        }
        if endpoint.idempotency is not None:
            order["idempotency_key"] = endpoint.idempotency.key
        if endpoint.slots is not None:
            order["slots"] = endpoint.slots
        if self._bytes_max is not None:
            order["bytes_max"] = self._bytes_max
        names = [keys.endpoint(endpoint.id), keys.tenant_endpoints(endpoint.tenant)]
        outcome = str(await self._scripts.run("register", names, [arguments.dump(order)]))
        if outcome == "heavy":
            raise LimitReached(
                f"with this endpoint, the webhooks of this tenant's jobs would take more than its "
                f"{self._bytes_max} bytes; choose fewer events, delete an endpoint, or send this again when "
                "older jobs have expired",
                _HEAVY_RETRY_SECONDS,
                limit="stored_bytes",
            )
        return outcome

    async def read(self, tenant: str, endpoint_id: str) -> Endpoint | None:
        found = await self.find(endpoint_id)
        return found if found and found.tenant == tenant else None

    async def find(self, endpoint_id: str) -> Endpoint | None:
        """The endpoint, of any tenant."""
        with store_errors():
            fields = await self._redis.hgetall(keys.endpoint(endpoint_id))  # type: ignore[misc]
        return endpoint_from(fields) if fields else None

    async def of(self, tenant: str) -> list[Endpoint]:
        with store_errors():
            names = sorted(await self._redis.hkeys(keys.tenant_endpoints(tenant)))  # type: ignore[misc]
            async with self._redis.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.hgetall(keys.endpoint(name))
                found: list[dict[str, str]] = await pipe.execute()
        return [endpoint_from(fields) for fields in found if fields]

    async def delete(self, endpoint: Endpoint) -> None:
        names = [
            keys.endpoint(endpoint.id),
            keys.tenant_endpoints(endpoint.tenant),
            keys.tenant_wanted(endpoint.tenant),
            keys.tenant_endpoint_keys(endpoint.tenant),
        ]
        steps = arguments.dump(arguments.STEP_TYPES)
        await self._scripts.run("unregister", names, [endpoint.id, endpoint.tenant, steps])


def _wish(endpoint: Endpoint, *, disabled: bool) -> bytes:
    """The endpoint's entry in the index. A wildcard stays a wildcard, because it includes future types."""
    wanted = ["*"] if set(endpoint.events) & events.ALL else list(endpoint.wanted)
    return orjson.dumps({"events": wanted, "disabled": disabled})


def _fields(endpoint: Endpoint) -> dict[str, str]:
    """All fields of the record; "" for an absent one."""
    return {
        "id": endpoint.id,
        "tenant": endpoint.tenant,
        "url": endpoint.url,
        "events": orjson.dumps(list(endpoint.events)).decode(),
        "kid": endpoint.kid,
        "version": str(endpoint.version),
        "created_at": str(endpoint.created_at),
        "description": endpoint.description,
        "headers": orjson.dumps(endpoint.headers).decode() if endpoint.headers else "",
        "sealed_headers": _json_of(endpoint.sealed_headers),
        "idempotency": _json_of(endpoint.idempotency),
        "previous": orjson.dumps([_previous(one) for one in endpoint.previous]).decode()
        if endpoint.previous
        else "",
        "schedule": "" if endpoint.schedule is None else orjson.dumps(list(endpoint.schedule)).decode(),
        "slots": "" if endpoint.slots is None else str(endpoint.slots),
        "disabled_at": "" if endpoint.disabled_at is None else str(endpoint.disabled_at),
        "disabled_reason": endpoint.disabled_reason or "",
    }


def _json_of(part: SealedHeaders | Idempotency | None) -> str:
    return "" if part is None else orjson.dumps(part).decode()


def _previous(secret: PreviousSecret) -> dict[str, object]:
    return {"kid": secret.kid, "version": secret.version, "until": secret.until}


def endpoint_from(fields: Mapping[str, str]) -> Endpoint:
    disabled, slots = fields.get("disabled_at"), fields.get("slots")
    sealed, idempotency = fields.get("sealed_headers"), fields.get("idempotency")
    return Endpoint(
        id=fields["id"],
        tenant=fields["tenant"],
        url=fields["url"],
        events=tuple(orjson.loads(fields["events"])),
        kid=fields["kid"],
        created_at=int(fields["created_at"]),
        version=int(fields["version"]),
        description=fields.get("description", ""),
        headers=orjson.loads(fields.get("headers", "{}")),
        sealed_headers=SealedHeaders(**orjson.loads(sealed)) if sealed else None,
        schedule=tuple(orjson.loads(fields["schedule"])) if "schedule" in fields else None,
        slots=int(slots) if slots else None,
        previous=tuple(PreviousSecret(**one) for one in orjson.loads(fields.get("previous", "[]"))),
        disabled_at=int(disabled) if disabled else None,
        disabled_reason=fields.get("disabled_reason"),
        idempotency=Idempotency(**orjson.loads(idempotency)) if idempotency else None,
    )
