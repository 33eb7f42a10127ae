"""A completed task is paid for: whatever the form of its result, the video that it names is kept."""

from __future__ import annotations

import gzip
from typing import Any

import orjson
import pytest

from gateway.upstream import dialects
from gateway.upstream.base import Dialect, Found, Snapshot, TaskStatus
from gateway.upstream.results import read_output, shows_video
from tests.gateway.upstream.scripted import ACCEPTED, answers
from tests.gateway.upstream.submitting import CountingGate, meeting, submit
from tests.gateway.upstream.test_http_query import poll

URL = "https://cdn.example.com/v.mp4"
VIDEO = {"type": "video", "url": URL}
DIALECTS = [dialects.make("vtrix"), dialects.make("vidu")]
each_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)


def snapshot_of(dialect: Dialect, document: object) -> Snapshot:
    outcome = dialect.read_task(200, {}, orjson.dumps(document))
    assert isinstance(outcome, Found)
    return outcome.snapshot


def video_of(snapshot: Snapshot) -> object:
    [group] = snapshot.output
    content: Any = group["content"]
    [item] = content
    return item["url"]


def codes(snapshot: Snapshot) -> list[tuple[str, str]]:
    return [(warning.param, warning.code) for warning in snapshot.warnings]


@pytest.mark.parametrize(
    ("value", "output"),
    [
        ([{"content": [VIDEO]}], [{"content": [VIDEO]}]),
        (
            [{"content": [VIDEO, VIDEO]}, {"content": [VIDEO]}],
            [{"content": [VIDEO, VIDEO]}, {"content": [VIDEO]}],
        ),
        ({"content": [VIDEO]}, [{"content": [VIDEO]}]),
        ({"content": VIDEO}, [{"content": [VIDEO]}]),
        (VIDEO, [{"content": [VIDEO]}]),
        ([VIDEO], [{"content": [VIDEO]}]),
        ([{"content": [], "url": URL}], [{"content": [VIDEO]}]),
        ([{"content": [{"url": URL}]}], [{"content": [VIDEO]}]),
        ([{"content": [{"type": "text", "text": "hi"}]}], [{"content": [{"type": "text", "text": "hi"}]}]),
        (
            [{"content": [{**VIDEO, "jobId": "9", "duration": 5}]}],
            [{"content": [{**VIDEO, "jobId": "9", "duration": 5}]}],
        ),
        ([{"content": [{**VIDEO, "watermarked_url": None}]}], [{"content": [VIDEO]}]),
        (URL, [{"content": [{"url": URL, "type": "video"}]}]),
        ([{"content": []}, {"content": ["x", None]}, {}, None, 7, "x", []], []),
        ([{"content": [{"url": 7}, {"url": ""}, {"url": " "}]}], []),
        ({"message": "see https://x", "src": "camera"}, []),
        (None, []),
    ],
)
def test_output_becomes_the_published_groups(value: object, output: list[dict[str, object]]) -> None:
    found, warnings = read_output(value)
    assert (found, warnings) == (output, [])


@each_dialect
@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("https://cdn.example.com/my video.mp4", "https://cdn.example.com/my%20video.mp4"),
        (" https://cdn.example.com/v.mp4\n", URL),
        ("https://cdn.example.com/\nv.mp4", URL),
        ("//cdn.example.com/v.mp4", URL),
        ("https://cdn.example.com/视.mp4?a=ü", "https://cdn.example.com/%E8%A7%86.mp4?a=%C3%BC"),
        ('https://cdn.example.com/<"\\>%20\x7f', "https://cdn.example.com/%3C%22%5C%3E%20%7F"),
        ("https://cdn.example.com?sig=a b", "https://cdn.example.com?sig=a%20b"),
    ],
)
def test_what_can_be_encoded_is_encoded_and_a_warning_says_so(dialect: Dialect, sent: str, kept: str) -> None:
    snapshot = snapshot_of(dialect, {"status": "completed", "output": [{"content": [{"url": sent}]}]})
    assert (snapshot.status, video_of(snapshot)) == (TaskStatus.COMPLETED, kept)
    assert codes(snapshot) == [("output[0].content[0].url", "output_url_changed")]


@pytest.mark.parametrize(
    "url",
    [
        "cdn.example.com/v.mp4",
        "/files/v.mp4",
        "ftp://cdn.example.com/v.mp4",
        "s3://bucket/v.mp4",
        "data:video/mp4;base64,AAAA",
        "javascript:alert(1)",
        "https:///v.mp4",
        "https://user:secret@cdn.example.com/v.mp4",
        "https://good.example.com\\@evil.example.com/",
        "https://[::1/v.mp4",
        "https://видео.example.com/v.mp4",
        "https://cdn.example.com/" + "a" * 5000,
    ],
)
def test_what_cannot_be_judged_is_kept_as_it_came_and_a_warning_says_so(url: str) -> None:
    snapshot = snapshot_of(DIALECTS[0], {"status": "SUCCESS", "output": [{"content": [{"url": url}]}]})
    assert (snapshot.status, video_of(snapshot)) == (TaskStatus.COMPLETED, url)
    [warning] = snapshot.warnings
    assert (warning.param, warning.code) == ("output[0].content[0].url", "output_url_unusual")
    assert "secret" not in warning.message


