"""Inline media on their way to the upstream, and outcomes that Redis was away for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.dispatch import Role
from gateway.errors import NotFound, StoreUnavailable
from gateway.jobs import Job
from gateway.lifecycle import JobState
from gateway.store import keys
from gateway.upstream.base import Accepted, Busy, Found, Rejected, Unknown, UpstreamError
from tests.gateway.generation.media_samples import data_uri, image
from tests.gateway.store.conftest import new_job
from tests.workers.conftest import Rig
from tests.workers.failing import FailingJobStore, Outage
from tests.workers.scripted import completed
from workers.store_retry import GIVE_UP_SECONDS, persist
from workers.submit import Submitter


async def with_an_image(rig: Rig) -> tuple[Job, str]:
    """A job one of whose images came inside the request, and that image's reference."""
    job_id = new_job().id
    reference = await rig.resources.inline_files.put(job_id, image("png"), "png")
    params = {"prompt": "a fox", "images": ["https://cdn.example.com/a.png", reference]}
    return await rig.accept(id=job_id, params=params), reference


async def test_the_upstream_gets_the_file_itself_in_its_place(rig: Rig) -> None:
    job, reference = await with_an_image(rig)
    await rig.submit(job, Accepted("task_1"))
    [sent] = rig.upstream.released
    assert sent.params["images"] == ["https://cdn.example.com/a.png", data_uri("image/png", image("png"))]
    assert (await rig.read(job)).params["images"][1] == reference


@pytest.mark.parametrize("outcome", [Busy("429"), Unknown("reset"), Accepted("task_1")])
async def test_files_are_kept_while_the_job_is_not_final(
    rig: Rig, outcome: Busy | Unknown | Accepted
) -> None:
    job, reference = await with_an_image(rig)
    await rig.submit(job, outcome)
    assert await rig.resources.inline_files.read(reference) == image("png")


async def test_files_of_a_rejected_job_are_forgotten(rig: Rig) -> None:
    job, reference = await with_an_image(rig)
    await rig.submit(job, Rejected(UpstreamError("content_rejected", "no")))
    with pytest.raises(NotFound):
        await rig.resources.inline_files.read(reference)


async def test_files_of_a_completed_job_are_forgotten(rig: Rig) -> None:
    job, reference = await with_an_image(rig)
    await rig.submit(job, Accepted("task_1"))
    await rig.confirm(job, Found(completed()))
    with pytest.raises(NotFound):
        await rig.resources.inline_files.read(reference)


async def test_a_job_whose_file_is_lost_has_failed_unpaid(rig: Rig) -> None:
    job, _ = await with_an_image(rig)
    await rig.resources.inline_files.drop(job.id)
    await rig.submitter.submit(await rig.ticket(Role.SUBMIT, job.id))
    after = await rig.read(job)
    assert (after.state, after.error and after.error["code"]) == (JobState.FAILED, "media_lost")
    assert rig.upstream.begun == []
    assert await rig.lease(job) is None


def put_a_folder_at(path: Path) -> None:
    path.unlink()
    path.mkdir()


async def test_a_job_whose_files_cannot_be_read_just_now_waits(rig: Rig) -> None:
    job, reference = await with_an_image(rig)
    put_a_folder_at(Path(rig.submitter.settings.blob_dir, reference.removeprefix("blob:")))
    await rig.submitter.submit(await rig.ticket(Role.SUBMIT, job.id))
    after = await rig.read(job)
    assert (after.state, after.error) == (JobState.QUEUED, None)
    assert rig.upstream.begun == []
    assert await rig.lease(job) is None


def recording_fails(rig: Rig, outage: Outage) -> Submitter:
    jobs = FailingJobStore(rig.resources, outage)
    return replace(rig.submitter, jobs=jobs, settlement=replace(rig.resources.settlement, jobs=jobs))


@pytest.mark.parametrize("acted", [False, True])
async def test_an_outcome_is_recorded_when_redis_is_back(rig: Rig, acted: bool) -> None:
    job, outage = await rig.accept(), Outage(3, acted=acted)
    rig.upstream.outcomes.append(Accepted("task_1"))
    await recording_fails(rig, outage).submit(await rig.ticket(Role.SUBMIT, job.id))
    after = await rig.read(job)
    assert outage.met == 3
    assert (after.state, after.task_id) == (JobState.SUBMITTED, "task_1")
    assert len(rig.upstream.begun) == 1
    assert await rig.redis.zcard(keys.slots(Role.SUBMIT)) == 1


async def test_an_outcome_that_redis_was_away_for_is_counted_once(rig: Rig) -> None:
    job = await rig.accept()
    rig.upstream.outcomes.append(Accepted("task_1"))
    await recording_fails(rig, Outage(2)).submit(await rig.ticket(Role.SUBMIT, job.id))
    assert await rig.tally() == {"submissions|accepted": "1"}


@pytest.mark.parametrize("acted", [False, True])
async def test_a_job_goes_back_to_its_lane_once_however_often_redis_is_asked(rig: Rig, acted: bool) -> None:
    job = await rig.accept()
    rig.upstream.outcomes.append(Busy("429", retry_after_seconds=600))
    await recording_fails(rig, Outage(2, acted=acted)).submit(await rig.ticket(Role.SUBMIT, job.id))
    after = await rig.read(job)
    assert (after.state, after.epoch) == (JobState.QUEUED, 1)
    assert await rig.redis.hget(keys.in_flight(Role.SUBMIT), "acme") is None  # type: ignore[misc]


@pytest.mark.parametrize("acted", [False, True])
async def test_a_rejection_is_published_once_however_often_redis_is_asked(rig: Rig, acted: bool) -> None:
    job = await rig.accept(callback_url="https://client.example.com/hook")
    rig.upstream.outcomes.append(Rejected(UpstreamError("content_rejected", "no")))
    await recording_fails(rig, Outage(2, acted=acted)).submit(await rig.ticket(Role.SUBMIT, job.id))
    assert (await rig.read(job)).state is JobState.FAILED
    assert len(await rig.deliveries(job)) == 1
    assert await rig.tally() == {"jobs_finished|failed": "1", "submissions|rejected": "1"}


async def test_recording_is_given_up_after_two_minutes(rig: Rig) -> None:
    async def record() -> None:
        rig.clock.ahead += GIVE_UP_SECONDS + 1
        raise StoreUnavailable("Redis does not answer")

    with pytest.raises(StoreUnavailable):
        await persist(record, rig.resources.environment)


async def test_an_error_that_is_no_outage_is_not_retried(rig: Rig) -> None:
    calls: list[int] = []

    async def record() -> None:
        calls.append(1)
        raise ValueError("a fault of ours")

    with pytest.raises(ValueError):
        await persist(record, rig.resources.environment)
    assert len(calls) == 1
