"""The figures of the copies of results, for metrics and operators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from redis.asyncio import Redis

from gateway.assets import AssetState
from gateway.store import keys
from gateway.store.client import store_errors


@dataclass(frozen=True, slots=True)
class AssetGauges:
    """The copies of results. `counts`: {state: number}; `stored_bytes`: of the stored ones;
    `pending_seconds`: since when the oldest of those to be copied waits; `dying`: how many addresses are soon
    taken to be dead, and are not copied, for no reason of their tenant or of the upstream."""

    counts: Mapping[str, int] = field(default_factory=dict)
    stored_bytes: int = 0
    pending_seconds: float = 0.0
    dying: int = 0


async def asset_gauges(redis: Redis, counts: Mapping[str, int], now: float, dying_ms: int) -> AssetGauges:
    """`counts`: all of {gw}:counts. `now`: ms; `dying_ms`: how long before it is taken to be dead an address
    counts as dying. Asks Redis only while something is to be copied."""
    by_state = {state.value: counts.get(f"asset:{state}", 0) for state in AssetState}
    dying, waited = 0, 0.0
    if by_state[AssetState.PENDING]:
        with store_errors():
            async with redis.pipeline(transaction=False) as pipe:
                pipe.zcount(keys.ASSETS_DYING, "-inf", now + dying_ms)
                pipe.zrange(keys.ASSETS_PENDING, 0, 0, withscores=True)
                dying, oldest = await pipe.execute()
        waited = max(0.0, now - oldest[0][1]) / 1000 if oldest else 0.0
    return AssetGauges(by_state, counts.get("asset_bytes", 0), waited, dying)
