"""How long to wait before trying again."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.backoff import DELIVERY_SCHEDULE, OVERLOADED, delivery_delay, full_jitter, retry_after
from gateway.delivery.http import DeliveryOutcome

NOW = 1_790_000_000.0
dice = st.floats(0, 1, exclude_max=True)


def middle() -> float:
    return 0.5


def highest() -> float:
    return 1.0


def lowest() -> float:
    return 0.0


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 2), (2, 4), (3, 8), (6, 60), (10_000, 60)])
def test_the_window_doubles_up_to_the_cap(attempt: int, seconds: float) -> None:
    assert full_jitter(attempt, base_seconds=2, cap_seconds=60, random=highest) == seconds


def test_the_wait_is_at_least_a_tenth_of_a_second() -> None:
    assert full_jitter(1, base_seconds=2, cap_seconds=60, random=lowest) == 0.1


def test_a_delivery_has_eleven_attempts_in_three_days() -> None:
    assert len(DELIVERY_SCHEDULE) == 10
    assert sum(DELIVERY_SCHEDULE) / 3600 == pytest.approx(68.71, abs=0.01)


def test_the_schedule_is_followed_and_then_the_delivery_is_dead() -> None:
    waits = [delivery_delay(DELIVERY_SCHEDULE, made, "http_5xx", None, middle) for made in range(1, 13)]
    assert waits == [*map(pytest.approx, DELIVERY_SCHEDULE), None, None]


@given(made=st.integers(1, 10), roll=dice)
def test_the_jitter_is_a_fifth_in_both_directions(made: int, roll: float) -> None:
    delay = delivery_delay(DELIVERY_SCHEDULE, made, "http_5xx", None, lambda: roll)
    assert delay is not None
    assert 0.8 <= delay / DELIVERY_SCHEDULE[made - 1] <= 1.2


@pytest.mark.parametrize("outcome", sorted(OVERLOADED))
@given(made=st.integers(1, 10), roll=dice)
def test_an_overloaded_subscriber_gets_no_attempt_for_a_minute(outcome: str, made: int, roll: float) -> None:
    delay = delivery_delay(DELIVERY_SCHEDULE, made, outcome, None, lambda: roll)
    assert delay is not None
    assert delay >= 60


def test_attempts_that_failed_together_do_not_come_back_together() -> None:
    assert delivery_delay((5,), 1, "timeout", None, highest) == pytest.approx(72)


def test_an_operator_with_a_short_schedule_lowers_the_floor_with_it() -> None:
    assert delivery_delay((0.1,), 1, "throttled", None, middle, overload_floor_seconds=0) == pytest.approx(
        0.1
    )


def test_the_overloaded_outcomes_are_outcomes_of_a_delivery() -> None:
    assert set(DeliveryOutcome) >= OVERLOADED


def test_a_subscriber_that_is_gone_gets_no_more_attempts() -> None:
    assert delivery_delay(DELIVERY_SCHEDULE, 1, DeliveryOutcome.GONE, None, middle) is None


@pytest.mark.parametrize(("asked", "given_seconds"), [(1.0, 30.0), (100.0, 100.0), (1e9, 36_000.0)])
def test_retry_after_only_delays_and_by_ten_hours_at_most(asked: float, given_seconds: float) -> None:
    assert delivery_delay((30,), 1, "http_5xx", asked, middle) == given_seconds


def test_retry_after_does_not_cut_a_longer_wait_short() -> None:
    assert delivery_delay((86_400,), 1, "http_5xx", 1e9, middle) == pytest.approx(86_400)


@pytest.mark.parametrize(
    ("wait", "outcome", "asked", "left", "delay"),
    [
        (100.0, "http_5xx", None, 79.0, None),  # no roll comes so early
        (100.0, "http_5xx", None, 80.0, 80.0),
        (100.0, "http_5xx", None, 100.0, 90.0),  # the middle of what is left of 80 to 120
        (100.0, "http_5xx", None, 1000.0, 100.0),
        (100.0, "http_5xx", 300.0, 299.0, None),
        (100.0, "http_5xx", 300.0, 300.0, 300.0),
        (5.0, "timeout", None, 59.0, None),
        (5.0, "timeout", None, 62.0, 61.0),
        (5.0, "http_5xx", None, -1.0, None),
    ],
)
def test_there_is_no_attempt_after_the_remaining_time(
    wait: float, outcome: str, asked: float | None, left: float, delay: float | None
) -> None:
    found = delivery_delay((wait,), 1, outcome, asked, middle, remaining_seconds=left)
    assert found == (None if delay is None else pytest.approx(delay))


@given(made=st.integers(1, 10), roll=dice, left=st.floats(0, 200_000))
def test_jitter_alone_costs_no_attempt(made: int, roll: float, left: float) -> None:
    delay = delivery_delay(DELIVERY_SCHEDULE, made, "http_5xx", None, lambda: roll, remaining_seconds=left)
    earliest = DELIVERY_SCHEDULE[made - 1] * 0.8
    assert (delay is None) == (left < earliest)
    assert delay is None or earliest <= delay <= left + 1e-6


@pytest.mark.parametrize(("header", "seconds"), [("120", 120.0), (" 1.5 ", 1.5), ("0", 0.0)])
def test_retry_after_in_seconds(header: str, seconds: float) -> None:
    assert retry_after(header, NOW) == seconds


def test_retry_after_as_a_date() -> None:
    assert retry_after(format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True), NOW) == 90
    assert retry_after("Mon, 21 Sep 2026 14:15:00", NOW) == pytest.approx(1_790_000_100 - NOW)


def test_a_past_date_asks_for_no_wait() -> None:
    assert retry_after("Thu, 01 Jan 1970 00:00:00 GMT", NOW) == 0


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "soon",
        "-5",
        "nan",
        "inf",
        "1e3",
        "0x10",
        "1_0",
        "٣",
        "9" * 400,
        "Thu, 99 Foo 99999 77:88:99 GMT",
    ],
)
def test_any_other_retry_after_is_ignored(header: str | None) -> None:
    assert retry_after(header, NOW) is None


@given(st.text(alphabet=st.characters(max_codepoint=255), max_size=64))
def test_reading_retry_after_never_raises(header: str) -> None:
    assert (retry_after(header, NOW) or 0.0) >= 0
