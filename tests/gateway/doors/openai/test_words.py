"""A job in the words of OpenAI's videos API: the types that its clients insist on, in every state."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from gateway.assets import Asset, AssetState, Variant
from gateway.doors.base import Document, Refusal, no_link
from gateway.doors.openai import words
from gateway.doors.openai.words import OPENAI
from gateway.errors import Problem
from gateway.events import EVENT_OF, event_id, in_words_of, make
from gateway.jobs import Job
from gateway.lifecycle import JobState
from tests.gateway.doors.openai.wire import Event, HttpError, Video, VideoList
from tests.gateway.doors.test_vtrix import in_state
from tests.gateway.test_jobs import FULL


def wire(document: Document) -> Document:
    """As it arrives."""
    sent: Document = orjson.loads(orjson.dumps(document))
    return sent


def shown(job: Job, payload: str | None = None) -> Video:
    return Video.model_validate(wire(OPENAI.shown(job, payload, no_link)))


@pytest.mark.parametrize("state", JobState)
def test_every_state_is_one_of_openai_s_words(state: JobState) -> None:
    video = shown(in_state(state, error={"code": "e", "error_message": "m"} if state == "failed" else None))
    assert video.status == {
        JobState.QUEUED: "queued",
        JobState.SUBMITTING: "queued",
        JobState.UNKNOWN: "queued",
        JobState.COMPLETED: "completed",
        JobState.FAILED: "failed",
        JobState.CANCELED: "failed",
    }.get(state, "in_progress")
    assert video.phase == state
    assert Video.model_validate(wire(OPENAI.accepted(in_state(state)))).id == FULL.id


def test_times_are_whole_seconds_and_progress_is_whole_per_cent() -> None:
    job = in_state(JobState.SUBMITTED, progress=0.375)
    assert (shown(job).progress, shown(job).created_at) == (37, 1_795_350_000)
    assert shown(replace(job, progress=1.7)).progress == 99
    assert shown(replace(job, progress=None)).progress == 0
    done = in_state(JobState.COMPLETED, progress=0.5)
    assert (shown(done).progress, shown(done).completed_at) == (100, 1_795_350_000)


@pytest.mark.parametrize(
    ("params", "seconds", "size"),
    [
        ({}, "5", "1280x720"),
        ({"duration": 8, "resolution": "1080p", "aspect_ratio": "9:16"}, "8", "1080x1920"),
        ({"duration": 0}, "0", "1280x720"),
    ],
)
def test_length_and_size_are_the_true_ones(params: dict[str, Any], seconds: str, size: str) -> None:
    video = shown(in_state(JobState.SUBMITTED, params=params))
    assert (video.seconds, video.size) == (seconds, size)


@pytest.mark.parametrize(("told", "seconds"), [("7.04", "7"), (6, "6"), (None, "0"), ("x", "0")])
def test_a_length_that_the_model_chose_is_told_when_it_is_known(told: object, seconds: str) -> None:
    output = [{"content": [{"type": "video", "url": "https://x/v.mp4", "duration": told}]}]
    assert shown(in_state(JobState.COMPLETED, params={"duration": 0}, output=output)).seconds == seconds


def test_why_there_is_no_video_is_told_with_our_word() -> None:
    error = shown(in_state(JobState.FAILED, error={"code": "media_lost", "error_message": "m"})).error
    assert error is not None
    assert (error.code, error.message) == ("media_lost", "m")
    canceled = shown(in_state(JobState.CANCELED)).error
    assert canceled is not None
    assert canceled.code == "canceled"
    assert shown(in_state(JobState.COMPLETED)).error is None


def test_a_copy_says_when_it_expires() -> None:
    assert shown(FULL).expires_at is None
    copy = Asset(AssetState.STORED, expires_at=1_795_360_000_123)
    assert shown(replace(FULL, assets={Variant.VIDEO: copy})).expires_at == 1_795_360_000


def test_what_is_more_than_openai_tells() -> None:
    video = shown(replace(FULL, state=JobState.COMPLETED), "order 7")
    assert (video.cost, video.metadata, video.payload) == ("0.25", {"seed": 7}, "order 7")
    assert video.warnings == FULL.warnings


def test_a_page_says_where_the_next_one_begins() -> None:
    page = VideoList.model_validate(wire(words.page([FULL], "job_x")))
    assert (page.first_id, page.last_id, page.has_more) == (FULL.id, "job_x", True)
    last = VideoList.model_validate(wire(words.page([FULL], None)))
    assert (last.last_id, last.has_more) == (FULL.id, False)
    assert VideoList.model_validate(wire(words.page([], None))).first_id is None


@pytest.mark.parametrize("state", EVENT_OF)
def test_an_event_is_openai_s_and_has_the_id_of_its_webhook(state: JobState) -> None:
    job = in_state(state, error={"code": "e", "error_message": "m"} if state == "failed" else None)
    event = Event.model_validate(wire(OPENAI.event(job, "mine", no_link)))
    assert event.type == ("video.completed" if state is JobState.COMPLETED else "video.failed")
    assert event.data == shown(job, "mine")
    assert event.id == in_words_of("openai", make(job, "mine"), b"").id
    assert event.id == event_id(job.id, EVENT_OF[state]) + "_openai"


@pytest.mark.parametrize(
    ("status", "name", "answered", "kind"),
    [
        (422, "invalid-request", 400, "invalid_request_error"),
        (422, "idempotency-mismatch", 422, "invalid_request_error"),
        (400, "malformed-body", 400, "invalid_request_error"),
        (401, "unauthenticated", 401, "authentication_error"),
        (402, "budget-exceeded", 402, "insufficient_quota"),
        (403, "scope-missing", 403, "permission_error"),
        (404, "not-found", 404, "invalid_request_error"),
        (408, "body-too-slow", 400, "invalid_request_error"),
        (409, "conflict", 400, "invalid_request_error"),
        (413, "body-too-large", 413, "invalid_request_error"),
        (429, "limit-reached", 429, "rate_limit_error"),
        (501, "not-implemented", 400, "invalid_request_error"),
        (503, "unavailable", 503, "server_error"),
    ],
)
def test_an_error_has_openai_s_shape_and_a_status_that_its_clients_take_rightly(
    status: int, name: str, answered: int, kind: str
) -> None:
    found, body = OPENAI.refused(Refusal(status, name, "detail", [], "req_1"))
    error = HttpError.model_validate(wire(body)).error
    assert (found, error.type, error.code, error.param) == (answered, kind, name.replace("-", "_"), None)
    assert (error.message, error.request_id) == ("detail", "req_1")


def test_an_error_names_the_first_fault_and_tells_all() -> None:
    problems = [Problem("seconds", "out_of_range", "is 11"), Problem("size", "not_one_of", "is odd")]
    _, body = OPENAI.refused(Refusal(422, "invalid-request", "2 problems", problems, "req_1"))
    error = HttpError.model_validate(wire(body)).error
    assert (error.param, error.code) == ("seconds", "out_of_range")
    assert error.message == "seconds: is 11; size: is odd"
    assert [one.param for one in error.errors] == ["seconds", "size"]


def test_a_video_that_is_not_ready_has_openai_s_code() -> None:
    problem = Problem("job_id", "result_not_ready", "not yet")
    status, body = OPENAI.refused(Refusal(404, "result-not-ready", "not yet", [problem], "req_1"))
    error = HttpError.model_validate(wire(body)).error
    assert (status, error.code, error.param) == (404, "video_not_ready", "video_id")
