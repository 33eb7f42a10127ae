"""Events: the same id and bytes for whoever makes them, and small ones."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from gateway import events
from gateway.assets import Asset, AssetState, Variant
from gateway.events import EVENT_OF, EventType
from gateway.jobs import EVENT_PAYLOAD_CHARACTERS
from gateway.lifecycle import FINAL, JobState
from gateway.views.job import public
from tests.gateway.store.conftest import new_job

JOB = new_job(id="job_01M81JHAW84EGFGT4ZRK7P4HYT", state=JobState.COMPLETED, finished_at=1_795_334_400_007)


def test_every_final_state_has_an_event_and_no_other() -> None:
    assert set(EVENT_OF) == FINAL
    steps = {EventType.QUEUED, EventType.SUBMITTED, EventType.MIRRORED, EventType.BUDGET_THRESHOLD}
    assert set(EVENT_OF.values()) == set(EventType) - {EventType.LATE_RESULT} - steps


def test_whoever_makes_the_event_again_makes_the_same_one() -> None:
    first, second = events.make(JOB, "order 7"), events.make(replace(JOB), "order 7")
    assert first == second
    assert first.id == "evt_01M81JHAW84EGFGT4ZRK7P4HYT_completed"


def test_the_event_is_the_same_however_far_the_copies_are() -> None:
    pending = Asset(AssetState.PENDING, "https://up/v", dies_at=7)
    stored = replace(pending, state=AssetState.STORED, tries=2, key="results/a/v.mp4", size=9, sha256="ab")
    first = events.make(replace(JOB, assets={Variant.VIDEO: pending}), None)
    assert events.make(replace(JOB, assets={Variant.VIDEO: stored}), None) == first
    assert orjson.loads(first.body)["data"]["assets"]["video"]["state"] == "pending"


def test_the_addresses_in_an_event_begin_with_the_gateway_s_own() -> None:
    job = replace(JOB, output=[{"content": [{"type": "video", "url": "https://up/v"}]}])
    for made in (
        events.make(job, None, "https://gateway.example.com"),
        events.make(job, "x" * 16_385, "https://gateway.example.com"),
    ):
        [item] = orjson.loads(made.body)["data"]["output"][0]["content"]
        assert item["stable_url"] == f"https://gateway.example.com/v1/jobs/{JOB.id}/content?variant=video"


def test_a_step_shows_no_asset_that_came_later() -> None:
    job = replace(JOB, assets={Variant.VIDEO: Asset(AssetState.PENDING, "https://up/v")})
    for kind in (EventType.QUEUED, EventType.SUBMITTED):
        assert orjson.loads(events.make_step(job, kind, None).body)["data"]["assets"] == {}


@pytest.mark.parametrize("state", sorted(FINAL))
def test_an_id_names_the_job_and_the_kind_and_holds_no_dot(state: JobState) -> None:
    event = events.make(replace(JOB, state=state), None)
    assert event.id == f"evt_{JOB.id.removeprefix('job_')}_{state}"
    assert event.type == f"job.{state}"
    assert "." not in event.id


def test_the_body_is_type_timestamp_and_the_job_as_a_get_shows_it() -> None:
    event = events.make(JOB, "order 7")
    assert orjson.loads(event.body) == {
        "type": "job.completed",
        "timestamp": "2026-11-22T08:00:00.007Z",
        "data": orjson.loads(orjson.dumps(public(JOB, client_url="", payload="order 7"))),
    }
    assert (event.job_id, event.tenant, event.created_at) == (JOB.id, "acme", JOB.finished_at)


@pytest.mark.parametrize(("characters", "whole"), [(0, True), (16_384, True), (16_385, False)])
def test_a_payload_of_more_than_16384_characters_is_left_out(characters: int, whole: bool) -> None:
    payload = "ü" * characters
    data = orjson.loads(events.make(JOB, payload).body)["data"]
    assert EVENT_PAYLOAD_CHARACTERS == 16_384
    assert data["payload"] == (payload if whole else None)
    assert data.get("payload_omitted") is (None if whole else True)


def test_a_job_that_is_not_final_has_no_event() -> None:
    with pytest.raises(KeyError):
        events.make(replace(JOB, state=JobState.SUBMITTED), None)
