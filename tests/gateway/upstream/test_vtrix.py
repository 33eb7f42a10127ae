"""What the dialect writes, and its reading of every answer to a paid POST."""

from __future__ import annotations

import orjson
import pytest

from gateway.errors import ConfigurationError
from gateway.upstream.base import (
    Accepted,
    AccountRefused,
    Busy,
    Dialect,
    Rejected,
    SubmitOutcome,
    TaskStatus,
    Unknown,
    UpstreamError,
)
from gateway.upstream.vtrix import VtrixDialect

DIALECT: Dialect = VtrixDialect()


def wire(params: dict[str, object], *, callback_url: str | None = None, nested: bool = True) -> object:
    dialect = VtrixDialect(nested=nested)
    path, body = dialect.create_request(params, model="m", callback_url=callback_url, reference="ref")
    assert path == "/model/v1/generation"
    return orjson.loads(body)


def created(document: object, status: int = 200, headers: dict[str, str] | None = None) -> SubmitOutcome:
    return DIALECT.read_created(status, headers or {}, orjson.dumps(document))


# ---- writing ----


def test_parameters_are_nested_with_our_reference() -> None:
    assert wire({"prompt": "p", "bgm": False}, callback_url="https://gw.example.com/callbacks/t") == {
        "model": "m",
        "input": [
            {
                "params": {
                    "prompt": "p",
                    "bgm": False,
                    "payload": "ref",
                    "callback_url": "https://gw.example.com/callbacks/t",
                }
            }
        ],
    }


def test_parameters_can_be_flat() -> None:
    assert wire({"prompt": "p"}, nested=False) == {"model": "m", "prompt": "p", "payload": "ref"}


def test_unset_parameters_are_not_sent_and_a_duration_of_0_counts_as_set() -> None:
    params: dict[str, object] = {"duration": 0, "seed": 0, "videos": [], "off_peak": False, "wm_url": None}
    assert wire(params, nested=False) == {"model": "m", "duration": 0, "payload": "ref"}
    assert wire({"seed": 7, "off_peak": True}, nested=False) == {
        "model": "m",
        "seed": 7,
        "off_peak": True,
        "payload": "ref",
    }


def test_the_clients_own_callback_payload_and_model_are_never_sent() -> None:
    theirs: dict[str, object] = {
        "model": "x",
        "payload": "theirs",
        "callback_url": "https://client.example.com",
    }
    for nested in (True, False):
        assert b"theirs" not in orjson.dumps(wire(theirs, nested=nested))
        assert b"client.example.com" not in orjson.dumps(wire(theirs, nested=nested))
    assert wire(theirs, nested=False) == {"model": "m", "payload": "ref"}


def test_the_body_ends_with_the_brace_that_makes_it_json() -> None:
    _, body = DIALECT.create_request({"prompt": "p"}, model="m", callback_url=None, reference="r")
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(body[:-1])


def test_paths_can_be_set() -> None:
    dialect = VtrixDialect(create_path="/v2/make", task_path="/v2/{id}/show")
    path, _ = dialect.create_request({}, model="m", callback_url=None, reference="r")
    assert (path, dialect.query_path("a/b")) == ("/v2/make", "/v2/a%2Fb/show")


