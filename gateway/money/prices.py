"""What a job will cost: prices are configuration, and a job without a price has no estimate."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import orjson

from gateway.money.amounts import to_text
from gateway.money.budgets import Period, period_names

#: The currency unless the settings name another.
CURRENCY: Final = "USD"
#: What the published parameters mean when they are left out; the longest video, in seconds.
DURATION: Final = 5
MAX_DURATION: Final = 10
RESOLUTION: Final = "720p"
_MAX_LINES: Final = 50


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one submission of a job costs. `amount`: in micro-units. `upper_bound`: it may cost less, because
    the upstream chooses the duration. `priced`: since when the price is valid, such as 2026-12-01."""

    amount: int
    upper_bound: bool
    priced: str


class Use(NamedTuple):
    """What a price is for. `dialect`: of the upstream. `with_clips`: whether clips are among the
    references."""

    dialect: str
    model: str
    resolution: str
    with_clips: bool
    off_peak: bool


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one use, in micro-units. `valid_from`: 00:00 UTC of that day, until a newer price of the
    same use. `surcharges`: by the name of the parameter that costs more when it is true."""

    use: Use
    valid_from: str
    first_second: int
    second_second: int
    further_second: int
    surcharges: Mapping[str, int] = field(default_factory=dict)

    def of(self, seconds: int, params: Mapping[str, object]) -> int:
        tiers = self.first_second + (self.second_second if seconds > 1 else 0)
        further = max(0, seconds - 2) * self.further_second
        return tiers + further + sum(more for name, more in self.surcharges.items() if params.get(name))

    def document(self) -> dict[str, Any]:
        """As in a price file: amounts are decimal strings."""
        return {
            **self.use._asdict(),
            "valid_from": self.valid_from,
            "first_second": to_text(self.first_second),
            "second_second": to_text(self.second_second),
            "further_second": to_text(self.further_second),
            "surcharges": {name: to_text(more) for name, more in sorted(self.surcharges.items())},
        }


@dataclass(frozen=True, slots=True)
class PriceBook:
    """All prices. An empty one knows none."""

    prices: tuple[Price, ...] = ()
    currency: str = CURRENCY
    _of_use: dict[Use, list[Price]] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Each use's prices, the newest first."""
        for price in sorted(self.prices, key=lambda price: price.valid_from, reverse=True):
            self._of_use.setdefault(price.use, []).append(price)

    def estimate(
        self, dialect: str, model: str, params: Mapping[str, object], now_ms: int
    ) -> Estimate | None:
        """The estimate for these parameters, as the upstream gets them; None without a price for them."""
        resolution, duration = params.get("resolution", RESOLUTION), params.get("duration", DURATION)
        assert isinstance(resolution, str)
        assert isinstance(duration, int)
        use = Use(dialect, model, resolution, bool(params.get("videos")), bool(params.get("off_peak")))
        today = period_names(now_ms)[Period.DAY]
        for price in self._of_use.get(use, ()):
            if price.valid_from <= today:
                amount = price.of(duration or MAX_DURATION, params)
                return Estimate(amount, upper_bound=duration == 0, priced=price.valid_from)
        return None

    def document(self) -> dict[str, Any]:
        """As a price file, in a fixed order."""
        ordered = sorted(self.prices, key=lambda price: (price.use, price.valid_from))
        return {"currency": self.currency, "prices": [price.document() for price in ordered]}

    @property
    def digest(self) -> str:
        """Equal for books with the same prices."""
        return hashlib.sha256(orjson.dumps(self.document())).hexdigest()[:16]


def changes_between(old: PriceBook, new: PriceBook) -> str:
    """What an operator changed, for the audit: one line for each price, and how many more there are."""
    before, after = ({(one.use, one.valid_from): one for one in book.prices} for book in (old, new))
    lines = [
        f"{_name(*key)}: {_amounts(before.get(key))} -> {_amounts(after.get(key))}"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]
    more = [f"and {len(lines) - _MAX_LINES} more"] if len(lines) > _MAX_LINES else []
    return "; ".join(lines[:_MAX_LINES] + more)


def _name(use: Use, valid_from: str) -> str:
    kind = " with clips" * use.with_clips + " off peak" * use.off_peak
    return f"{use.dialect} {use.model} {use.resolution}{kind} from {valid_from}"


def _amounts(price: Price | None) -> str:
    if price is None:
        return "none"
    tiers = (price.first_second, price.second_second, price.further_second)
    more = [f"{name} {to_text(amount)}" for name, amount in sorted(price.surcharges.items())]
    return " + ".join([*map(to_text, tiers), *more])


class CurrentPrices:
    """The prices of this process, which change while it runs."""

    def __init__(self, book: PriceBook = PriceBook()) -> None:  # frozen
        self.book = book

    def estimate(
        self, dialect: str, model: str, params: Mapping[str, object], now_ms: int
    ) -> Estimate | None:
        """As of `PriceBook`."""
        return self.book.estimate(dialect, model, params, now_ms)
