"""The client of the event stream, against a gateway that streams what the test says."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence

import pytest

from gateway.commands.event_stream import EventStream, Message, Refused
from gateway.errors import Unavailable
from tests.gateway.commands.streaming import Answer, event, gateway, message

KEY = "vgw_0123456789ab_" + "0" * 48


def stream_of(url: str, types: Sequence[str] = ("job.completed",)) -> EventStream:
    return EventStream(url, KEY, types)


def read(stream: EventStream) -> list[Message]:
    return list(stream.messages(lambda: None))


def test_the_request_names_key_and_types_and_keeps_the_path_of_the_base() -> None:
    with gateway(Answer()) as served:
        read(stream_of(f"{served.url}/base/", ("job.completed", "job.failed")))
    path, headers = served.asked[0]
    assert path == "/base/v1/events?types=job.completed,job.failed"
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["accept"] == "text/event-stream"
    assert "last-event-id" not in headers


def test_messages_come_with_their_bytes_as_they_were_sent() -> None:
    with gateway(Answer((message("1-0", "job.completed"), message("2-0", "job.failed")))) as served:
        found = read(stream_of(served.url))
    assert found == [
        Message("job.completed", event("job.completed")),
        Message("job.failed", event("job.failed")),
    ]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b": beat\n\n", []),
        (b"data: a\ndata: b\n\n", [Message("message", b"a\nb")]),
        (b"data:a\r\n\r\n", [Message("message", b"a")]),
        (b"data:  a\n\n", [Message("message", b" a")]),
        (b"event: x\n: beat\ndata: a\n\n", [Message("x", b"a")]),
        (b"event: x\n\ndata: a\n\n", [Message("message", b"a")]),
        (b"nonsense\ndata: a\nother: b\n\n", [Message("message", b"a")]),
        (b"data\n\n", [Message("message", b"")]),
        (b"data: cut off\n", []),
    ],
)
def test_a_stream_is_read_as_the_standard_says(sent: bytes, expected: list[Message]) -> None:
    with gateway(Answer((sent,))) as served:
        assert read(stream_of(served.url)) == expected


def test_a_message_in_pieces_is_put_together() -> None:
    whole = message("1-0", "job.completed")
    pieces = tuple(whole[at : at + 7] for at in range(0, len(whole), 7))
    with gateway(Answer(pieces)) as served:
        assert read(stream_of(served.url)) == [Message("job.completed", event("job.completed"))]


def test_the_next_connection_goes_on_after_what_was_dealt_with() -> None:
    sent = (message("1-0", "job.completed"), message("2-0", "job.failed"))
    with gateway(Answer(sent), Answer()) as served:
        stream = stream_of(served.url)
        messages = stream.messages(lambda: None)
        next(messages)
        next(messages)  # the first is dealt with, the second is not
        messages.close()  # type: ignore[attr-defined]
        read(stream)
    assert served.asked[1][1]["last-event-id"] == "1-0"


def test_an_id_without_a_message_counts_too() -> None:
    with gateway(Answer((b"id: 7-0\n\n",)), Answer()) as served:
        stream = stream_of(served.url)
        read(stream)
        read(stream)
    assert served.asked[1][1]["last-event-id"] == "7-0"


def test_the_id_of_a_message_that_was_cut_off_does_not_count() -> None:
    sent = (message("1-0", "job.completed"), b"id: 2-0\ndata: {")
    with gateway(Answer(sent, then="cut"), Answer()) as served:
        stream = stream_of(served.url)
        with contextlib.suppress(Unavailable):
            read(stream)
        assert stream.last_id == "1-0"


def test_an_id_that_no_header_can_hold_is_passed_over() -> None:
    with gateway(Answer((message("1-0", "job.completed"), b"id: a\xffb\ndata: {}\n\n"))) as served:
        stream = stream_of(served.url)
        read(stream)
    assert stream.last_id == "1-0"


@pytest.mark.parametrize(
    ("sent", "expected"), [(b"3000", 3.0), (b"0", 0.1), (b"999999999999", 60.0), (b"soon", 2.0), (b"-5", 2.0)]
)
def test_the_gateway_says_how_long_to_wait_before_the_next_connection(sent: bytes, expected: float) -> None:
    with gateway(Answer((b"retry: " + sent + b"\n\n",))) as served:
        stream = stream_of(served.url)
        read(stream)
    assert stream.retry_seconds == expected


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 405, 422])
def test_what_will_not_change_by_itself_is_a_refusal_that_names_every_reason(status: int) -> None:
    problem = {
        "title": "no",
        "detail": "one",
        "errors": [{"param": "types", "message": "no such"}, {"param": "after", "message": "no id"}],
    }
    with gateway(Answer(status=status, problem=problem)) as served, pytest.raises(Refused) as refused:
        read(stream_of(served.url))
    assert f"answered {status} to GET /v1/events: types: no such; after: no id" in str(refused.value)
    assert KEY not in str(refused.value)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_what_may_change_by_itself_is_unavailable(status: int) -> None:
    answer = Answer(status=status, problem={"title": "busy", "errors": []}, headers={"Retry-After": "7"})
    with gateway(answer) as served, pytest.raises(Unavailable, match=f"answered {status} .*busy"):
        stream = stream_of(served.url)
        read(stream)
    assert stream.least_wait_seconds == 7
    assert stream.opens == 0


def test_a_wait_that_was_asked_for_ends_with_the_next_connection() -> None:
    busy = Answer(status=429, problem={"title": "busy"}, headers={"Retry-After": "7"})
    with gateway(busy, Answer()) as served:
        stream = stream_of(served.url)
        with pytest.raises(Unavailable):
            read(stream)
        read(stream)
    assert stream.least_wait_seconds == 0


def test_an_answer_that_is_no_problem_document_is_shown_by_its_reason() -> None:
    with gateway(Answer(status=502)) as served, pytest.raises(Unavailable, match=r"502 .*: Bad Gateway"):
        read(stream_of(served.url))


def test_a_service_that_is_no_gateway_is_named_so() -> None:
    with (
        gateway(Answer((b"<html>",), content_type="text/html")) as served,
        pytest.raises(Refused, match="is it a vidu-gateway"),
    ):
        read(stream_of(served.url))


def test_a_gateway_that_is_away_is_named_with_its_address() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(Unavailable, match=f"http://127.0.0.1:{port} cannot be reached .*refused"):
        read(stream_of(f"http://127.0.0.1:{port}"))


def test_a_gateway_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.commands.event_stream._SILENCE_SECONDS", 0.05)
    monkeypatch.setattr("gateway.commands.event_stream._CONNECT_SECONDS", 3600.0)
    with (
        gateway(Answer((message("1-0", "job.completed"),), then="stay")) as served,
        pytest.raises(Unavailable, match="does not respond"),
    ):
        read(stream_of(served.url))
