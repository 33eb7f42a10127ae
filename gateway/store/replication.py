"""How the store is found, where its primary is, and how far its replicas are behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from gateway.store.client import store_errors
from gateway.store.located import Locator, written

_ROLES: Final = {"master": "primary", "slave": "replica"}


@dataclass(frozen=True, slots=True)
class Lag:
    """`bytes`: of the primary's writes that the replica has not acknowledged. `seconds`: since it last
    acknowledged anything, which it does once a second. None if unknown."""

    bytes: int | None = None
    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Replication:
    """`mode`: of the locator. `primary`: `host:port`, as it was reached or as a replica names it. `role`: of
    the server that answered, "primary" or "replica". `replicas`: that are connected, of which `syncing` still
    load their copy. `furthest`, `nearest`: lags of the others. `replid`: names the history of writes, and
    changes at a failover. None if unknown: behind a Unix socket, where INFO is forbidden, or leaves it
    out."""

    mode: str
    primary: str | None = None
    role: str | None = None
    replicas: int | None = None
    syncing: int | None = None
    furthest: Lag = Lag()
    nearest: Lag = Lag()
    replid: str | None = None


async def read(redis: Redis, locator: Locator) -> Replication:
    """Raises StoreUnavailable."""
    with store_errors():
        async with redis.client() as client:  # one connection: what answers is where it leads
            try:
                info: Mapping[str, Any] = await client.info("replication")
            except NoPermissionError:
                info = {}
            reached = client.connection
    return _of(info, locator.mode, _written(getattr(reached, "host", None), getattr(reached, "port", None)))


def _of(info: Mapping[str, Any], mode: str, reached: str | None) -> Replication:
    role = _ROLES.get(info.get("role", ""))
    count, written = _number(info.get("connected_slaves")), _number(info.get("master_repl_offset"))
    listed = [info[f"slave{number}"] for number in range(count or 0) if f"slave{number}" in info]
    online = [one for one in listed if isinstance(one, Mapping) and one.get("state") == "online"]
    lags = sorted((_lag(one, written) for one in online), key=lambda lag: (lag.bytes or 0, lag.seconds or 0))
    return Replication(
        mode=mode,
        primary=_written(info.get("master_host"), info.get("master_port")) if role == "replica" else reached,
        role=role,
        replicas=count,
        syncing=len(listed) - len(online) if len(listed) == count else None,
        furthest=lags[-1] if lags else Lag(),
        nearest=lags[0] if lags else Lag(),
        replid=str(info["master_replid"]) if "master_replid" in info else None,
    )


def _lag(replica: Mapping[str, Any], written: int | None) -> Lag:
    acknowledged = _number(replica.get("offset"))
    missing = None if written is None or acknowledged is None else max(0, written - acknowledged)
    return Lag(missing, _number(replica.get("lag")))


def _number(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _written(host: Any, port: Any) -> str | None:
    if host is None or port is None:
        return None
    return written((str(host), int(port)))
