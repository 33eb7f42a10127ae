"""The job as clients see it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.job_view import Queue, public, summary
from gateway.lifecycle import STATUS, JobState
from tests.gateway.store.conftest import new_job
from tests.gateway.test_jobs import FULL

QUEUE: Queue = {"position": 3, "ahead_estimate": 7, "eta_seconds": None}


def test_the_public_form_has_exactly_these_fields() -> None:
    assert public(FULL, payload="order 7", queue=QUEUE) == {
        "id": FULL.id,
        "object": "job",
        "status": "completed",
        "phase": "completed",
        "progress": 1.0,
        "model": "viduq2_pro_reference",
        "created_at": "2026-11-22T12:20:00.001Z",
        "started_at": "2026-11-22T12:20:00.010Z",
        "submitted_at": "2026-11-22T12:20:00.040Z",
        "finished_at": "2026-11-22T12:20:00.050Z",
        "expires_at_estimate": "2026-11-22T13:20:00.050Z",
        "output": FULL.output,
        "usage": {"cost": "0.25", "discount": 1},
        "metadata": {"seed": 7},
        "error": {"code": "e", "error_message": "m"},
        "payload": "order 7",
        "callback_url": "https://client.example.com/hook",
        "warnings": FULL.warnings,
        "spend": "certain",
        "resubmissions": 0,
        "on_unknown": "resubmit",
        "unknown_since": None,
        "start_deadline": "2026-11-22T12:21:00.001Z",
        "total_deadline": "2026-11-22T12:22:00.001Z",
        "cancel": {"requested_at": "2026-11-22T12:20:00.045Z", "refused": "too late"},
        "late_result": None,
        "priority": "normal",
        "queue": QUEUE,
        "links": {"self": f"/v1/jobs/{FULL.id}", "cancel": f"/v1/jobs/{FULL.id}/cancel"},
    }


def test_a_new_job_shows_the_same_fields_without_values() -> None:
    document = public(new_job())
    assert document.keys() == public(FULL).keys()
    for name in ("progress", "started_at", "submitted_at", "finished_at", "output", "error", "queue"):
        assert document[name] is None


@pytest.mark.parametrize("state", list(JobState))
def test_every_state_has_a_public_status_beside_its_phase(state: JobState) -> None:
    document = public(replace(FULL, state=state))
    assert (document["status"], document["phase"]) == (STATUS[state], state)
    assert document["progress"] == (1.0 if state is JobState.COMPLETED else 0.25)


@pytest.mark.parametrize("state", sorted(set(JobState) - {JobState.COMPLETED}))
def test_what_was_not_completed_has_no_video_to_expire(state: JobState) -> None:
    assert public(replace(FULL, state=state))["expires_at_estimate"] is None


def test_nothing_inner_is_public() -> None:
    text = str(public(FULL))
    for inner in ("task_1", "tenant", "epoch", "released_at", "ab" * 32, "a fox"):
        assert inner not in text


def test_a_summary_is_the_job_without_its_payload() -> None:
    whole = public(FULL, payload="order 7", queue=QUEUE)
    assert {**summary(FULL, QUEUE), "payload": "order 7"} == whole
    assert "payload" not in summary(FULL)
