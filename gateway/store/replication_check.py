"""The servers of the store in words, and what could keep a failover from working: for `doctor`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from gateway.settings.types import Demand
from gateway.store.client import store_errors
from gateway.store.located import Locator, OwnerOfSlot, Place, Sentinels, written
from gateway.store.refusals import name_of
from gateway.store.replication import Lag, Replication

_FEWEST_SENTINELS: Final = 3


def summary(found: Replication) -> str:
    """How the store is found, its primary, and its replicas."""
    text = f"{found.mode}: primary {found.primary or 'at a place that is not known'}"
    if not found.replicas:
        return f"{text}, {'replicas unknown' if found.replicas is None else 'no replica'}"
    text += f", {found.replicas} replica{'s' if found.replicas > 1 else ''}"
    text += f" ({found.syncing} loading)" if found.syncing else ""
    return f"{text}; the furthest {_behind(found.furthest)}, the nearest {_behind(found.nearest)}"


def _behind(lag: Lag) -> str:
    figures = [f"{lag.bytes:,} bytes"] if lag.bytes is not None else []
    figures += [f"{lag.seconds} s"] if lag.seconds is not None else []
    return f"{' and '.join(figures)} behind" if figures else "unknown"


async def warnings(redis: Redis, locator: Locator, found: Replication) -> list[str]:
    """Sentences with "what; how to fix it". Asks every sentinel and node by itself. Raises
    StoreUnavailable."""
    said = await _of_server(redis, found)
    if isinstance(locator, Sentinels):
        said += await _of_sentinels(locator)
    elif isinstance(locator, OwnerOfSlot):
        said += await _of_nodes(locator)
    return said


def warnings_of_demand(demand: Demand, locator: Locator, found: Replication) -> list[str]:
    """Sentences about what the settings ask of replicas."""
    replicas = found.replicas or 0
    if demand.mode == "require" and replicas and not demand.replicated:
        return [
            "it has replicas, and a failover loses acknowledged writes; set GATEWAY_DURABILITY=replicated,"
            " unless nothing ever fails over to them"
        ]
    if demand.mode == "replicated" and isinstance(locator, Sentinels) and demand.acknowledgements < replicas:
        return [
            f"{demand.acknowledgements} of {replicas} replicas must acknowledge a write: a failover that an"
            " operator orders without COORDINATED may lose some; order it with COORDINATED (Valkey 9), or set"
            f" GATEWAY_REPLICAS_ACK={replicas}"
        ]
    return []


async def _of_server(redis: Redis, found: Replication) -> list[str]:
    """What is unknown, because it is forbidden, is not doubted."""
    said = []
    with store_errors():
        try:
            stats: Mapping[str, Any] = await redis.info("stats")
        except ResponseError:
            stats = {}
        try:
            settings: Mapping[str, str] = await redis.config_get("min-replicas-to-write")
        except ResponseError:
            settings = {}
    if evicted := stats.get("evicted_keys"):
        said.append(
            f"it evicted {evicted} keys since it started, so jobs may be missing; set maxmemory-policy"
            " noeviction, and see 'Redis lost writes' in docs/operations.md"
        )
    if found.replicas and settings.get("min-replicas-to-write") == "0":
        said.append(
            "min-replicas-to-write is 0, so a primary that is cut off from its replicas takes writes that a"
            " failover loses; set min-replicas-to-write 1 and min-replicas-max-lag 10"
        )
    return said


async def _of_sentinels(locator: Sentinels) -> list[str]:
    said = []
    if len(locator.sentinels) < _FEWEST_SENTINELS:
        said.append(
            f"GATEWAY_REDIS_URL names {len(locator.sentinels)} of the sentinels, so the primary is not found"
            " while those are away; run at least three and name them all"
        )
    named: dict[Place, list[str]] = {}
    answers = await asyncio.gather(*(_named_by(locator, place) for place in locator.sentinels))
    for place, answer in zip(locator.sentinels, answers, strict=True):
        if isinstance(answer, str):
            said.append(f"the sentinel {written(place)} {answer}")
        else:
            named.setdefault(answer, []).append(written(place))
    if len(named) > 1:
        each = ", ".join(f"{written(one)} by {' and '.join(by)}" for one, by in named.items())
        said.append(
            f"the sentinels name different primaries: {each}; wait for the end of a failover, or find out"
            " which of them is cut off"
        )
    return said


async def _named_by(locator: Sentinels, place: Place) -> Place | str:
    async with locator.asking(place) as sentinel:
        try:
            found = await locator.named_by(sentinel)
        except (RedisError, OSError) as error:
            return (
                f"does not answer ({name_of(error)}); start it, or correct its place, user or TLS in"
                " GATEWAY_REDIS_URL"
            )
    return found or f"does not know the name {locator.name}; let it monitor the primary under that name"


async def _of_nodes(locator: OwnerOfSlot) -> list[str]:
    """Each node tells only of its own slots that they are being moved."""
    places = tuple(locator.places())
    answers = await asyncio.gather(*(_moving_at(locator, place) for place in places))
    return [
        f"the node {written(place)} {answer}" for place, answer in zip(places, answers, strict=True) if answer
    ]


async def _moving_at(locator: OwnerOfSlot, place: Place) -> str | None:
    async with locator.asking(place) as node:
        try:
            nodes: Any = await node.execute_command("CLUSTER NODES")  # type: ignore[no-untyped-call]
        except ResponseError as error:
            return f"does not say whether our slot is being moved ({name_of(error)}); allow it cluster|nodes"
        except (RedisError, OSError) as error:
            return f"does not answer ({name_of(error)}); start it, or correct GATEWAY_REDIS_URL"
    migrations: Sequence[Mapping[str, str]] = [
        migration
        for one in nodes.values()
        if "myself" in one["flags"]
        for migration in one["migrations"]
        if int(migration["slot"]) == locator.slot
    ]
    if not migrations:
        return None
    return (
        f"is {migrations[0]['state']} slot {locator.slot}, which has all our keys: scripts may stop half way;"
        " stop workers and gateways until the slot has moved (docs/operations.md, script_cut_off)"
    )
