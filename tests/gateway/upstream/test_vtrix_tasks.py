"""What the dialect makes of tasks and callbacks, in every form that was seen and in forms that were not."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from gateway.upstream.base import (
    Dialect,
    Found,
    Hint,
    Inconclusive,
    Missing,
    Snapshot,
    TaskStatus,
    UpstreamError,
)
from gateway.upstream.vtrix import VtrixDialect

DIALECT: Dialect = VtrixDialect()
VIDEO = {"type": "video", "url": "https://cdn.example.com/v.mp4"}


def snapshot_of(document: dict[str, object]) -> Snapshot:
    outcome = DIALECT.read_task(200, {}, orjson.dumps({"id": "t1", **document}))
    assert isinstance(outcome, Found)
    return outcome.snapshot


# ---- a task ----


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (404, Missing),
        (429, Inconclusive),
        (500, Inconclusive),
        (401, Inconclusive),
        (302, Inconclusive),
        (410, Inconclusive),
    ],
)
def test_a_poll_that_shows_no_task(status: int, outcome: type[object]) -> None:
    assert type(DIALECT.read_task(status, {}, b'{"id":"t1","status":"completed"}')) is outcome


@pytest.mark.parametrize("name", ["status", "state"])
@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("in_progress", TaskStatus.IN_PROGRESS),
        ("processing", TaskStatus.IN_PROGRESS),
        ("archiving", TaskStatus.IN_PROGRESS),
        ("completed", TaskStatus.COMPLETED),
        ("Completed", TaskStatus.COMPLETED),
        ("success", TaskStatus.COMPLETED),
        ("done", TaskStatus.COMPLETED),
        ("failed", TaskStatus.FAILED),
    ],
)
def test_the_status_is_read_and_its_raw_word_kept(name: str, word: str, status: TaskStatus) -> None:
    snapshot = snapshot_of({name: word})
    assert (snapshot.status, snapshot.raw_status) == (status, word)


@pytest.mark.parametrize("word", [None, "", 3.5, True, {}, ["completed"]])
def test_without_a_status_nothing_is_inferred(word: object) -> None:
    document = {
        "id": "t1",
        "status": word,
        "output": [{"content": [{"url": "https://x/v.mp4"}]}],
        "error": "e",
    }
    assert isinstance(DIALECT.read_task(200, {}, orjson.dumps(document)), Inconclusive)


def test_completed_with_an_error_has_failed() -> None:
    snapshot = snapshot_of({"status": "completed", "error": {"code": 9, "message": "half"}})
    assert (snapshot.status, snapshot.error) == (TaskStatus.FAILED, UpstreamError("9", "half"))


@pytest.mark.parametrize(
    "error", [None, "", {}, {"code": 0, "error_message": ""}, {"code": 0, "message": "success"}]
)
def test_completed_with_an_empty_error_is_completed(error: object) -> None:
    snapshot = snapshot_of({"status": "completed", "error": error})
    assert (snapshot.status, snapshot.error) == (TaskStatus.COMPLETED, None)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ({"code": 1027, "error_message": "unsafe"}, "1027", "unsafe"),
        ({"code": "002014001", "message": "video generation failed"}, "002014001", "video generation failed"),
        ({"code": "", "message": "m"}, "upstream_error", "m"),
        ({"code": True, "message": "m"}, "upstream_error", "m"),
        ({"code": 1.5, "message": 3}, "upstream_error", "the upstream gave no reason"),
        ({"code": 0, "message": "m"}, "0", "m"),
        ("plain words", "upstream_error", "plain words"),
        (None, "upstream_error", "the upstream gave no reason"),
        ([], "upstream_error", "the upstream gave no reason"),
        ({"code": 1, "message": "a\x00b\x1b[31m\r\nc\u202ed"}, "1", "ab[31m cd"),
    ],
)
def test_an_error_is_read_in_every_form(error: object, code: str, message: str) -> None:
    assert snapshot_of({"status": "failed", "error": error}).error == UpstreamError(code, message)


def test_messages_are_truncated() -> None:
    snapshot = snapshot_of({"status": "failed", "error": {"code": "c" * 900, "message": "m" * 100_000}})
    assert snapshot.error == UpstreamError("c" * 64, "m" * 500)


def test_a_complete_task_is_read() -> None:
    item = {
        "type": "video",
        "url": "https://cdn.example.com/v.mp4",
        "jobId": "911088422699962368",
        "duration": "5",
    }
    document = {
        "created_at": 1767225600,
        "status": "completed",
        "model": "viduq2_pro_reference",
        "progress": 1,
        "output": [{"content": [item]}],
        "usage": {"cost": "0.2750", "discount": 0, "quantity": 1},
        "metadata": {"timing": {"queued": 3}},
    }
    assert snapshot_of(document) == Snapshot(
        task_id="t1",
        status=TaskStatus.COMPLETED,
        raw_status="completed",
        progress=1.0,
        output=[{"content": [item]}],
        usage={"cost": "0.2750", "discount": 0},
        metadata={"timing": {"queued": 3}},
    )


@pytest.mark.parametrize(("payload", "reference"), [("ref", "ref"), ("", None), (7, None), ({}, None)])
def test_our_own_mark_is_read_where_it_is_echoed(payload: object, reference: str | None) -> None:
    assert snapshot_of({"status": "in_progress", "payload": payload}).reference == reference


# ---- callbacks ----


@pytest.mark.parametrize(
    ("document", "hint"),
    [
        ({"id": "t1", "status": "completed", "output": []}, Hint("t1", TaskStatus.COMPLETED)),
        ({"id": "t1", "status": "in_progress", "progress": 0.5}, Hint("t1", TaskStatus.IN_PROGRESS)),
        ({"task_id": 7, "status": "failed", "error": "e"}, Hint("7", TaskStatus.FAILED)),
        ({"id": "t1", "status": "completed", "error": "e"}, Hint("t1", TaskStatus.FAILED)),
        ({"id": "t1", "output": []}, Hint("t1", None)),
        ({"status": "completed"}, Hint(None, TaskStatus.COMPLETED)),
        ({"id": "9", "state": "success", "creations": []}, Hint("9", TaskStatus.COMPLETED, foreign=True)),
        ({"state": "processing", "err_code": ""}, Hint(None, TaskStatus.IN_PROGRESS, foreign=True)),
        ({"id": "9", "status": "success"}, Hint("9", TaskStatus.COMPLETED, foreign=True)),
        (
            {"id": "9", "status": "failed", "err_code": "AuditFailed"},
            Hint("9", TaskStatus.FAILED, foreign=True),
        ),
        ({"creations": []}, Hint(None, None, foreign=True)),
        ({"id": "t1"}, Hint()),
        ({}, Hint()),
        ([], Hint()),
        (None, Hint()),
        ("completed", Hint()),
    ],
)
def test_a_callback_is_a_hint(document: object, hint: Hint) -> None:
    told = DIALECT.read_callback(orjson.dumps(document))
    assert replace(told, snapshot=None) == hint
    assert (told.snapshot is not None) == (hint.status not in (None, TaskStatus.IN_PROGRESS))


def test_a_final_callback_has_a_snapshot() -> None:
    own = {"id": "t1", "status": "completed", "output": [{"content": [VIDEO]}], "payload": "ref"}
    assert DIALECT.read_callback(orjson.dumps(own)).snapshot == Snapshot(
        "t1", TaskStatus.COMPLETED, "completed", output=[{"content": [VIDEO]}], reference="ref"
    )


def test_a_forwarded_vidu_callback_has_a_snapshot() -> None:
    creation = {"id": "8", "url": VIDEO["url"], "cover_url": "https://cdn.example.com/c.jpg"}
    theirs = {"id": "9", "state": "success", "err_code": "", "credits": 55, "creations": [creation]}
    hint = DIALECT.read_callback(orjson.dumps(theirs))
    assert hint.foreign
    assert hint.snapshot == Snapshot(
        "9",
        TaskStatus.COMPLETED,
        "success",
        output=[{"content": [{**creation, "type": "video"}]}],
        metadata={"credits": 55},
    )


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"{", b"[" * 100_000, b'{"id":NaN}', b'{"status":"\\ud800"}']
)
def test_a_callback_that_cannot_be_read_is_an_empty_hint(body: bytes) -> None:
    assert DIALECT.read_callback(body) == Hint()
