"""What a reply says beyond its status."""

from __future__ import annotations

import orjson
import pytest

from tests.gateway.delivery.subscriber import reply
from tests.gateway.delivery.test_http import outcome_against


@pytest.mark.parametrize(
    ("headers", "place"),
    [
        (("Location: https://new.example/hook",), ": https://new.example/hook"),
        (("location: /" + "a" * 300,), ": /" + "a" * 199),
        ((), ""),
    ],
)
async def test_a_redirect_has_a_hint(headers: tuple[str, ...], place: str) -> None:
    result = await outcome_against(reply(307, b"", *headers))
    assert result.hint == "redirects are not followed; register the final address" + place


@pytest.mark.parametrize("status", [200, 400, 503])
async def test_other_answers_have_no_such_hint(status: int) -> None:
    assert (await outcome_against(reply(status, b"", "Location: /x"))).hint is None


@pytest.mark.parametrize(
    ("status", "header", "reason"),
    [
        (410, "X: y", "answered 410 Gone"),
        (200, "Webhook-Delivery: disable", "answered with the header webhook-delivery: disable"),
        (500, "WEBHOOK-DELIVERY:  Disable ", "answered with the header webhook-delivery: disable"),
        (200, "webhook-delivery: enable", None),
        (404, "X: disable", None),
    ],
)
async def test_a_subscriber_may_ask_for_no_more(status: int, header: str, reason: str | None) -> None:
    result = await outcome_against(reply(status, b"", header))
    assert (result.status, result.disables) == (status, reason)


async def test_an_attempt_can_be_shown_and_stored_whatever_the_reply_was() -> None:
    raw = b"HTTP/1.1 302 x\r\nContent-Length: 1\r\nX-Odd: \xff\xe2\x80\xae\r\nLocation: /\xff\r\n\r\n\xff"
    result = await outcome_against(raw)
    shown = orjson.loads(orjson.dumps(result.public()))
    assert shown["response_headers"] == {"content-length": "1", "x-odd": "??", "location": "/?"}
    assert shown["hint"] == "redirects are not followed; register the final address: /?"
    assert (shown["outcome"], shown["status"], shown["excerpt"]) == ("http_3xx", 302, "<1 bytes of binary>")
    assert set(shown["timings"]) == {"dns", "connect", "tls", "first_byte"}
    assert (shown["reused"], shown["retried"], shown["duration_ms"]) == (False, False, result.duration_ms)