@each_dialect
@pytest.mark.parametrize(
    "result",
    [
        {"output": URL},
        {"output": [URL]},
        {"output": {"video_url": URL}},
        {"output": [], "creations": [{"url": URL}]},
        {"creations": [{"url": "", "watermarked_url": URL}]},
        {"output": [{"content": [{"url": {"url": URL}}]}]},
        {"output": [{"content": [{"urls": [URL, "https://cdn.example.com/2.mp4"]}]}]},
        {"output": None, "video_url": URL},
        {"url": URL},
        {"videos": [URL]},
        {"video": {"url": URL, "content_type": "video/mp4"}},
        {"result": {"videos": [{"url": URL}]}},
        {"data": {"task_result": {"videos": [{"id": "1", "url": URL}]}}},
    ],
)
def test_a_video_is_found_wherever_the_upstream_names_it(dialect: Dialect, result: dict[str, object]) -> None:
    snapshot = snapshot_of(dialect, {"id": "t1", "status": "completed", **result})
    assert (snapshot.status, video_of(snapshot)) == (TaskStatus.COMPLETED, URL)


def test_a_video_under_another_name_has_a_warning() -> None:
    snapshot = snapshot_of(DIALECTS[0], {"status": "done", "output": [{"download_url": URL}]})
    assert codes(snapshot) == [("output[0].content[0].url", "output_url_moved")]
    assert "download_url" in snapshot.warnings[0].message


@each_dialect
@pytest.mark.parametrize("error", [{"code": 200, "message": "fine"}, "half", {"code": "UserCancelled"}])
def test_a_video_beside_an_error_is_kept_with_a_warning(dialect: Dialect, error: object) -> None:
    done = {"id": "t1", "status": "completed", "output": [{"content": [VIDEO]}], "error": error}
    snapshot = snapshot_of(dialect, done)
    assert (snapshot.status, snapshot.error) == (TaskStatus.COMPLETED, None)
    assert codes(snapshot) == [("output", "output_with_error")]
    assert snapshot_of(dialect, {**done, "output": []}).status is not TaskStatus.COMPLETED


@each_dialect
@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"id":"t1","status":"completed","output":["%s"]}',
        b'{"id":"t1","status":"completed","progress":NaN,"output":["%s"]}',
        b'{"id":"t1","status":"queued","status":"completed","output":["%s"]}',
        b'{"id":"t1","status":"completed","output":["%s"],"metadata":{"note":"\xff"}}',
        b'{"id":"t1","status":"completed","output":["%s"],"metadata":{"note":"\\ud800"}}',
        b'{"id":"t1","status":"completed","output":["%s"],"metadata":{"n":1%s}}'.replace(b"1%s", b"1" * 400),
        b'{"code":"success","message":"","data":{"id":7,"task_id":"t1","status":"SUCCESS","output":["%s"]}}',
    ],
)
async def test_a_result_is_read_from_an_answer_in_poor_form(dialect: Dialect, body: bytes) -> None:
    outcome = dialect.read_task(200, {}, body % URL.encode())
    assert isinstance(outcome, Found)
    assert (outcome.snapshot.status, video_of(outcome.snapshot)) == (TaskStatus.COMPLETED, URL)
    orjson.dumps([outcome.snapshot.output, outcome.snapshot.metadata])
    polled = await poll(answers(200, body % URL.encode()))
    assert isinstance(polled, Found)
    assert polled.snapshot.task_id == "t1"


async def test_an_answer_that_is_compressed_all_the_same_is_read() -> None:
    done = orjson.dumps({"id": "t1", "status": "completed", "output": [URL]})
    polled = await poll(answers(200, gzip.compress(done), content_encoding="gzip"))
    assert isinstance(polled, Found)
    assert shows_video(polled.snapshot.output)
    async with meeting(answers(200, gzip.compress(ACCEPTED), content_encoding="gzip")) as (upstream, _):
        assert getattr(await submit(upstream, CountingGate()), "task_id", None) == "t1"


def test_warnings_are_limited() -> None:
    many = [{"url": f"/{number}.mp4"} for number in range(500)]
    snapshot = snapshot_of(DIALECTS[0], {"status": "completed", "output": many})
    assert len(snapshot.output) == 500
    assert len(snapshot.warnings) == 10
