"""What the scripts say of a job that waits or may not: its place, the rate that is left, a refusal. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from gateway.dispatch import RoleLimits
from gateway.errors import GatewayError, IdempotencyMismatch, LimitReached, RateLimited
from gateway.store.base import Allowance, Place

_FULL_RETRY_SECONDS: Final = 30
_HEAVY_RETRY_SECONDS: Final = 3600


def place_of(found: Sequence[str], submit: RoleLimits) -> Place | None:
    """From the answer of `place_of` in scripts/waiting.lua; None for a job that does not wait.

    Lanes take turns, in proportion to their weights: before this job's turn comes, each other lane has had
    about as many turns as its own, or has nothing left. That is an estimate; only `position` is exact.
    """
    if not found:
        return None
    rank, in_lane, weight, cap, waiting, others, pace, since, mean, still = found
    position = int(rank)
    elsewhere = max(0, int(waiting) - int(in_lane))
    ahead = position + min(elsewhere, math.ceil((position + 1) * int(others) / float(weight)))
    typical = float(mean) if mean else None
    one = _pace(pace, float(since), typical, submit.slots)
    if still or one is None:
        return Place(position, ahead, None)
    eta = max(0.0, (ahead + 1) * one - min(float(since), one))
    if typical is not None:  # its tenant may hold fewer slots than there are
        slots = int(cap) if cap else submit.lane_slots
        eta = max(eta, position * typical / slots)
    return Place(position, ahead, math.ceil(eta / 1000))


def _pace(learned: str, since: float, typical: float | None, slots: int) -> float | None:
    """Ms for one job. What was learned counts less the longer nothing has been sent."""
    if learned:
        return max(float(learned), since / 2)
    return None if typical is None else typical / slots


def allowance_of(found: Sequence[str | int]) -> Allowance | None:
    """From the answer of `meter` in scripts/accept.lua."""
    if not found:
        return None
    rate, burst, left, reset_ms, wait_ms = found
    window = max(1, math.ceil(float(burst) / float(rate)))
    quota = int(float(burst))
    reset, wait = math.ceil(int(reset_ms) / 1000), math.ceil(int(wait_ms) / 1000)
    return Allowance(quota, window, int(left), reset, wait)


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
