"""What an upstream says that a task cost is an amount of money, or nothing; never an error."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.money.told import CostReader, Told


@pytest.mark.parametrize(
    ("said", "micros"),
    [("0.2750", 275_000), (0.275, 275_000), (1, 1_000_000), (1e-05, 10), ("1e-3", 1000), ("0.0000005", 0)],
)
def test_a_number_or_its_text_is_an_amount(said: Any, micros: int) -> None:
    assert CostReader().read({"cost": said}, None) == Told(micros)


@pytest.mark.parametrize(
    "said",
    [
        *("1e999999", "-1e999999", "1e99999999999999999999", "nan", "Infinity", float("inf"), float("nan")),
        *("\u0661", "1_000", "", "1" * 5000, 10**5000, 10**12, -1, True, [1], {"a": 1}),
    ],
    ids=lambda said: str(type(said)) if isinstance(said, int) else repr(said)[:24],
)
def test_what_is_no_amount_says_nothing(said: Any) -> None:
    assert CostReader().read(None, {"credits": said}) == Told(None)
    assert CostReader().read({"cost": said}, None) == Told(None)