@pytest.mark.parametrize("paths", [{"create_path": "x"}, {"task_path": "x/{id}"}, {"task_path": "/task"}])
def test_paths_that_cannot_work_are_refused(paths: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        VtrixDialect(**paths)  # type: ignore[arg-type]


# ---- the reading of a paid POST ----


@pytest.mark.parametrize("task_id", ["d758n65e878c73cmdg20", "911088422699962368", "x" * 128])
@pytest.mark.parametrize("name", ["id", "task_id"])
def test_an_answer_with_an_id_is_accepted(name: str, task_id: str) -> None:
    assert created({name: task_id, "status": "in_progress"}) == Accepted(task_id)
    assert created({name: task_id}, status=202) == Accepted(task_id)


def test_an_id_may_be_a_number() -> None:
    assert created({"id": 911088422699962368}) == Accepted("911088422699962368")


@pytest.mark.parametrize("bad", ["", " ", "x" * 129, "a\nb", None, True, 1.5, [], {"id": "x"}])
def test_an_invalid_id_is_not_accepted(bad: object) -> None:
    assert isinstance(created({"id": bad, "status": "in_progress"}), Unknown)
    assert created({"id": bad, "task_id": "t9"}) == Accepted("t9")


def test_a_task_that_finished_at_once_has_its_state() -> None:
    outcome = created(
        {"id": "t1", "status": "completed", "output": [{"content": [{"url": "https://x/v.mp4"}]}]}
    )
    assert isinstance(outcome, Accepted)
    assert outcome.snapshot
    assert outcome.snapshot.status is TaskStatus.COMPLETED
    failed = created({"id": "t1", "status": "failed", "error": "unsafe"})
    assert isinstance(failed, Accepted)
    assert failed.snapshot
    assert failed.snapshot.error == UpstreamError("upstream_error", "unsafe")


def test_progress_in_the_first_answer_is_kept() -> None:
    outcome = created({"id": "t1", "status": "in_progress", "progress": 0.1})
    assert isinstance(outcome, Accepted)
    assert outcome.snapshot
    assert outcome.snapshot.progress == 0.1


@pytest.mark.parametrize(
    "error", ["bad prompt", {"code": 1027, "error_message": "x"}, {"message": "x"}, {"code": "c"}]
)
def test_success_without_an_id_but_with_an_error_is_a_rejection(error: object) -> None:
    assert isinstance(created({"error": error, "status": "failed"}), Rejected)


@pytest.mark.parametrize("error", [None, "", {}, [], 7, True, {"code": 0, "error_message": ""}, {"code": ""}])
def test_success_without_an_id_and_without_an_error_is_unknown(error: object) -> None:
    assert isinstance(created({"error": error}), Unknown)


@pytest.mark.parametrize(
    "document", [None, [], "t1", 7, {}, {"message": "ok"}, {"status": "failed"}, {"data": {"id": 1}}]
)
def test_success_with_neither_id_nor_error_is_unknown(document: object) -> None:
    assert isinstance(created(document), Unknown)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"<html>", b'{"id":"t1"', b"\xff", b'{"id":"a","id":"b"}', b"[" * 500]
)
def test_success_that_cannot_be_read_is_unknown(body: bytes) -> None:
    assert isinstance(DIALECT.read_created(200, {}, body), Unknown)


OUTCOMES: list[tuple[int, type[SubmitOutcome]]] = [
    *((status, Rejected) for status in (400, 404, 405, 410, 413, 415, 418, 422, 451)),
    *((status, AccountRefused) for status in (401, 402, 403)),
    (429, Busy),
    *((status, Unknown) for status in (101, 300, 301, 302, 307, 308, 408, 409, 425, 500, 502, 503, 504, 599)),
]


@pytest.mark.parametrize(("status", "wanted"), OUTCOMES)
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error":"e"}', b'{"id":"t1","status":"in_progress"}'])
def test_the_status_decides_the_outcome(status: int, wanted: type[SubmitOutcome], body: bytes) -> None:
    outcome = DIALECT.read_created(status, {}, body)
    assert type(outcome) is wanted
    if isinstance(outcome, Busy):
        assert outcome.reached


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": " 12 "}, 12.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "999999999"}, 86_400.0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 -0000", "date": "Wed, 21 Oct 2026 07:29:00 GMT"}, 0.0),
    ],
)
def test_the_wait_that_is_asked_for(headers: dict[str, str], seconds: float | None) -> None:
    outcome = created({}, 429, headers)
    assert isinstance(outcome, Busy)
    assert outcome.retry_after_seconds == seconds


@pytest.mark.parametrize(
    ("document", "code", "message"),
    [
        ({"error": {"code": "invalid_key", "message": "no"}, "request_id": "r"}, "invalid_key", "no"),
        ({"error": {"code": 7, "error_message": "no"}}, "7", "no"),
        ({"error": "no"}, "upstream_error", "no"),
        ({"error": "invalid_request", "message": "no", "code": 400}, "invalid_request", "no"),
        ({"error": "Bad Request", "message": "no"}, "upstream_error", "no"),
        ({"error": "no", "message": ""}, "upstream_error", "no"),
        ({"error": "no", "message": 7}, "upstream_error", "no"),
        ({"message": "no"}, "upstream_error", "no"),
        ({"code": 400, "reason": "FieldUnwanted", "message": "no", "metadata": {}}, "FieldUnwanted", "no"),
        ({"status": {"code": 402, "message": "no", "error_code": 40201}, "data": None}, "40201", "no"),
        ({"status": {"code": 402}}, "402", "the upstream gave no reason"),
        ({"detail": "no"}, "upstream_error", "no"),
        ({"detail": [{"msg": "x"}]}, "upstream_error", "the upstream answered 422 and gave no reason"),
        ({"error": {"code": "c"}, "message": "other"}, "c", "the upstream gave no reason"),
        ([], "upstream_error", "the upstream answered 422 and gave no reason"),
    ],
)
def test_a_refusal_is_read_in_every_form(document: object, code: str, message: str) -> None:
    assert created(document, 422) == Rejected(UpstreamError(code, message))
