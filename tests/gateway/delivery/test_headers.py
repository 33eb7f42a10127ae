"""Headers that an endpoint adds, and those of a reply that are kept."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.headers import (
    fault_of_header,
    fault_of_headers,
    loggable_headers,
    outgoing,
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", "Bearer a.b-c=="),
        ("X-Team", "video\tand sound"),
        ("x", "1"),
        ("!#$%&'*+.^_`|~", "~"),
        ("X-Webhook-Id", "not ours"),
        ("Accept", "*/*"),
        ("Cookie", "a=b"),
    ],
)
def test_a_header_that_an_endpoint_may_add(name: str, value: str) -> None:
    assert fault_of_header(name, value) is None


@pytest.mark.parametrize(
    "name",
    [
        *("webhook-id", "Webhook-Signature", "WEBHOOK-TIMESTAMP", "webhook-anything", "Content-Type"),
        *("content-length", "HOST", "connection", "User-Agent", "accept-encoding", "traceparent"),
        *("Transfer-Encoding", "te", "trailer", "upgrade", "keep-alive", "proxy-authorization", "expect"),
        "content-encoding",
    ],
)
def test_our_own_headers_cannot_be_changed(name: str) -> None:
    assert fault_of_header(name, "x") == "is set by the gateway and cannot be changed"


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\nb", "ä", "a\0", "x/y", "(x)", "x "])
def test_a_name_that_is_not_a_token_is_refused(name: str) -> None:
    assert "not a header name" in (fault_of_header(name, "x") or "")


@pytest.mark.parametrize("value", ["", " ", " x", "x ", "x\t", "a\r\nb: c", "a\nb", "a\0b", "\x7f", "ä"])
def test_a_value_that_a_header_cannot_hold_is_refused(value: str) -> None:
    assert "printable ASCII" in (fault_of_header("X-A", value) or "")


@pytest.mark.parametrize(
    ("headers", "fault"),
    [
        ({f"X-{at}": "v" for at in range(20)}, None),
        ({f"X-{at}": "v" for at in range(21)}, "has 21 headers; send at most 20"),
        ({"X-A": "v" * 4089}, None),
        ({"X-A": "v" * 4090}, "has more than 4096 bytes in total"),
        ({"X-A": "v", "x-a": "w"}, "has the same header twice; upper and lower case make no difference"),
        ({}, None),
    ],
)
def test_all_headers_together_have_limits(headers: dict[str, str], fault: str | None) -> None:
    assert fault_of_headers(headers) == fault


def test_our_headers_win_over_added_ones() -> None:
    added = {"Webhook-Id": "evt_2", "HOST": "elsewhere", "X-Team": "video", "X-Bad": "a\r\nb"}
    assert outgoing(added, {"webhook-id": "evt_1"}) == {"X-Team": "video", "webhook-id": "evt_1"}


def test_the_headers_of_a_reply_are_kept_without_cookies_and_unsafe_characters() -> None:
    headers = [
        ("Content-Type", "text/plain"),
        ("Set-Cookie", "session=secret"),
        ("X-A", "1"),
        ("x-a", "2"),
        ("X-B", "\x1b[31m\u202e\udcff"),
    ]
    assert loggable_headers(headers) == {"content-type": "text/plain", "x-a": "1, 2", "x-b": "?[31m??"}


def test_no_more_than_twenty_headers_and_a_kibibyte_are_kept() -> None:
    many = loggable_headers([(f"X-{at}", "v") for at in range(100)])
    assert list(many) == [f"x-{at}" for at in range(20)]
    long = loggable_headers([(f"X-{at}", "v" * 5000) for at in range(100)])
    assert {len(value) for value in long.values()} == {256}
    assert len(long) == 3


@given(st.lists(st.tuples(st.text(), st.text(alphabet=st.characters(exclude_categories=())))))
def test_every_reply_can_be_stored(headers: list[tuple[str, str]]) -> None:
    kept = loggable_headers(headers)
    assert len(kept) <= 20
    assert len(orjson.dumps(kept)) < 6 * 1024 + 200


@given(st.text(), st.text())
def test_a_header_without_a_fault_is_one_line_of_ascii(name: str, value: str) -> None:
    if fault_of_header(name, value) is None:
        assert f"{name}: {value}".isascii()
        assert not set(name + value) & {"\r", "\n", "\0"}
