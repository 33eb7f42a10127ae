"""Attempts to copy a file are recorded once, by whoever holds the ticket, and counted as they are."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis.asyncio import Redis

from gateway.assets import Asset, AssetState, Reason, Variant
from gateway.dispatch import Role
from gateway.jobs import Job
from gateway.lifecycle import JobEvent, JobState
from gateway.resources import Resources
from gateway.settlement import Mirroring
from gateway.store import keys
from gateway.store.assets import Recorded
from gateway.store.base import AdmissionLimits, Outcome
from gateway.store.effects import BindTask, HoldSlot
from gateway.store.snapshot import RedisGauges
from gateway.store.transitions import Transition
from gateway.upstream.base import Snapshot, TaskStatus, UpstreamError
from tests.gateway.store.conftest import held, new_job

LIFE_MS = 3_600_000
DONE = Snapshot(
    "task_1",
    TaskStatus.COMPLETED,
    "success",
    output=[{"content": [{"type": "video", "url": "https://cdn.example.com/v.mp4"}]}],
)
STORED = Asset(
    AssetState.STORED,
    "https://cdn.example.com/v.mp4",
    key="results/job/video.mp4",
    size=1000,
    sha256="ab",
    media_type="video/mp4",
    expires_at=9_000_000_000_000,
)


async def submitted(resources: Resources) -> Job:
    job = new_job()
    await resources.jobs.accept(job, None, "f", AdmissionLimits(queue_max=10))
    claimed = await resources.jobs.claim(await held(resources.redis, Role.SUBMIT, job.id))
    assert claimed
    move = Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask("task_1"), HoldSlot()])
    await resources.jobs.apply(claimed, move)
    return await read(resources, job)


async def read(resources: Resources, job: Job) -> Job:
    found = await resources.jobs.read(job.id)
    assert found
    return found


async def completed(resources: Resources, *, covers: bool = False) -> Job:
    job = await submitted(resources)
    settlement = replace(resources.settlement, mirroring=Mirroring(LIFE_MS, covers))
    assert (await settlement.succeed(job, DONE, [])).outcome is Outcome.MOVED
    return await read(resources, job)


async def used(redis: Redis, field: str) -> int:
    return int(await redis.hget(keys.tenant_usage("acme"), field) or 0)  # type: ignore[misc]


async def test_the_step_that_completes_a_job_enters_its_files(resources: Resources) -> None:
    job = await completed(resources, covers=True)
    assert job.assets[Variant.VIDEO].url == "https://cdn.example.com/v.mp4"
    assert job.assets[Variant.COVER] == Asset(AssetState.PENDING)
    ticket = await held(resources.redis, Role.MIRROR, f"{job.id}:video")
    assert ticket.lane == "acme"
    members = await resources.redis.zrange(keys.ASSETS_DYING, 0, -1)
    assert members == [f"{job.id}:video"]
    gauges = (await resources.gauges.read()).assets
    assert (gauges.counts["pending"], gauges.dying) == (2, 0)


async def test_completing_it_again_enters_nothing_again(resources: Resources) -> None:
    job = await completed(resources)
    settlement = replace(resources.settlement, mirroring=Mirroring(LIFE_MS))
    assert (await settlement.succeed(job, DONE, [])).outcome is not Outcome.MOVED
    assert (await resources.gauges.read()).assets.counts["pending"] == 1


async def test_a_late_result_of_a_failed_job_is_copied_too(resources: Resources) -> None:
    job = await submitted(resources)
    settlement = replace(resources.settlement, mirroring=Mirroring(LIFE_MS))
    await settlement.fail(job, JobEvent.DEADLINE_PASSED, UpstreamError("upstream_timeout", "late"), [])
    await settlement.late(await read(resources, job), DONE)
    after = await read(resources, job)
    assert (after.state, after.assets[Variant.VIDEO].state) == (JobState.FAILED, AssetState.PENDING)
    await settlement.late(after, DONE)
    assert (await resources.gauges.read()).assets.counts["pending"] == 1


async def test_a_copy_is_recorded_once_and_only_by_the_holder(resources: Resources) -> None:
    job = await completed(resources)
    ticket = await held(resources.redis, Role.MIRROR, f"{job.id}:video")
    stranger = replace(ticket, dispatch_number=ticket.dispatch_number - 1)
    record = resources.assets.record
    assert await record(stranger, job, Variant.VIDEO, STORED) == Recorded.STALE
    assert await record(ticket, job, Variant.VIDEO, STORED) == Recorded.RECORDED
    assert await record(ticket, job, Variant.VIDEO, STORED) == Recorded.STALE  # its answer was lost
    assert (await read(resources, job)).assets[Variant.VIDEO] == STORED
    assert await used(resources.redis, "results") == 1000
    assert (await resources.gauges.read()).assets.stored_bytes == 1000
    assert await resources.redis.zcard(keys.ASSETS_PENDING) == 0
    assert await resources.redis.zcard(keys.ASSETS_DYING) == 0


async def test_nothing_is_written_for_a_tenant_without_room(resources: Resources) -> None:
    job = await completed(resources)
    ticket = await held(resources.redis, Role.MIRROR, f"{job.id}:video")
    resources.assets._most = 999
    assert await resources.assets.record(ticket, job, Variant.VIDEO, STORED) == Recorded.FULL
    assert (await read(resources, job)).assets == job.assets
    assert await used(resources.redis, "results") == 0
    resources.assets._most = 1000
    assert await resources.assets.record(ticket, job, Variant.VIDEO, STORED) == Recorded.RECORDED
    assert not await resources.assets.has_room("acme", 0)


async def test_the_bytes_of_the_record_count_what_it_grows_by(resources: Resources) -> None:
    job = await completed(resources)
    before = await used(resources.redis, "bytes")
    ticket = await held(resources.redis, Role.MIRROR, f"{job.id}:video")
    failed = replace(job.assets[Variant.VIDEO], tries=1, reason=Reason.TOO_SLOW)
    await resources.assets.record(ticket, job, Variant.VIDEO, failed, retry_in_ms=5000)
    grown = len(failed.dump()) - len(job.assets[Variant.VIDEO].dump())
    assert await used(resources.redis, "bytes") == before + grown
    own = await resources.redis.hget(keys.job(job.id), "bytes")  # type: ignore[misc]
    assert int(own or 0) == await used(resources.redis, "bytes")


async def test_an_address_that_dies_soon_is_counted_and_its_age_is_shown(resources: Resources) -> None:
    job = await completed(resources)
    soon = RedisGauges(resources.redis, resources.environment.monotonic, resources.gauges._submit, LIFE_MS)
    found = (await soon.read()).assets
    assert (found.dying, found.pending_seconds < 60) == (1, True)
    ticket = await held(resources.redis, Role.MIRROR, f"{job.id}:video")
    fresh = replace(job.assets[Variant.VIDEO], dies_at=job.assets[Variant.VIDEO].dies_at + LIFE_MS)  # type: ignore[operator]
    since = await resources.redis.zscore(keys.ASSETS_PENDING, f"{job.id}:video")
    await resources.assets.record(ticket, job, Variant.VIDEO, fresh, retry_in_ms=1)
    assert (await soon.read()).assets.dying == 0
    assert await resources.redis.zscore(keys.ASSETS_PENDING, f"{job.id}:video") == since


async def test_an_address_counts_as_dying_only_while_we_can_do_something_about_it(
    resources: Resources,
) -> None:
    job = await completed(resources)
    soon = RedisGauges(resources.redis, resources.environment.monotonic, resources.gauges._submit, LIFE_MS)
    dying = {}
    for reason in Reason:
        await resources.redis.zadd(keys.due(Role.MIRROR), {f"acme|{job.id}:video": 1}, xx=True)
        await resources.lanes.dispatch()
        ticket = await held(resources.redis, Role.MIRROR, f"{job.id}:video")
        failed = replace(job.assets[Variant.VIDEO], reason=reason)
        await resources.assets.record(ticket, job, Variant.VIDEO, failed, retry_in_ms=1)
        dying[reason] = (await soon.read()).assets.dying
    never = {Reason.TENANT_FULL, Reason.GONE, Reason.HTTP_STATUS, Reason.EMPTY, Reason.WRONG_LENGTH}
    never |= {Reason.NOT_A_VIDEO, Reason.NOT_A_PICTURE}
    assert {reason for reason, files in dying.items() if files == 0} == never
    assert await resources.redis.zcard(keys.ASSETS_PENDING) == 1


@pytest.mark.parametrize("state", [AssetState.PENDING, AssetState.FAILED, AssetState.EXPIRED])
async def test_an_asset_is_read_as_it_was_written(resources: Resources, state: AssetState) -> None:
    job = await completed(resources)
    ticket = await held(resources.redis, Role.MIRROR, f"{job.id}:video")
    asset = replace(STORED, state=state, reason=Reason.GONE, tries=3)
    await resources.assets.record(ticket, job, Variant.VIDEO, asset)
    assert (await read(resources, job)).assets[Variant.VIDEO] == asset
