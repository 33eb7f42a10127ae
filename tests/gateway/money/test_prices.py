"""Estimates: exact, by tiers, and unknown without a price."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.generation.model import PUBLISHED_MODELS, GenerationRequest
from gateway.money import prices
from gateway.money.amounts import MICRO
from gateway.money.price_document import MODELS, RESOLUTIONS, SURCHARGES, read
from gateway.money.prices import CurrentPrices, Estimate, PriceBook
from tests.gateway.money.books import MODEL, document, row

NOW = int(datetime(2026, 12, 1, 12, tzinfo=UTC).timestamp() * 1000)


def book(*rows: dict[str, object]) -> PriceBook:
    return read(document(*rows), "USD")


def cost(found: PriceBook, now: int = NOW, /, **params: object) -> Estimate | None:
    return found.estimate("vtrix", MODEL, params, now)


def amount(found: PriceBook, **params: object) -> int:
    estimate = cost(found, **params)
    assert estimate is not None
    return estimate.amount


def test_each_second_has_its_own_price() -> None:
    tiered = book(row())
    found = [amount(tiered, duration=seconds) for seconds in (1, 2, 3, 5, 10)]
    assert found == [75_000, 140_000, 185_000, 275_000, 500_000]


def test_left_out_parameters_have_their_published_meaning() -> None:
    defaults = GenerationRequest.model_fields
    assert (
        defaults["duration"].default,
        defaults["resolution"].default,
    ) == (prices.DURATION, prices.RESOLUTION)
    assert cost(book(row())) == Estimate(275_000, upper_bound=False, priced="2026-01-01")


def test_what_prices_may_name_is_what_is_published() -> None:
    fields = GenerationRequest.model_fields
    assert MODELS == PUBLISHED_MODELS
    assert get_args(fields["resolution"].annotation) == RESOLUTIONS
    assert all(fields[name].annotation is bool for name in SURCHARGES)
    assert f"le={prices.MAX_DURATION}" in repr(fields["duration"].metadata).replace("Le(", "")


def test_a_duration_that_the_upstream_chooses_costs_at_most_the_longest() -> None:
    assert cost(book(row()), duration=0) == Estimate(500_000, upper_bound=True, priced="2026-01-01")


def test_clips_and_off_peak_have_prices_of_their_own() -> None:
    priced = book(row(), row(with_clips=True, first_second="0.2"), row(off_peak=True, first_second="0.01"))
    assert amount(priced, duration=1, videos=["https://e.test/a.mp4"]) == 200_000
    assert amount(priced, duration=1, videos=[]) == 75_000
    assert amount(priced, duration=1, off_peak=True) == 10_000
    assert cost(priced, duration=1, videos=["x"], off_peak=True) is None


def test_surcharges_are_added_for_what_is_asked_for() -> None:
    priced = book(row(surcharges={"bgm": "0.05", "watermark": "0.000001"}))
    assert amount(priced, duration=1, bgm=True) == 125_000
    assert amount(priced, duration=1, bgm=False, watermark=True) == 75_001


@pytest.mark.parametrize("params", [{"resolution": "1080p"}, {"off_peak": True}, {"videos": ["x"]}])
def test_without_a_row_the_estimate_is_unknown(params: dict[str, object]) -> None:
    assert cost(book(row()), **params) is None
    assert cost(PriceBook(), **params) is None


def test_a_price_of_another_dialect_or_model_does_not_count() -> None:
    assert book(row(dialect="vidu")).estimate("vtrix", MODEL, {}, NOW) is None
    assert book(row()).estimate("vtrix", "another", {}, NOW) is None


def test_a_price_is_valid_from_midnight_until_a_newer_one_is() -> None:
    changing = book(
        row(valid_from="2026-12-02", first_second="0.2"),
        row(valid_from="2026-11-01", first_second="0.1"),
        row(valid_from="2026-06-01", first_second="0.05"),
    )
    midnight = int(datetime(2026, 12, 2, tzinfo=UTC).timestamp() * 1000)
    found = [cost(changing, now, duration=1) for now in (NOW, midnight - 1, midnight)]
    assert [one and (one.amount, one.priced) for one in found] == [
        (100_000, "2026-11-01"),
        (100_000, "2026-11-01"),
        (200_000, "2026-12-02"),
    ]
    assert cost(changing, int(datetime(2026, 5, 31, tzinfo=UTC).timestamp() * 1000)) is None


def test_equal_books_have_one_digest_whatever_their_form() -> None:
    one, other = row(), row(resolution="1080p")
    plain = book(one, other)
    assert book({**other, "first_second": "0.075"}, {**one, "off_peak": False}).digest == plain.digest
    assert book(one).digest != plain.digest
    assert read(document(currency="EUR"), "EUR").digest != PriceBook().digest


def test_a_book_survives_its_document() -> None:
    whole = book(row(surcharges={"bgm": "0.05"}), row(with_clips=True))
    again = read(whole.document(), "USD")
    assert again.document() == whole.document()
    assert again.digest == whole.digest


def test_current_prices_change_while_the_process_runs() -> None:
    current = CurrentPrices()
    assert current.estimate("vtrix", MODEL, {}, NOW) is None
    current.book = book(row())
    assert current.estimate("vtrix", MODEL, {}, NOW) is not None


_MICROS = st.integers(0, 1000 * MICRO)


@given(st.tuples(_MICROS, _MICROS, _MICROS), st.integers(1, 10))
def test_an_estimate_is_the_exact_sum_in_decimals(tiers: tuple[int, int, int], seconds: int) -> None:
    texts = [str(Decimal(micros) / MICRO) for micros in tiers]
    plain = [f"{Decimal(text):f}" for text in texts]
    names = ("first_second", "second_second", "further_second")
    found = amount(book(row(**dict(zip(names, plain, strict=True)))), duration=seconds)
    first, second, further = map(Decimal, plain)
    expected = first + (second if seconds > 1 else 0) + further * max(0, seconds - 2)
    assert Decimal(found) == expected * MICRO
