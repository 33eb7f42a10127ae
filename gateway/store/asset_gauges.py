"""The figures of the copies of results, for metrics and operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from redis.asyncio import Redis

from gateway.assets import AssetState
from gateway.store import keys
from gateway.store.client import store_errors


@dataclass(frozen=True, slots=True)
class AssetGauges:
    """The copies of results. `counts`: {state: number}; `stored_bytes`: of the stored ones;
    `pending_seconds`: since when the oldest of those to be copied waits; `dying`: how many addresses are soon
    taken to be dead, and are not copied."""

    counts: Mapping[str, int] = field(default_factory=dict)
    stored_bytes: int = 0
    pending_seconds: float = 0.0
    dying: int = 0


async def asset_gauges(
    redis: Redis, counts: Mapping[str, int], oldest: Sequence[tuple[str, float]], now: float, dying_ms: int
) -> AssetGauges:
    """`counts`: all of {gw}:counts; `oldest`: the head of the index of what is to be copied. `now` and
    `dying_ms`: ms. Asks Redis only while something is to be copied."""
    dying, waited = 0, 0.0
    if oldest:
        waited = max(0.0, now - oldest[0][1]) / 1000
        with store_errors():
            dying = await redis.zcount(keys.ASSETS_DYING, "-inf", now + dying_ms)
    by_state = {state.value: counts.get(f"asset:{state}", 0) for state in AssetState}
    return AssetGauges(by_state, counts.get("asset_bytes", 0), waited, dying)
