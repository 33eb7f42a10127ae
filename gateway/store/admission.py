"""What the scripts say of a job that waits, or may not: queue position, rate left, refusal. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import orjson

from gateway.dispatch import RoleLimits
from gateway.errors import GatewayError, IdempotencyMismatch, LimitReached, RateLimited
from gateway.store.base import Allowance, QueuePosition

_FULL_RETRY_SECONDS: Final = 30
_HEAVY_RETRY_SECONDS: Final = 3600


def queue_position_of(found: str, submit: RoleLimits) -> QueuePosition | None:
    """From the answer of `queue_position_of` in Lua; None for a job that does not wait.

    Lanes take turns, in proportion to their weights: before this job's turn comes, each other lane has had
    about as many turns as its own, or has nothing left. That is an estimate; only `position` is exact.
    """
    if not found:
        return None
    known = orjson.loads(found)
    position: int = known["rank"]
    elsewhere = max(0, known["waiting"] - known["in_lane"])
    ahead = position + min(elsewhere, math.ceil((position + 1) * known["lanes"] / known["weight"]))
    idle_ms, mean_ms = known["idle_ms"], known.get("mean_ms")
    one = _pace(known.get("pace_ms"), idle_ms, mean_ms, submit.slots)
    if known["stopped"] or one is None:
        return QueuePosition(position, ahead, None)
    eta = max(0.0, (ahead + 1) * one - min(idle_ms, one))
    if mean_ms is not None:  # its tenant may hold fewer slots than there are
        eta = max(eta, position * mean_ms / known.get("slots", submit.lane_slots))
    return QueuePosition(position, ahead, math.ceil(eta / 1000))


def _pace(learned_ms: float | None, idle_ms: float, mean_ms: float | None, slots: int) -> float | None:
    """Ms for one job. What was learned counts less the longer nothing has been sent."""
    if learned_ms is not None:
        return max(learned_ms, idle_ms / 2)
    return None if mean_ms is None else mean_ms / slots


def allowance_of(found: str) -> Allowance | None:
    """From the answer of `meter_rate` in scripts/accept.lua; None for a tenant without a rate."""
    if not found:
        return None
    known = orjson.loads(found)
    return Allowance(
        quota=int(known["burst"]),
        window_seconds=max(1, math.ceil(known["burst"] / known["rate"])),
        left=known["left"],
        reset_seconds=math.ceil(known["reset_ms"] / 1000),
        wait_seconds=math.ceil(known["wait_ms"] / 1000),
    )


def refusal_of(outcome: str, found: Sequence[Any], bytes_max: int | None) -> GatewayError:
    """What the answer of accept.lua means for the client."""
    match outcome:
        case "mismatch":
            return IdempotencyMismatch(found[0])
        case "limited":
            allowance = allowance_of(found[0])
            assert allowance is not None
            return RateLimited(
                f"this tenant may post {allowance.quota} jobs in {allowance.window_seconds} s; post the next "
                f"one in {allowance.wait_seconds} s",
                max(1, allowance.wait_seconds),
                allowance,
            )
        case "heavy":
            return LimitReached(
                f"this tenant's jobs take {found[0]} bytes of {bytes_max}; send a smaller payload, or post "
                "when older jobs are forgotten",
                _HEAVY_RETRY_SECONDS,
            )
        case _:
            return LimitReached(
                f"{found[0]} of this tenant's jobs wait already, of {found[1]} that may; post again when "
                "some are done",
                _FULL_RETRY_SECONDS,
            )
