"""What the dialect of Vidu's own API makes of tasks, callbacks, cancels and lists."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from gateway.upstream.base import (
    CancelDone,
    CancelOutcome,
    CancelRefused,
    Dialect,
    Found,
    Hint,
    Inconclusive,
    ListedTask,
    Listing,
    Missing,
    Snapshot,
    TaskStatus,
    UpstreamError,
)
from gateway.upstream.vidu import ViduDialect

DIALECT: Dialect = ViduDialect()
CREATION = {
    "id": "9110",
    "url": "https://cdn.example.com/v.mp4",
    "cover_url": "https://cdn.example.com/c.jpg",
    "watermarked_url": "https://cdn.example.com/w.mp4",
}
DONE = {
    "id": "911088422699962368",
    "state": "success",
    "err_code": "",
    "credits": 55,
    "payload": "ref",
    "bgm": False,
    "creations": [CREATION],
}


def snapshot_of(document: dict[str, Any]) -> Snapshot:
    outcome = DIALECT.read_task(200, {}, orjson.dumps({"id": "1", **document}))
    assert isinstance(outcome, Found)
    return outcome.snapshot


# ---- a task ----


def test_a_complete_task_is_read() -> None:
    assert snapshot_of(DONE) == Snapshot(
        task_id="911088422699962368",
        status=TaskStatus.COMPLETED,
        raw_status="success",
        output=[{"content": [{**CREATION, "type": "video"}]}],
        metadata={"credits": 55},
        reference="ref",
    )


@pytest.mark.parametrize("name", ["status", "state"])
@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("created", TaskStatus.IN_PROGRESS),
        ("queueing", TaskStatus.IN_PROGRESS),
        ("processing", TaskStatus.IN_PROGRESS),
        ("success", TaskStatus.COMPLETED),
        ("failed", TaskStatus.FAILED),
        ("completed", TaskStatus.COMPLETED),
        ("scheduled", TaskStatus.IN_PROGRESS),
        ("canceled", TaskStatus.CANCELED),
        ("perused", TaskStatus.IN_PROGRESS),
    ],
)
def test_only_known_status_words_are_final(name: str, word: str, status: TaskStatus) -> None:
    snapshot = snapshot_of({name: word, "creations": [CREATION]})
    assert (snapshot.status, snapshot.raw_status) == (status, word)


@pytest.mark.parametrize(
    ("state", "code", "status", "error"),
    [
        ("failed", "AuditSubmitIllegal", TaskStatus.FAILED, "AuditSubmitIllegal"),
        ("failed", "UserCancelled", TaskStatus.CANCELED, "UserCancelled"),
        ("failed", "Canceled", TaskStatus.CANCELED, "Canceled"),
        ("failed", 1027, TaskStatus.FAILED, "1027"),
        ("failed", "", TaskStatus.FAILED, "upstream_error"),
        ("failed", None, TaskStatus.FAILED, "upstream_error"),
        ("success", "Unknown", TaskStatus.FAILED, "Unknown"),
        ("success", 0, TaskStatus.COMPLETED, None),
        ("processing", "UserCancelled", TaskStatus.IN_PROGRESS, None),
    ],
)
def test_an_error_code_is_read(state: str, code: object, status: TaskStatus, error: str | None) -> None:
    snapshot = snapshot_of({"state": state, "err_code": code})
    assert (snapshot.status, snapshot.error and snapshot.error.code) == (status, error)


def test_an_error_has_its_code() -> None:
    assert snapshot_of({"state": "failed", "err_code": "ImageFormatInvalid"}).error == UpstreamError(
        "ImageFormatInvalid", "the upstream gave no reason but its code"
    )


@pytest.mark.parametrize("credits_", [None, True, "55", [], {}])
def test_credits_that_are_not_a_number_are_left_out(credits_: object) -> None:
    assert snapshot_of({"state": "success", "credits": credits_}).metadata is None


def test_credits_are_not_a_price() -> None:
    assert snapshot_of(DONE).usage is None


@pytest.mark.parametrize("creations", [None, [], {}, "x", [None], [{"url": 7}]])
def test_unusable_creations_give_no_output(creations: object) -> None:
    assert snapshot_of({"state": "success", "creations": creations}).output == []


def test_a_long_foreign_mark_is_not_ours() -> None:
    reference = snapshot_of({"state": "created", "payload": "x" * 1_000_000}).reference
    assert reference == "x" * 512


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (404, Missing),
        (429, Inconclusive),
        (500, Inconclusive),
        (401, Inconclusive),
        (302, Inconclusive),
        (400, Inconclusive),
    ],
)
def test_a_poll_that_shows_no_task(status: int, outcome: type[object]) -> None:
    assert type(DIALECT.read_task(status, {}, orjson.dumps(DONE))) is outcome


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"creations":[]}', b'{"state":{}}'])
def test_without_a_state_nothing_is_inferred(body: bytes) -> None:
    assert isinstance(DIALECT.read_task(200, {}, body), Inconclusive)


# ---- callbacks ----


@pytest.mark.parametrize(
    ("document", "hint"),
    [
        ({"id": "9", "state": "processing"}, Hint("9", TaskStatus.IN_PROGRESS)),
        ({"id": "9", "state": "success", "creations": []}, Hint("9", TaskStatus.COMPLETED)),
        ({"task_id": 9, "status": "success"}, Hint("9", TaskStatus.COMPLETED)),
        ({"id": "9", "status": "failed", "err_code": "AuditFailed"}, Hint("9", TaskStatus.FAILED)),
        ({"id": "9", "status": "failed"}, Hint("9", TaskStatus.FAILED)),
        ({"id": "9", "state": "failed", "err_code": "UserCancelled"}, Hint("9", TaskStatus.CANCELED)),
        ({"id": "9", "status": "scheduled"}, Hint("9", TaskStatus.IN_PROGRESS)),
        ({"id": "9", "creations": []}, Hint("9", None)),
        ({"id": "t1", "status": "completed"}, Hint("t1", TaskStatus.COMPLETED, foreign=True)),
        ({"id": "t1", "status": "in_progress"}, Hint("t1", TaskStatus.IN_PROGRESS, foreign=True)),
        ({"id": "t1", "status": "failed", "error": "e"}, Hint("t1", TaskStatus.FAILED, foreign=True)),
        ({"id": "t1", "output": []}, Hint("t1", None, foreign=True)),
        ({"id": "9"}, Hint()),
        ({}, Hint()),
        ([], Hint()),
        (None, Hint()),
    ],
)
def test_a_callback_is_a_hint(document: object, hint: Hint) -> None:
    told = DIALECT.read_callback(orjson.dumps(document))
    assert replace(told, snapshot=None) == hint
    assert (told.snapshot is not None) == (hint.status not in (None, TaskStatus.IN_PROGRESS))


def test_a_final_callback_has_a_snapshot() -> None:
    assert DIALECT.read_callback(orjson.dumps(DONE)).snapshot == snapshot_of(DONE)


def test_a_final_callback_in_the_other_format_has_a_snapshot() -> None:
    output: list[dict[str, object]] = [
        {"content": [{"type": "video", "url": "https://cdn.example.com/v.mp4"}]}
    ]
    hint = DIALECT.read_callback(orjson.dumps({"id": "t1", "status": "completed", "output": output}))
    assert hint.foreign
    assert hint.snapshot == Snapshot("t1", TaskStatus.COMPLETED, "completed", output=output)


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"{", b"[" * 100_000, b'{"id":NaN}', b'{"state":"\\ud800"}']
)
def test_a_callback_that_cannot_be_read_is_an_empty_hint(body: bytes) -> None:
    assert DIALECT.read_callback(body) == Hint()


# ---- cancels ----


def test_a_cancel_has_the_id_in_path_and_body() -> None:
    path, body = DIALECT.cancel_request("9110")
    assert (path, orjson.loads(body)) == ("/ent/v2/tasks/9110/cancel", {"id": "9110"})


@pytest.mark.parametrize(
    ("status", "reason", "outcome"),
    [
        (400, "BadRequest", CancelRefused),
        (422, "FieldInvalid", CancelRefused),
        (405, "", CancelRefused),
        (404, "TaskNotFound", Missing),
        (404, "", Missing),
        (400, "TaskNotFound", Missing),
        (400, "UserCancelled", CancelDone),
        (499, "Canceled", Inconclusive),
        (400, "OperationInProcess", Inconclusive),
        (400, "InternalServiceFailure", Inconclusive),
        (401, "Unauthorized", Inconclusive),
        (403, "", Inconclusive),
        (409, "Conflict", Inconclusive),
        (429, "TooManyRequests", Inconclusive),
        (500, "InternalServiceFailure", Inconclusive),
        (302, "", Inconclusive),
        (200, "BadRequest", Inconclusive),
    ],
)
def test_the_answer_to_a_cancel(status: int, reason: str, outcome: type[CancelOutcome]) -> None:
    envelope = {"code": status, "reason": reason, "message": "m"}
    assert type(DIALECT.read_canceled(status, {}, orjson.dumps(envelope))) is outcome


def test_an_empty_object_confirms_a_cancel_and_an_unreadable_body_does_not() -> None:
    assert DIALECT.read_canceled(200, {}, b"{}") == CancelDone()
    for body in (b"", b"[]", b"<html>"):
        assert isinstance(DIALECT.read_canceled(200, {}, body), Inconclusive)


def test_a_refused_cancel_has_a_reason() -> None:
    envelope = b'{"code":400,"reason":"BadRequest","message":"task state is scheduled, can not cancel"}'
    assert DIALECT.read_canceled(400, {}, envelope) == CancelRefused(
        "400: task state is scheduled, can not cancel"
    )


# ---- lists ----


def test_a_list_is_requested_by_time_and_page() -> None:
    url = urlsplit(DIALECT.list_path(1_768_891_922_323, 1_768_891_983_000, None))
    assert url.path == "/ent/v2/tasks"
    assert parse_qs(url.query) == {
        "created_at.from": ["2026-01-20T06:52:02.323Z"],
        "created_at.to": ["2026-01-20T06:53:03.000Z"],
        "pager.pagesz": ["100"],
    }
    assert DIALECT.list_path(0, 1, "a b&c").endswith("&pager.page_token=a+b%26c")


def listing(document: object, status: int = 200) -> Listing | Inconclusive:
    return DIALECT.read_list(status, {}, orjson.dumps(document))


def test_a_list_is_read() -> None:
    row = {
        "id": "9110",
        "state": "success",
        "model": "viduq2-pro",
        "prompt": " a  hero\n",
        "payload": "ref",
        "created_at": "2026-01-20T06:52:02.323Z",
    }
    assert listing({"next_page_token": "n", "tasks": [row, {"task_id": 7, "model": "viduq3"}]}) == Listing(
        [
            ListedTask("9110", 1_768_891_922_323, "ref", "viduq2_pro_reference", " a  hero\n"),
            ListedTask("7", model="viduq3"),
        ],
        next_page="n",
    )


@pytest.mark.parametrize("document", [{"tasks": []}, {"tasks": None}, {"tasks": [], "next_page_token": ""}])
def test_an_empty_list_is_a_list(document: object) -> None:
    assert listing(document) == Listing([])


@pytest.mark.parametrize("rows", [{}, "x", 0, False, [None], [{}], [{"id": "1"}, {"id": ""}]])
def test_a_list_with_an_unreadable_row_is_inconclusive(rows: object) -> None:
    assert isinstance(listing({"tasks": rows}), Inconclusive)


@pytest.mark.parametrize("token", [7, [], {}, "x" * 2049])
def test_a_list_with_an_unusable_page_token_is_inconclusive(token: object) -> None:
    assert isinstance(listing({"tasks": [], "next_page_token": token}), Inconclusive)


@pytest.mark.parametrize("document", [None, [], {}, {"next_page_token": "n"}])
def test_an_answer_without_a_list_is_inconclusive(document: object) -> None:
    assert isinstance(listing(document), Inconclusive)


@pytest.mark.parametrize("status", [302, 400, 401, 404, 429, 500])
def test_a_refused_list_is_inconclusive(status: int) -> None:
    assert isinstance(listing({"tasks": []}, status), Inconclusive)
