"""The job as clients see it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.assets import Asset, AssetState, Variant
from gateway.lifecycle import STATUS, JobState
from gateway.views.job import Queue, public, summary
from tests.gateway.store.conftest import new_job
from tests.gateway.test_jobs import FULL

QUEUE: Queue = {"position": 3, "ahead_estimate": 7, "eta_seconds": None}


def test_the_public_form_has_exactly_these_fields() -> None:
    assert public(FULL, client_url="", payload="order 7", queue=QUEUE) == {
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
        "output": [
            {
                "content": [
                    {
                        "type": "video",
                        "url": "https://cdn.example.com/v.mp4",
                        "stable_url": f"/v1/jobs/{FULL.id}/content?variant=video",
                    }
                ]
            }
        ],
        "assets": {
            "video": {
                "url": f"/v1/jobs/{FULL.id}/content?variant=video",
                "state": "pending",
                "bytes": None,
                "sha256": None,
                "media_type": None,
                "expires_at": None,
                "reason": None,
            }
        },
        "usage": {"cost": "0.25", "discount": 1},
        "cost": {
            "estimate": None,
            "upper_bound": False,
            "reserved": "0.0000",
            "charged": None,
            "basis": None,
            "currency": "USD",
        },
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
    document = public(new_job(), client_url="")
    assert document.keys() == public(FULL, client_url="").keys()
    for name in ("progress", "started_at", "submitted_at", "finished_at", "output", "error", "queue"):
        assert document[name] is None


def test_the_stable_address_begins_with_the_gateway_s_own() -> None:
    output = [{"content": [{"type": "text"}, {"url": "v"}, {"url": "w"}]}, {"content": [{"url": "x"}]}]
    document = public(replace(FULL, output=output), client_url="https://gateway.example.com")
    stable = f"https://gateway.example.com/v1/jobs/{FULL.id}/content?variant=video"
    assert document["output"] == [
        {"content": [{"type": "text"}, {"url": "v", "stable_url": stable}, {"url": "w"}]},
        {"content": [{"url": "x"}]},
    ]
    assert document["assets"]["video"]["url"] == stable
    assert output[0]["content"][1] == {"url": "v"}, "the stored output is as the upstream sent it"


def test_what_was_copied_is_shown_with_its_hash_and_its_end() -> None:
    asset = Asset(
        AssetState.STORED,
        "https://up/c",
        1,
        2,
        "results/a/c.jpg",
        7,
        "ab" * 32,
        "image/jpeg",
        1_795_350_000_001,
    )
    shown = public(replace(FULL, assets={Variant.COVER: asset}), client_url="")["assets"]
    assert shown == {
        "cover": {
            "url": f"/v1/jobs/{FULL.id}/content?variant=cover",
            "state": "stored",
            "bytes": 7,
            "sha256": "ab" * 32,
            "media_type": "image/jpeg",
            "expires_at": "2026-11-22T12:20:00.001Z",
            "reason": None,
        }
    }


@pytest.mark.parametrize("state", list(JobState))
def test_every_state_has_a_public_status_beside_its_phase(state: JobState) -> None:
    document = public(replace(FULL, state=state), client_url="")
    assert (document["status"], document["phase"]) == (STATUS[state], state)
    assert document["progress"] == (1.0 if state is JobState.COMPLETED else 0.25)


@pytest.mark.parametrize("state", sorted(set(JobState) - {JobState.COMPLETED}))
def test_what_was_not_completed_has_no_video_to_expire(state: JobState) -> None:
    assert public(replace(FULL, state=state), client_url="")["expires_at_estimate"] is None


def test_nothing_inner_is_public() -> None:
    text = str(public(FULL, client_url=""))
    for inner in ("task_1", "tenant", "epoch", "released_at", "ab" * 32, "a fox"):
        assert inner not in text


def test_a_summary_is_the_job_without_its_payload() -> None:
    whole = public(FULL, client_url="", payload="order 7", queue=QUEUE)
    assert {**summary(FULL, client_url="", queue=QUEUE), "payload": "order 7"} == whole
    assert "payload" not in summary(FULL, client_url="")


def test_amounts_of_a_job_are_decimal_strings() -> None:
    job = replace(FULL, estimate=500_000, upper_bound=True, reserved=1_000_000, charged=275_001)
    shown = public(replace(job, charge_basis="upstream"), client_url="", currency="EUR")["cost"]
    assert shown == {
        "estimate": "0.5000",
        "upper_bound": True,
        "reserved": "1.0000",
        "charged": "0.275001",
        "basis": "upstream",
        "currency": "EUR",
    }
    assert public(replace(FULL, charged=0), client_url="")["cost"]["charged"] == "0.0000"
