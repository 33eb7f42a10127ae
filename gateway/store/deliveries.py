"""Deliveries and endpoints on Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from redis.asyncio import Redis

from gateway.dispatch import Role, Ticket
from gateway.endpoints import Delivery, Endpoint
from gateway.events import EventType
from gateway.lifecycle import DeliveryEvent, DeliveryState, delivery_moves
from gateway.store import keys, orders
from gateway.store.base import Answer, Outcome
from gateway.store.client import store_errors
from gateway.store.lua import Scripts


class RedisDeliveryStore:
    """`DeliveryStore` on Redis."""

    def __init__(self, redis: Redis, scripts: Scripts, roles: orders.Roles) -> None:
        self._redis = redis
        self._scripts = scripts
        self._roles = roles

    async def begin(self, ticket: Ticket) -> tuple[Delivery, bytes, Endpoint | None] | None:
        lease = self._roles[Role.DELIVER].lease_ms
        follow = ("event_id", "event:", "endpoint_id", "endpoint:")
        args: list[str | int] = [ticket.role, str(ticket), ticket.ring, lease, *follow]
        found = await self._scripts.run("begin", [keys.delivery(ticket.name)], args, effect="begin_delivery")
        if not found or not found[0]:
            return None
        delivery = delivery_from(ticket.name, orders.pairs(found[0]))
        endpoint = endpoint_from(orders.pairs(found[2])) if found[2] else None
        return delivery, orders.pairs(found[1])["body"].encode(), endpoint

    async def finish(
        self,
        ticket: Ticket,
        delivery: Delivery,
        event: DeliveryEvent,
        *,
        retry_in_ms: int | None,
        tally: Sequence[str],
    ) -> Answer:
        again = retry_in_ms is not None
        order: dict[str, Any] = {
            "kind": "delivery",
            "name": delivery.id,
            "event": event,
            "moves": {before.value: after.value for before, after in delivery_moves(event).items()},
            "final": {},
            "holder": [ticket.role, str(ticket), ticket.ring],
            "set": {"attempts": str(delivery.attempts), "log": orjson.dumps(delivery.log).decode()},
            "after": {"give_back": [ticket.role, str(ticket), retry_in_ms]} if again else {},
            "leave": [] if again else [[ticket.role, str(ticket)]],
            "tally": list(tally),
            "dispatch": orders.limits_of(self._roles, Role.DELIVER),
        }
        outcome, before, after, _ = await self._scripts.run(
            "transition", [keys.delivery(delivery.id)], [orders.dump(order), b""], effect=event
        )
        return Answer(Outcome(outcome), before, after)

    async def of_job(self, job_id: str) -> list[Delivery]:
        """What is and was owed for a job."""
        with store_errors():
            names: set[str] = await self._redis.smembers(keys.job_deliveries(job_id))  # type: ignore[misc]
            async with self._redis.pipeline(transaction=False) as pipe:
                for name in sorted(names):
                    pipe.hgetall(keys.delivery(name))
                found: list[dict[str, str]] = await pipe.execute()
        return [
            delivery_from(name, fields) for name, fields in zip(sorted(names), found, strict=True) if fields
        ]


class RedisEndpointStore:
    """`EndpointStore` on Redis. The tenant's index holds each endpoint's wishes, which the settling
    script reads to know who is owed what."""

    def __init__(self, redis: Redis, scripts: Scripts) -> None:
        self._redis = redis
        self._scripts = scripts

    async def create(self, endpoint: Endpoint) -> None:
        await self._write(endpoint)

    async def disable(self, endpoint: Endpoint, reason: str, at: int) -> None:
        wish = orjson.dumps({"events": list(endpoint.events), "disabled": True})
        names = [keys.endpoint(endpoint.id), keys.tenant_endpoints(endpoint.tenant)]
        await self._scripts.run("disable", names, [endpoint.id, reason, at, wish])

    async def _write(self, endpoint: Endpoint) -> None:
        fields: dict[str, str | int] = {
            "id": endpoint.id,
            "tenant": endpoint.tenant,
            "url": endpoint.url,
            "events": orjson.dumps(list(endpoint.events)).decode(),
            "kid": endpoint.kid,
            "version": endpoint.version,
            "created_at": endpoint.created_at,
            "description": endpoint.description,
        }
        wish = orjson.dumps({"events": list(endpoint.events), "disabled": False}).decode()
        with store_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hset(keys.endpoint(endpoint.id), mapping=fields)
                pipe.hset(keys.tenant_endpoints(endpoint.tenant), endpoint.id, wish)
                await pipe.execute()

    async def read(self, tenant: str, endpoint_id: str) -> Endpoint | None:
        with store_errors():
            fields = await self._redis.hgetall(keys.endpoint(endpoint_id))  # type: ignore[misc]
        return endpoint_from(fields) if fields and fields["tenant"] == tenant else None

    async def of(self, tenant: str) -> list[Endpoint]:
        with store_errors():
            names = sorted(await self._redis.hkeys(keys.tenant_endpoints(tenant)))  # type: ignore[misc]
            async with self._redis.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.hgetall(keys.endpoint(name))
                found: list[dict[str, str]] = await pipe.execute()
        return [endpoint_from(fields) for fields in found if fields]

    async def delete(self, endpoint: Endpoint) -> None:
        with store_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hdel(keys.tenant_endpoints(endpoint.tenant), endpoint.id)
                pipe.delete(keys.endpoint(endpoint.id))
                await pipe.execute()


def delivery_from(name: str, fields: Mapping[str, str]) -> Delivery:
    return Delivery(
        id=name,
        state=DeliveryState(fields["state"]),
        event_id=fields["event_id"],
        event_type=EventType(fields["event_type"]),
        tenant=fields["tenant"],
        job_id=fields["job_id"],
        lane=fields["lane"],
        created_at=int(fields["created_at"]),
        endpoint_id=fields.get("endpoint_id"),
        url=fields.get("url"),
        attempts=int(fields.get("attempts", 0)),
        log=orjson.loads(fields.get("log", "[]")),
    )


def endpoint_from(fields: Mapping[str, str]) -> Endpoint:
    disabled = fields.get("disabled_at")
    return Endpoint(
        id=fields["id"],
        tenant=fields["tenant"],
        url=fields["url"],
        events=tuple(EventType(kind) for kind in orjson.loads(fields["events"])),
        kid=fields["kid"],
        created_at=int(fields["created_at"]),
        version=int(fields["version"]),
        description=fields.get("description", ""),
        disabled_at=int(disabled) if disabled else None,
        disabled_reason=fields.get("disabled_reason"),
    )
