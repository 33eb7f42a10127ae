"""Each word for a task's state means the same in every dialect, in a poll and in a callback."""

from __future__ import annotations

import orjson
import pytest

from gateway.upstream import dialects
from gateway.upstream.base import Accepted, Dialect, Found, TaskStatus, UpstreamError
from gateway.upstream.status_words import status_of

DIALECTS = [dialects.make("vtrix"), dialects.make("vidu")]
each_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
WORDS: list[tuple[str, TaskStatus | None]] = [
    *((word, TaskStatus.COMPLETED) for word in ("completed", "SUCCESS", "Succeeded", "done", "FINISHED")),
    *((word, TaskStatus.FAILED) for word in ("failed", "FAILURE", "fail", "Error", "expired", "timed out")),
    *((word, TaskStatus.CANCELED) for word in ("canceled", "cancelled", "CANCELLED", "aborted")),
    *((word, TaskStatus.IN_PROGRESS) for word in ("queued", "NOT_START", "IN_PROGRESS", "InProgress")),
    *((word, TaskStatus.IN_PROGRESS) for word in ("in-progress", "TASK_STATUS_RUNNING", "cancelling")),
    *((word, None) for word in ("unknown", "frozen", "3", "successless", "_", "完成")),
]


@pytest.mark.parametrize(("word", "status"), WORDS)
def test_a_word_has_one_meaning_in_any_spelling(word: str, status: TaskStatus | None) -> None:
    assert status_of(word) is status


@each_dialect
@pytest.mark.parametrize("field", ["status", "state"])
@pytest.mark.parametrize(("word", "status"), WORDS)
def test_a_poll_a_callback_and_a_first_answer_read_it_alike(
    dialect: Dialect, field: str, word: str, status: TaskStatus | None
) -> None:
    body = orjson.dumps({"id": "t1", field: word})
    poll = dialect.read_task(200, {}, body)
    assert isinstance(poll, Found)
    assert (poll.snapshot.understood, poll.snapshot.raw_status) == (status is not None, word)
    assert poll.snapshot.status is (status or TaskStatus.IN_PROGRESS)
    assert dialect.read_callback(body).status is status
    created = dialect.read_created(200, {}, body)
    assert isinstance(created, Accepted)
    final = status not in (None, TaskStatus.IN_PROGRESS)
    assert (created.snapshot is not None and created.snapshot.status is status) == final


@each_dialect
@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"error": "moderation"}, UpstreamError("upstream_error", "moderation")),
        (
            {"err_code": "AuditFailed"},
            UpstreamError("AuditFailed", "the upstream gave no reason but its code"),
        ),
        ({"fail_reason": "too dark"}, UpstreamError("upstream_error", "too dark")),
        ({}, UpstreamError("upstream_error", "the upstream gave no reason but its status: FAILURE")),
    ],
)
def test_a_failure_keeps_its_reason(dialect: Dialect, said: dict[str, object], error: UpstreamError) -> None:
    poll = dialect.read_task(200, {}, orjson.dumps({"id": "t1", "status": "FAILURE", **said}))
    assert isinstance(poll, Found)
    assert (poll.snapshot.status, poll.snapshot.error) == (TaskStatus.FAILED, error)


@each_dialect
def test_what_is_said_beside_a_word_that_nobody_knows_is_kept(dialect: Dialect) -> None:
    body = {"id": "t1", "status": "fro\x1b[1mzen\u202e" + "x" * 100, "error": {"code": 9, "message": "no"}}
    poll = dialect.read_task(200, {}, orjson.dumps(body))
    assert isinstance(poll, Found)
    assert poll.snapshot.error == UpstreamError("9", "no")
    assert poll.snapshot.raw_status == "fro[1mzen" + "x" * 55


@each_dialect
@pytest.mark.parametrize("status", [1, 200, 0])
def test_a_number_is_a_word_that_nobody_knows(dialect: Dialect, status: int) -> None:
    poll = dialect.read_task(200, {}, orjson.dumps({"id": "t1", "status": status}))
    assert isinstance(poll, Found)
    assert (poll.snapshot.understood, poll.snapshot.raw_status) == (False, str(status))
