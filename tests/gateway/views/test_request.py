"""A job shows what was asked for, and never the content of a file."""

from __future__ import annotations

from dataclasses import replace

from pydantic import TypeAdapter

from gateway import events
from gateway.views.job import public, summary, whole
from gateway.views.request import JobRequest, request_of
from tests.gateway.store.conftest import new_job
from tests.gateway.test_jobs import FULL

_SHAPE = TypeAdapter[JobRequest](JobRequest)


def test_the_parameters_are_shown_as_they_were_posted() -> None:
    params = {"images": ["https://cdn.example.com/a.png"], "prompt": "a fox", "duration": 0, "bgm": True}
    job = new_job(params=params)
    assert request_of(job) == {"model": "viduq2_pro_reference", **params}
    _SHAPE.validate_python(request_of(job), strict=True)


def test_a_file_is_shown_by_its_type_and_size_and_an_upload_by_its_id() -> None:
    files = [
        "blob:job_1/ab.jpg",
        "upload:upl_01KAN7Q8ZJ4W6T3M5X9R2B1CDE.png",
        "https://cdn.example.com/a.png",
    ]
    params = {"images": files, "videos": ["blob:job_1/cd.mp4"], "prompt": "a fox"}
    shown = request_of(new_job(params=params, inline_bytes={"images[0]": 70}))
    assert shown is not None
    assert shown["images"] == [
        {"media_type": "image/jpeg", "bytes": 70},
        "upl_01KAN7Q8ZJ4W6T3M5X9R2B1CDE",
        "https://cdn.example.com/a.png",
    ]
    assert shown["videos"] == [{"media_type": "video/mp4", "bytes": None}]
    _SHAPE.validate_python(shown, strict=True)


def test_a_record_that_was_made_again_has_no_request() -> None:
    assert request_of(replace(FULL, params={})) is None


def test_lists_and_events_leave_it_out() -> None:
    assert whole(FULL, client_url="", payload=None, queue=None)["request"] == request_of(FULL)
    assert "request" not in public(FULL, client_url="")
    assert "request" not in summary(FULL, client_url="")
    assert b'"request"' not in events.make(FULL, None).body
