"""What becomes of answers of older and newer gateways."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.client import Delivery, Endpoint, Job, errors
from gateway.client.records import read

JOB = {
    "id": "job_1",
    "status": "completed",
    "created_at": "2026-12-01T08:00:00.123Z",
    "output": [
        {"content": [{"type": "video", "url": "https://x/1", "stable_url": "/v1/jobs/job_1/content"}]}
    ],
    "assets": {"video": {"state": "stored", "expires_at": "2026-12-02T08:00:00Z", "new": 1}},
    "warnings": [{"param": "a", "code": "b", "message": "c"}],
    "queue": None,
    "from_tomorrow": {"x": [1]},
}


def test_a_record_has_types_all_the_way_down() -> None:
    job = read(Job, JOB)
    assert job.created_at == datetime(2026, 12, 1, 8, 0, 0, 123_000, UTC)
    assert job.output is not None
    assert job.output[0].content[0].stable_url == job.video_url == "/v1/jobs/job_1/content"
    assert job.assets["video"].expires_at == datetime(2026, 12, 2, 8, tzinfo=UTC)
    assert job.warnings[0].code == "b"
    assert job.final


def test_unknown_fields_do_no_harm_and_are_kept() -> None:
    job = read(Job, JOB)
    assert job.raw["from_tomorrow"] == {"x": [1]}
    assert job.assets["video"].raw["new"] == 1


def test_absent_fields_have_defaults() -> None:
    job = read(Job, {"id": "job_1", "status": "queued"})
    assert (job.output, job.assets, job.warnings, job.priority, job.video_url) == (
        None,
        {},
        (),
        "normal",
        None,
    )
    assert not job.final
    assert read(Endpoint, {"id": "ep_1", "url": "x"}).health.held == 0
    assert read(Delivery, {"id": "d", "state": "dead", "log": [{"number": 1}]}).log == ({"number": 1},)


def test_values_of_another_form_are_left_as_they_came() -> None:
    assert read(Job, {**JOB, "created_at": "soon", "warnings": "none"}).created_at == "soon"


@pytest.mark.parametrize("given", [None, [], "job", {}, {"id": "job_1"}])
def test_what_is_no_such_record_is_an_error(given: object) -> None:
    with pytest.raises(errors.GatewayError, match="Job"):
        read(Job, given)


def test_a_record_cannot_be_changed() -> None:
    job = read(Job, JOB)
    with pytest.raises(AttributeError):
        job.status = "failed"  # type: ignore[misc]
