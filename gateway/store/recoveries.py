"""Recoveries on Redis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson
from redis.asyncio import Redis

from gateway.dispatch import PREFIX
from gateway.lifecycle import DeliveryState
from gateway.recoveries import Recovery, RecoveryState
from gateway.store import arguments, keys
from gateway.store.client import store_errors
from gateway.store.delivery_base import Hindrance
from gateway.store.effects import AuditEntry
from gateway.store.script_runner import Scripts

_RUNNING: Final = f"{PREFIX}recoveries"
#: How many recoveries of an endpoint are kept.
KEPT: Final = 20
_KEPT_OF_TENANT: Final = 1000


class Step(NamedTuple):
    """`more`: the next step may run at once; `over`: the recovery is finished; `moved`: deliveries in this
    step."""

    more: bool
    over: bool
    moved: int


class RedisRecoveries:
    """Every call may raise StoreUnavailable, and can be repeated. `rate`: deliveries per second that one
    endpoint gets pending again (0: no limit); `batch`: at most in one step; `most_waiting`: no step while
    this many deliveries of the endpoint wait."""

    def __init__(
        self,
        redis: Redis,
        scripts: Scripts,
        roles: arguments.Roles,
        retention_seconds: float,
        *,
        rate: float = 0,
        batch: int = 100,
        most_waiting: int = 200,
    ) -> None:
        self._redis = redis
        self._scripts = scripts
        self._roles = roles
        self._keep_ms = int(retention_seconds * 1000)
        self._batch = batch
        self._rate = rate
        self._most_waiting = most_waiting

    async def begin(self, recovery: Recovery, audit: AuditEntry | None = None) -> Recovery | Hindrance:
        """Stores the recovery and counts its deliveries. `advance` does the work. `audit`: if an operator
        begins it."""
        order: dict[str, Any] = {
            "name": recovery.id,
            "endpoint": recovery.endpoint_id,
            "fields": {
                "tenant": recovery.tenant,
                "endpoint": recovery.endpoint_id,
                "since": str(recovery.since),
                "until": str(recovery.until),
                "states": orjson.dumps(list(recovery.states)).decode(),
                "state": recovery.state,
                "created_at": str(recovery.created_at),
            },
            "states": list(recovery.states),
            "since": recovery.since,
            "until": recovery.until,
            "most": KEPT,
            "most_of_tenant": _KEPT_OF_TENANT,
        }
        if audit is not None:
            order["audit"] = audit.document()
        names = [_key(recovery.id), keys.endpoint(recovery.endpoint_id)]
        outcome, *found = await self._scripts.run("begin_recovery", names, [arguments.dump(order)])
        return recovery_from(recovery.id, arguments.pairs(found[0])) if found else Hindrance(outcome)

    async def read(self, tenant: str, recovery_id: str) -> Recovery | None:
        """The recovery, if it is this tenant's."""
        with store_errors():
            fields: dict[str, str] = await self._redis.hgetall(_key(recovery_id))  # type: ignore[misc]
        return recovery_from(recovery_id, fields) if fields and fields["tenant"] == tenant else None

    async def of(self, endpoint_id: str) -> list[Recovery]:
        """An endpoint's kept recoveries, newest first."""
        with store_errors():
            names: list[str] = await self._redis.zrevrange(
                f"{PREFIX}lane:{endpoint_id}:recoveries", 0, KEPT - 1
            )
            async with self._redis.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.hgetall(_key(name))
                found: list[dict[str, str]] = await pipe.execute()
        return [recovery_from(name, fields) for name, fields in zip(names, found, strict=True) if fields]

    async def running(self) -> list[str]:
        """The ids of the recoveries that are not finished."""
        with store_errors():
            names: list[str] = await self._redis.hvals(_RUNNING)  # type: ignore[misc]
        return sorted(names)

    async def advance(self, recovery_id: str) -> Step:
        """Makes the next batch pending again, unless too many deliveries of the endpoint wait."""
        order: dict[str, Any] = {
            "transition": arguments.new_round("", self._roles),
            "trigger": "recovery",
            "running": RecoveryState.RUNNING,
            "done": RecoveryState.DONE,
            "canceled": RecoveryState.CANCELED,
            "batch": self._batch,
            "rate": self._rate,
            "most_waiting": self._most_waiting,
            "keep_ms": self._keep_ms,
        }
        outcome, moved = await self._scripts.run("recover", [_key(recovery_id)], [arguments.dump(order)])
        return Step(outcome == "moved", outcome == "over", moved)


def _key(recovery_id: str) -> str:
    return f"{PREFIX}recovery:{recovery_id}"


def recovery_from(name: str, fields: Mapping[str, str]) -> Recovery:
    return Recovery(
        id=name,
        tenant=fields["tenant"],
        endpoint_id=fields["endpoint"],
        since=int(fields["since"]),
        until=int(fields["until"]),
        created_at=int(fields["created_at"]),
        states=tuple(DeliveryState(state) for state in orjson.loads(fields["states"])),
        state=RecoveryState(fields["state"]),
        total=int(fields["total"]),
        done=int(fields.get("done", 0)),
        finished_at=int(fields["finished_at"]) if "finished_at" in fields else None,
        reason=fields.get("reason") or None,
    )
