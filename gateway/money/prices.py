"""What a job will cost: prices are configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one submission of a job costs. `amount`: in micro-units. `upper_bound`: it may cost less, because
    the upstream chooses the duration. `priced`: since when the price is valid, such as 2026-12-01."""

    amount: int
    upper_bound: bool
    priced: str


@dataclass(frozen=True, slots=True)
class PriceBook:
    """All prices. An empty one knows none."""

    def estimate(
        self, dialect: str, model: str, params: Mapping[str, object], now_ms: int
    ) -> Estimate | None:
        """The estimate for these parameters, as the upstream gets them; None without a price for them."""
        return None
