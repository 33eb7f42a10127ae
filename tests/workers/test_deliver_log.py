"""The log of a delivery's attempts, which must never grow too large to be stored."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.attempts import AttemptResult, DeliveryOutcome
from gateway.delivery.headers import loggable_headers
from gateway.lifecycle import DeliveryEvent
from gateway.web.schemas import jobs
from tests.gateway.web.parsing import parsed
from workers.deliver import KEPT_ATTEMPTS, LOG_LIMIT_BYTES, Decision, entry_of, noted

FAILED = Decision(DeliveryEvent.ATTEMPT_FAILED, 5.0)


def entry(
    number: int, outcome: DeliveryOutcome, text: str = "", decision: Decision = FAILED
) -> dict[str, Any]:
    """What a subscriber can bring into the log at most."""
    headers = loggable_headers((f"x-{at}-{text}", text) for at in range(99))
    result = AttemptResult(outcome, 302, 1, text, None, headers=headers, hint=text[:260])
    return entry_of(number, "auto", 0, result.public(), None, decision.gave_up)


def logged(*entries: dict[str, Any]) -> list[dict[str, Any]]:
    log: list[dict[str, Any]] = []
    for one in entries:
        log = noted(log, one)
        assert len(orjson.dumps(log)) < LOG_LIMIT_BYTES
    return log


def test_the_newest_twenty_attempts_are_kept() -> None:
    log = logged(*(entry(number, DeliveryOutcome.HTTP_5XX) for number in range(1, 31)))
    assert [one["number"] for one in log] == list(range(11, 31))
    assert len(log) == KEPT_ATTEMPTS


def test_an_entry_has_the_documented_fields_and_no_others() -> None:
    gave_up = Decision(DeliveryEvent.ATTEMPTS_EXHAUSTED, None, "the last attempt failed")
    whole = entry(1, DeliveryOutcome.HTTP_5XX, decision=gave_up)
    text = entry_of(1, "auto", 0, {}, None, gave_up.gave_up)
    assert whole.keys() == jobs.Attempt.__annotations__.keys()
    parsed(jobs.Attempt, orjson.dumps(whole))
    parsed(jobs.Attempt, orjson.dumps({**text, "outcome": "endpoint_deleted"}))


def test_what_fits_stays_whole() -> None:
    entries = [entry(number, DeliveryOutcome.HTTP_5XX, "x" * 500) for number in range(1, 11)]
    assert logged(*entries) == entries


@pytest.mark.parametrize("character", ["x", '"', "视", "\U0001f98a"])
def test_large_replies_are_cut_out_of_the_older_entries_and_stay_in_the_newest(character: str) -> None:
    text = character * (2048 // len(character.encode()))
    entries = [entry(number, DeliveryOutcome.HTTP_3XX, text) for number in range(1, 31)]
    log = logged(*entries)
    assert log[-1] == entries[-1]
    assert [one["number"] for one in log] == list(range(11, 31))
    assert log[0]["excerpt"] == ""
    assert log[0]["response_headers"] == {}
    assert (log[0]["status"], log[0]["outcome"]) == (302, "http_3xx")
    assert text.startswith(log[0]["hint"])


@given(st.lists(st.text(max_size=2048), max_size=25))
def test_no_reply_makes_the_log_too_large(texts: list[str]) -> None:
    logged(*(entry(number, DeliveryOutcome.HTTP_5XX, text) for number, text in enumerate(texts)))


def test_what_was_not_sent_is_logged_once() -> None:
    missing = [entry(1, DeliveryOutcome.SECRET_MISSING, text) for text in ("first", "again", "and again")]
    log = logged(
        entry(1, DeliveryOutcome.HTTP_5XX), *missing, entry(2, DeliveryOutcome.SUCCEEDED), missing[0]
    )
    assert [one["outcome"] for one in log] == ["http_5xx", "secret_missing", "succeeded", "secret_missing"]
    assert log[1]["excerpt"] == "and again"


def test_entries_without_a_reply_are_kept_as_they_are() -> None:
    deleted = {"number": 0, "at": None, "trigger": "auto", "outcome": "endpoint_deleted"}
    big = [entry(number, DeliveryOutcome.HTTP_5XX, "x" * 2048) for number in range(15)]
    assert logged(deleted, *big)[0] == deleted
