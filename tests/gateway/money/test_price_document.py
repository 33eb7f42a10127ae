"""What is wrong in a price file or a request is refused, with the name of the field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigurationError, InvalidRequest
from gateway.money.price_document import MAX_PRICES, read, read_file
from tests.gateway.money.books import document, row

TOML = """
currency = "USD"

[[prices]]
dialect = "vtrix"
model = "viduq2_pro_reference"
resolution = "720p"
valid_from = 2026-01-01
first_second = 0.0750
second_second = "0.0650"
further_second = 0.045
surcharges = { bgm = 1 }
"""


def faults(found: dict[str, Any], currency: str = "USD") -> list[tuple[str, str]]:
    with pytest.raises(InvalidRequest) as refused:
        read(found, currency)
    assert all(problem.message for problem in refused.value.problems)
    return [(problem.param, problem.code) for problem in refused.value.problems]


@pytest.mark.parametrize(
    ("changes", "param", "code"),
    [
        ({"first_second": "-0.1"}, "first_second", "out_of_range"),
        ({"second_second": "1000000001"}, "second_second", "out_of_range"),
        ({"further_second": "abc"}, "further_second", "out_of_range"),
        ({"further_second": "0.0000001"}, "further_second", "out_of_range"),
        ({"further_second": 0.1}, "further_second", "wrong_type"),
        ({"further_second": True}, "further_second", "wrong_type"),
        ({"further_second": ["1"]}, "further_second", "wrong_type"),
        ({"further_second": None}, "further_second", "required"),
        ({"first_second": -1}, "first_second", "out_of_range"),
        ({"surcharges": {"bgm": "-1"}}, "surcharges.bgm", "out_of_range"),
        ({"surcharges": {"bmg": "1"}}, "surcharges.bmg", "unknown_parameter"),
        ({"surcharges": ["bgm"]}, "surcharges", "wrong_type"),
        ({"resolution": "720"}, "resolution", "not_one_of"),
        ({"resolution": {}}, "resolution", "not_one_of"),
        ({"model": "viduq2-pro"}, "model", "not_one_of"),
        ({"dialect": None}, "dialect", "not_one_of"),
        ({"off_peak": "yes"}, "off_peak", "wrong_type"),
        ({"with_clips": 1}, "with_clips", "wrong_type"),
        ({"valid_from": "2026-02-30"}, "valid_from", "wrong_form"),
        ({"valid_from": "20260201"}, "valid_from", "wrong_form"),
        ({"valid_from": 20260201}, "valid_from", "wrong_form"),
        ({"valid_from": None}, "valid_from", "wrong_form"),
        ({"first_sekond": "1"}, "first_sekond", "unknown_parameter"),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, Any], param: str, code: str) -> None:
    assert faults(document(row(), row(**{"resolution": "1080p", **changes}))) == [
        (f"prices[1].{param}", code)
    ]


def test_all_faults_are_told_at_once() -> None:
    found = faults(document(row(first_second="-1", valid_from="x"), row(resolution="8K")) | {"prizes": []})
    assert found == [
        ("prizes", "unknown_parameter"),
        ("prices[0].valid_from", "wrong_form"),
        ("prices[0].first_second", "out_of_range"),
        ("prices[1].resolution", "not_one_of"),
    ]
    assert len(faults(document(*[row(resolution="8K")] * 500))) == 20


def test_one_use_has_one_price_a_day() -> None:
    assert faults(document(row(), row(first_second="9"))) == [("prices[1]", "given_twice")]


@pytest.mark.parametrize("rows", [None, {}, "x", [3], [[]], [row()] * (MAX_PRICES + 1)])
def test_prices_are_a_list_of_objects(rows: object) -> None:
    assert faults({"currency": "USD", "prices": rows})[0][0] in ("prices", "prices[0]")


def test_prices_in_another_currency_are_refused() -> None:
    with pytest.raises(InvalidRequest, match=r'currency: is "EUR", but this gateway counts in "USD"'):
        read(document(row(), currency="EUR"), "USD")
    with pytest.raises(InvalidRequest, match='currency: is required; send "EUR"'):
        read({"prices": []}, "EUR")


def test_a_price_file_may_have_numbers_and_dates(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(TOML)
    assert read_file(path, "USD").document() == read(document(row(surcharges={"bgm": "1"})), "USD").document()


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"prices = [", "is not TOML"),
        (b"\xff\xfe", "is not TOML"),
        (b"#" * 1_000_001, "is larger than 1000000 bytes"),
        (TOML.replace("0.0750", "-0.0750").encode(), r"prices\[0\]\.first_second"),
        (TOML.replace("0.0750", "1e999999").encode(), r"prices\[0\]\.first_second"),
        (TOML.replace("0.0750", "nan").encode(), r"prices\[0\]\.first_second"),
        (TOML.replace("2026-01-01", "2026-01-01T00:00:00").encode(), r"prices\[0\]\.valid_from"),
        (TOML.replace("USD", "EUR").encode(), "currency"),
    ],
)
def test_a_price_file_that_cannot_be_used_is_named_with_its_fault(
    tmp_path: Path, raw: bytes, said: str
) -> None:
    path = tmp_path / "prices.toml"
    path.write_bytes(raw)
    with pytest.raises(ConfigurationError, match=said) as refused:
        read_file(path, "USD")
    assert str(path) in str(refused.value)


def test_a_missing_price_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigurationError, match=f"{path} cannot be read"):
            read_file(path, "USD")
