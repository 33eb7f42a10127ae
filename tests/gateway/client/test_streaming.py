"""Event streams, against a gateway that streams what the test says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.client import AsyncClient, Client, Event, errors
from gateway.client.network import Awaiting, Blocking
from tests.gateway.commands.streaming import JOB, Answer, event, gateway, message

KEY = "vgw_0123456789ab_" + "0" * 48


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(Blocking, "sleep", staticmethod(found.append))
    monkeypatch.setattr(Awaiting, "sleep", staticmethod(sleep))
    monkeypatch.setattr("gateway.client.requests.random.random", lambda: 0.0)
    return found


def drained(url: str, refusal: str = "401", **options: Any) -> list[Event]:
    """All events until the gateway refuses, as it does when its script is at its end."""
    found: list[Event] = []
    with Client(url, KEY) as client, pytest.raises(errors.GatewayError, match=refusal):
        found.extend(client.events(**options))
    return found


def heard(*answers: Answer) -> list[Event]:
    with gateway(*answers) as served:
        return drained(served.url)


def test_the_request_names_key_types_and_position() -> None:
    with gateway(Answer()) as served:
        drained(f"{served.url}/base", types=("job.completed", "job.failed"), after="7-0")
    path, headers = served.asked[0]
    assert path == "/base/v1/events?types=job.completed,job.failed"
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["accept"] == "text/event-stream"
    assert headers["last-event-id"] == "7-0"


def test_an_event_has_its_bytes_as_they_were_sent() -> None:
    with gateway(Answer((message("1-0", "job.completed"),))) as served, Client(served.url, KEY) as client:
        first = next(iter(client.events()))
    assert (first.id, first.type, first.body) == ("1-0", "job.completed", event("job.completed"))
    assert first.raw["data"]["id"] == JOB


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b": beat\n\n", []),
        (b"data: a\ndata: b\n\n", [("message", b"a\nb")]),
        (b"data:a\r\n\r\n", [("message", b"a")]),
        (b"data:  a\n\n", [("message", b" a")]),
        (b"event: x\n: beat\ndata: a\n\n", [("x", b"a")]),
        (b"event: x\n\ndata: a\n\n", [("message", b"a")]),
        (b"nonsense\ndata: a\nother: b\n\n", [("message", b"a")]),
        (b"data\n\n", [("message", b"")]),
        (b"data: cut off\n", []),
    ],
)
def test_a_stream_is_read_as_the_standard_says(sent: bytes, expected: list[tuple[str, bytes]]) -> None:
    for pieces in ((sent,), tuple(sent[at : at + 1] for at in range(len(sent)))):
        assert [(one.type, one.body) for one in heard(Answer(pieces))] == expected


def test_the_next_connection_goes_on_after_what_was_dealt_with(waits: list[float]) -> None:
    cut = Answer((b"retry: 500\n\n", message("1-0", "job.completed"), b"id: 2-0\ndata: {"), then="cut")
    with gateway(cut, Answer((b"id: 7-0\n\n",)), Answer()) as served:
        drained(served.url)
    assert [headers.get("last-event-id") for _, headers in served.asked] == [None, "1-0", "7-0", "7-0"]
    assert waits == [0.5, 0.5, 0.5]


def test_an_event_whose_handling_failed_is_not_skipped() -> None:
    sent = Answer((message("1-0", "job.completed"), message("2-0", "job.failed")))
    again = Answer((message("2-0", "job.failed"),))
    with gateway(sent, again) as served, Client(served.url, KEY) as client:
        seen = []
        for one in client.events():
            seen.append(one.id)
            if one.id == "2-0":
                break  # not dealt with
        next(iter(client.events(after=seen[0])))
    assert served.asked[1][1]["last-event-id"] == "1-0"


def test_an_id_that_no_header_can_hold_is_passed_over() -> None:
    with gateway(Answer((message("1-0", "x"), b"id: a\xffb\ndata: {}\n\n")), Answer()) as served:
        drained(served.url)
    assert served.asked[1][1]["last-event-id"] == "1-0"


@pytest.mark.parametrize(
    ("sent", "expected"), [(b"3000", 3.0), (b"0", 0.1), (b"999999999999", 30.0), (b"soon", 2.0), (b"-5", 2.0)]
)
def test_the_gateway_says_how_long_to_wait(sent: bytes, expected: float, waits: list[float]) -> None:
    heard(Answer((b"retry: " + sent + b"\n\n",)))
    assert waits == [expected]


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 405, 422])
def test_what_will_not_change_by_itself_ends_the_stream(status: int) -> None:
    problem = {"title": "no", "errors": [{"param": "types", "message": "no such"}]}
    with gateway(Answer(), Answer(status=status, problem=problem)) as served:
        drained(served.url, f"{status}: types: no such")
    assert len(served.asked) == 2


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
def test_what_may_change_by_itself_is_waited_for(status: int, waits: list[float]) -> None:
    busy = Answer(status=status, problem={"title": "busy"}, headers={"Retry-After": "7"})
    shown: list[tuple[str, float]] = []
    with gateway(Answer(), busy) as served:
        drained(served.url, reconnecting=lambda reason, wait: shown.append((reason, wait)))
    assert waits == [2, 7]
    assert "busy" in shown[1][0]
    assert shown[1][1] == 7


def test_the_first_connection_fails_like_any_request() -> None:
    away = Answer(status=503, problem={"title": "away"})
    with gateway(away, away, away) as served:
        drained(served.url, "503")
    assert len(served.asked) == 3


def test_a_service_that_is_no_gateway_is_named_so() -> None:
    with gateway(Answer((b"<html>",), content_type="text/html")) as served:
        drained(served.url, "is it a vidu-gateway")


def test_a_gateway_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.client.streaming._SILENCE_SECONDS", 0.05)
    reasons: list[str] = []
    with gateway(Answer((message("1-0", "job.completed"),), then="stay")) as served:
        drained(served.url, reconnecting=lambda reason, _: reasons.append(reason))
    assert "did not answer (timed out)" in reasons[0]


def test_the_stream_of_a_job_ends_with_the_job() -> None:
    sent = (message("1-0", "job.queued"), message("2-0", "job.completed"), message("3-0", "job.late_result"))
    with gateway(Answer(sent, then="stay")) as served, Client(served.url, KEY) as client:
        assert [one.id for one in client.jobs.events(JOB)] == ["1-0", "2-0"]
    assert len(served.asked) == 1


def test_the_asynchronous_client_goes_on_in_the_same_way(waits: list[float]) -> None:
    async def listen(url: str) -> list[str]:
        async with AsyncClient(url, KEY) as client:
            return [one.id async for one in client.jobs.events(JOB)]

    cut = Answer((message("1-0", "job.queued"),), then="cut")
    with gateway(cut, Answer((message("2-0", "job.completed"),), then="stay")) as served:
        assert asyncio.run(listen(served.url)) == ["1-0", "2-0"]
    assert served.asked[1][1]["last-event-id"] == "1-0"
    assert waits == [2]


def test_a_job_without_more_events_ends_at_once() -> None:
    with gateway(Answer(status=204)) as served, Client(served.url, KEY) as client:
        assert list(client.jobs.events(JOB)) == []
