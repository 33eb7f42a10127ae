"""Whatever bytes an upstream sends: no dialect raises, and what it reads can be kept."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream import dialects
from gateway.upstream.base import Accepted, Dialect, Found, Inconclusive, Listing, TaskStatus, Unknown

DIALECTS = [dialects.make("vtrix"), dialects.make("vidu")]
NAMES = st.one_of(
    st.sampled_from(
        ["id", "task_id", "status", "state", "progress", "usage", "cost", "discount", "metadata", "credits"]
    ),
    st.sampled_from(["error", "code", "message", "error_message", "err_code", "detail", "reason", "payload"]),
    st.sampled_from(["output", "content", "url", "type", "creations"]),
    st.sampled_from(["tasks", "next_page_token", "created_at", "prompt", "model"]),
)
WORDS = st.sampled_from(
    [
        *("completed", "failed", "in_progress", "success", "https://x/v.mp4", "1e999999999", "0.1"),
        *("UserCancelled", "CreditInsufficient", "2026-01-20T06:52:02.323Z", "0001-01-01T00:00:00+23:59"),
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20) + 1, 10**20 - 1)
    | st.floats()
    | st.text(max_size=20)
    | WORDS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=6)
    ),
    max_leaves=30,
)


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


LISTS = st.lists(st.dictionaries(NAMES, VALUES, max_size=6), max_size=3).map(
    lambda rows: as_json({"tasks": rows})
)
BODIES = (
    st.binary(max_size=200)
    | st.dictionaries(NAMES, VALUES, max_size=8).map(as_json)
    | VALUES.map(as_json)
    | LISTS
)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@given(body=BODIES, status=st.integers(100, 599), wait=st.text(max_size=40))
def test_a_dialect_never_raises_for_an_answer(dialect: Dialect, body: bytes, status: int, wait: str) -> None:
    headers = {"retry-after": wait, "date": wait}
    outcome = dialect.read_created(status, headers, body)
    assert isinstance(outcome, Accepted) <= (200 <= status < 300)
    dialect.read_task(status, headers, body)
    dialect.read_canceled(status, headers, body)
    listing = dialect.read_list(status, headers, body)
    assert isinstance(listing, Inconclusive) or (200 <= status < 300 and isinstance(listing, Listing))
    hint = dialect.read_callback(body)
    assert hint.task_id is None or 1 <= len(hint.task_id) <= 128
    assert hint.snapshot is None or hint.snapshot.status is hint.status


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@given(body=BODIES)
def test_everything_that_was_read_can_be_written_as_json(dialect: Dialect, body: bytes) -> None:
    outcome = dialect.read_task(200, {}, body)
    if isinstance(outcome, Found):
        snapshot = outcome.snapshot
        orjson.dumps([snapshot.output, snapshot.usage, snapshot.metadata, snapshot.progress])
        ended_badly = snapshot.status in (TaskStatus.FAILED, TaskStatus.CANCELED)
        assert (snapshot.error is not None) == ended_badly or not snapshot.understood


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"id":"t1"}',
        b'{"id":"t1","note":"caf\xe9"}',
        b'{"id":"t1","status":"created","status":"created"}',
        b'{"id":"t1","seed":NaN}',
    ],
    ids=["byte order mark", "not UTF-8", "a key twice", "not a number"],
)
def test_a_task_that_was_paid_for_is_accepted_from_an_answer_in_poor_form(
    dialect: Dialect, body: bytes
) -> None:
    assert dialect.read_created(200, {}, body) == Accepted("t1")


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize(
    "body",
    [
        b'{"id":"t1","id":null,"error":"no"}',
        b'\xef\xbb\xbf{"error":"no"}',
        b'{"id":"t\xff1","error":"no"}',
        b'{"id":"t1',
    ],
)
def test_an_answer_in_poor_form_proves_no_refusal_and_names_no_damaged_id(
    dialect: Dialect, body: bytes
) -> None:
    assert isinstance(dialect.read_created(200, {}, body), Unknown)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_an_answer_with_two_ids_names_no_task(dialect: Dialect) -> None:
    body = b'{"id":"a","status":"created","id":"b"}'
    assert isinstance(dialect.read_created(200, {}, body), Unknown)
    assert dialect.read_callback(body).task_id is None
    polled = dialect.read_task(200, {}, body)
    assert isinstance(polled, Found)
    assert polled.snapshot.task_id == ""
    assert dialect.read_created(200, {}, b'{"id":"a","id":"a"}') == Accepted("a")


def test_a_refusal_in_poor_form_keeps_its_reason() -> None:
    refusal = b'\xef\xbb\xbf{"code":400,"reason":"Conflict","message":"m"}'
    assert isinstance(dialects.make("vidu").read_created(400, {}, refusal), Unknown)


def test_integers_too_large_for_our_records_become_text() -> None:
    extra = b'{"id":"t1","status":"completed","metadata":{"n":[99999999999999999999,18446744073709551615]}}'
    outcome = DIALECTS[0].read_task(200, {}, extra)
    assert isinstance(outcome, Found)
    assert outcome.snapshot.metadata == {"n": ["99999999999999999999", 18446744073709551615]}
    orjson.dumps(outcome.snapshot.metadata)
