"""Amounts are exact, and what is not an amount is refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import AmountRefused, ConfigurationError
from gateway.money.amounts import MAX_MICROS, MICRO, to_micros, to_text


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("0.2750", 275_000),
        ("0", 0),
        ("12", 12 * MICRO),
        ("0.000001", 1),
        ("0.27500000", 275_000),  # as an upstream may write it
        ("1000000000", MAX_MICROS),
        (Decimal("0.1") + Decimal("0.2"), 300_000),
        (Decimal("1E+2"), 100 * MICRO),
    ],
)
def test_an_amount_is_exact(text: str | Decimal, micros: int) -> None:
    assert to_micros(text) == micros


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "abc", "-1", "-0.01", "+1", "1e3", "0x10", "1,5", "1_000", ".5", "5.", " 1", "1\n", "NaN"),
        *("Infinity", "0.0000001", "1000000000.000001", "99999999999", "9" * 5000, "\u0661"),
        *(Decimal("-1"), Decimal("NaN"), Decimal("Infinity"), Decimal("1E-7"), Decimal("1E+999999")),
    ],
)
def test_what_is_not_an_amount_is_refused_with_what_to_send(text: str | Decimal) -> None:
    with pytest.raises(AmountRefused, match=r'send an amount such as "0\.2750"') as refused:
        to_micros(text)
    assert isinstance(refused.value, ConfigurationError)
    assert len(str(refused.value)) < 200


@given(st.integers(0, MAX_MICROS))
def test_an_amount_survives_its_text(micros: int) -> None:
    text = to_text(micros)
    assert to_micros(text) == micros
    assert to_micros(Decimal(text)) == micros
    assert len(text.partition(".")[2]) in (4, 5, 6)


def test_texts_have_at_least_four_decimals() -> None:
    texts = [to_text(micros) for micros in (275_000, 0, 1, 1_230_010, -275_000, -1)]
    assert texts == ["0.2750", "0.0000", "0.000001", "1.23001", "-0.2750", "-0.000001"]
