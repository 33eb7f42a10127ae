"""The job record as Redis holds it and as clients see it."""

from __future__ import annotations

import pytest

from gateway.assets import Asset, AssetState, Variant
from gateway.jobs import JOB_ID, Job, rfc3339
from gateway.lifecycle import JobState, OnUnknown
from gateway.store.job_fields import from_fields, to_fields
from tests.gateway.store.conftest import new_job

FULL = new_job(
    id="job_01M81JHAW84EGFGT4ZRK7P4HYT",
    state=JobState.COMPLETED,
    created_at=1_795_350_000_001,
    epoch=2,
    callback_url="https://client.example.com/hook",
    warnings=[{"param": "prompt", "code": "long", "message": "is long"}],
    task_id="task_1",
    progress=0.25,
    output=[{"content": [{"type": "video", "url": "https://cdn.example.com/v.mp4"}]}],
    usage={"cost": "0.25", "discount": 1},
    metadata={"seed": 7},
    error={"code": "e", "error_message": "m"},
    submitting_at=1_795_350_000_010,
    released_at=1_795_350_000_020,
    unknown_at=1_795_350_000_030,
    submitted_at=1_795_350_000_040,
    finished_at=1_795_350_000_050,
    polls=4,
    misses=1,
    idempotency="ab" * 32,
    start_by=1_795_350_060_001,
    end_by=1_795_350_120_001,
    on_unknown=OnUnknown.RESUBMIT,
    lost=2,
    evidence="callback",
    earlier=["task_0"],
    called_back_at=1_795_350_000_048,
    claimed={"status": "completed"},
    cancel_wished_at=1_795_350_000_045,
    cancel_refused="too late",
    watch_until=1_795_350_000_099,
    deleted_at=1_795_350_000_098,
    door="vtrix",
    callback_events=["job.completed"],
    inline_bytes={"images[0]": 70},
    assets={Variant.VIDEO: Asset(AssetState.PENDING, "https://upstream/v.mp4", tries=1)},
)


def stored(job: Job) -> dict[str, str]:
    names = [name for name in Job.__dataclass_fields__ if name not in ("id", "state")]
    fields = to_fields(**{name: getattr(job, name) for name in names})
    texts = {
        name: value.decode() if isinstance(value, bytes) else str(value) for name, value in fields.items()
    }
    return texts | {"state": job.state}


def test_every_field_of_a_job_survives_redis() -> None:
    assert from_fields(FULL.id, stored(FULL)) == FULL


def test_what_a_job_does_not_have_is_not_stored() -> None:
    job = new_job()
    assert not {"callback_url", "task_id", "output", "error", "finished_at"} & stored(job).keys()
    assert from_fields(job.id, stored(job)) == job


def test_a_state_that_does_not_exist_is_not_read() -> None:
    with pytest.raises(ValueError, match="paused"):
        from_fields(FULL.id, stored(FULL) | {"state": "paused"})


@pytest.mark.parametrize(
    ("params", "keeps"),
    [
        ({"images": ["https://cdn.example.com/a.png"]}, False),
        ({"images": ["https://cdn.example.com/a.png", "blob:job_1/aa.png"]}, True),
        ({"images": [], "videos": ["blob:job_1/aa.mp4"]}, True),
        ({"videos": None}, False),
        ({}, False),
    ],
)
def test_a_job_keeps_media_when_a_reference_says_so(params: dict[str, object], keeps: bool) -> None:
    assert new_job(params=params).keeps_media is keeps


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, None),
        (0, "1970-01-01T00:00:00.000Z"),
        (1_795_334_400_007, "2026-11-22T08:00:00.007Z"),
        (1_795_334_400_999, "2026-11-22T08:00:00.999Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_times_are_utc_to_the_millisecond(ms: int | None, text: str | None) -> None:
    assert rfc3339(ms) == text


@pytest.mark.parametrize(
    "text", ["", "job_", "job_01m81jhaw84egfgt4zrk7p4hyt", "job_01M81JHAW84EGFGT4ZRK7P4HYI", FULL.id + "\n"]
)
def test_what_only_looks_like_a_job_id_is_none(text: str) -> None:
    assert JOB_ID.match(FULL.id)
    assert JOB_ID.match(text) is None
