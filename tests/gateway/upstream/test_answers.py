"""The tolerant readers of progress, cost and times."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.callbacks import tokens
from gateway.keyring import Keyring
from gateway.upstream.answers import (
    read_error,
    read_moment,
    read_progress,
    read_reference,
    read_retry_after,
    read_storable,
    read_text,
    read_usage,
)


@pytest.mark.parametrize(
    ("value", "progress"),
    [
        (0, 0.0),
        (1, 1.0),
        (0.35, 0.35),
        (-0.1, 0.0),
        (35, 1.0),
        (10**400, 1.0),
        (math.inf, 1.0),
        (math.nan, None),
        (True, None),
        ("0.5", None),
        (None, None),
    ],
)
def test_progress_is_a_number_from_0_to_1(value: object, progress: float | None) -> None:
    assert read_progress(value) == progress


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        ("0.2750", "0.2750"),
        ("0", "0"),
        (0.275, "0.275"),
        (1, "1"),
        (1e-7, "0.0000001"),
        ("1E-3", "0.001"),
        (" 0.5 ", "0.5"),
        ("1e999999999", None),
        ("NaN", None),
        ("Infinity", None),
        (math.nan, None),
        ("free", None),
        ("", None),
        ("1" * 40, None),
        (True, None),
        (None, None),
        ({"usd": 1}, None),
    ],
)
def test_a_cost_is_a_decimal_string(cost: object, text: str | None) -> None:
    assert read_usage({"cost": cost}) == ({"cost": text} if text is not None else None)


def test_a_discount_is_passed_on_as_a_number() -> None:
    assert read_usage({"discount": 0}) == {"discount": 0}
    assert read_usage({"discount": 0.15, "cost": "1"}) == {"cost": "1", "discount": 0.15}
    assert read_usage({"discount": "15%"}) is None
    assert read_usage("0.1") is None


@given(st.text(), st.text())
def test_reading_retry_after_never_raises(wait: str, now: str) -> None:
    seconds = read_retry_after({"retry-after": wait, "date": now})
    assert seconds is None or 0 <= seconds <= 86_400


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [
        ("2026-01-20T06:52:02.323Z", 1_768_891_922_323),
        ("2026-01-20T06:52:02Z", 1_768_891_922_000),
        ("2026-01-20T07:52:02.323456789+01:00", 1_768_891_922_323),
        (1_768_891_922, 1_768_891_922_000),
        (1_768_891_922.5, 1_768_891_922_500),
        (1_768_891_922_323, 1_768_891_922_323),
    ],
)
def test_a_time_is_read_in_every_form(value: object, milliseconds: int) -> None:
    assert read_moment(value) == milliseconds


@pytest.mark.parametrize(
    "value",
    ["", "soon", "2026-01-20T06:52:02", None, True, 0, -1, 10**20, math.inf, math.nan, [], {}],
)
def test_a_value_that_is_not_a_time_gives_none(value: object) -> None:
    assert read_moment(value) is None


TOKEN = tokens.make(Keyring({"k1": b"s" * 32}), "acme-2_x", f"job_{'0' * 26}", 12)


@pytest.mark.parametrize(
    "text", [TOKEN, f"https://gw.example.com/callbacks/{TOKEN}", f"bad url: {TOKEN}, {TOKEN}."]
)
def test_our_token_is_removed_from_text_that_clients_see(text: str) -> None:
    shown = text.replace(TOKEN, "[token]")
    assert read_text(text, 500) == shown
    error = read_error({"code": "1", "message": text})
    assert error is not None
    assert error.message == shown
    told = {"metadata": {"a": [text], text: {"payload": text}}, "output": [{"payload": text}]}
    assert read_storable(told) == {
        "metadata": {"a": [shown], shown: {"payload": shown}},
        "output": [{"payload": shown}],
    }
    assert read_storable([text, 2**70]) == [shown, str(2**70)]


def test_a_token_at_the_length_limit_is_removed_completely() -> None:
    for before in range(40):
        shown = read_text("x" * before + " " + TOKEN, 40)
        assert ".job_" not in shown
        assert not any(part in shown for part in (TOKEN[:12], TOKEN[-12:]))
    assert read_text(TOKEN[:20] + "\u200b" + TOKEN[20:], 500) == "[token]"


def test_our_mark_is_read_from_a_task_and_from_a_list() -> None:
    task = read_storable({"payload": TOKEN, "id": 2**70})
    assert isinstance(task, dict)
    assert read_reference(task) == TOKEN
    assert task["id"] == str(2**70)
    listed = read_storable({"tasks": [{"payload": TOKEN, "prompt": "a fox"}], "next_page_token": ""})
    assert listed == {"tasks": [{"payload": TOKEN, "prompt": "a fox"}], "next_page_token": ""}


def test_text_that_only_resembles_a_token_stays() -> None:
    for text in ("a.job_b", f"job_{'0' * 26}", TOKEN[:-1], TOKEN.replace("acme", "ACME")):
        assert read_text(text, 500) == text
