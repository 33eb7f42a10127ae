"""A result is copied before its address dies: whole, once, and without holding up its job."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator

import orjson
import pytest
from aiohttp import web

from gateway.assets import AssetState, Reason, Variant
from gateway.dispatch import Role
from gateway.endpoints import Endpoint
from gateway.generation import inspection
from gateway.generation.file_types import sniff
from gateway.generation.still_image import size_of
from gateway.jobs import Job, mirror_ticket
from gateway.lifecycle import JobState
from gateway.store import event_bodies, keys
from tests.workers.conftest import Rig
from tests.workers.mirroring import MirrorRig, mirroring, movie, picture, sends
from workers.step_events import StepEventCreator

needs_av = pytest.mark.skipif(not inspection.can_inspect(), reason="needs PyAV")


@pytest.fixture
async def mirror(rig: Rig) -> AsyncIterator[MirrorRig]:
    async with mirroring(rig) as made:
        made.results.handlers |= {
            "/v.mp4": sends(movie()),
            "/marked.mp4": sends(movie()),
            "/cover.jpg": sends(picture()),
        }
        yield made


async def mirrored_events(rig: Rig, job: Job) -> list[str]:
    """What clients got about the job, in order."""
    stream = await rig.redis.xrange(keys.tenant_events(job.tenant))
    return [entry["type"] for _, entry in stream if entry["job"] == job.id]


async def test_a_completed_job_is_copied_and_the_copy_is_what_the_upstream_sent(mirror: MirrorRig) -> None:
    job = await mirror.completed()
    assert job.state is JobState.COMPLETED
    assert job.assets[Variant.VIDEO].state is AssetState.PENDING
    asset = await mirror.copy(job)
    assert (asset.state, asset.size, asset.media_type) == (AssetState.STORED, len(movie()), "video/mp4")
    assert asset.sha256 == hashlib.sha256(movie()).hexdigest()
    assert re.fullmatch(rf"results/{job.id}/video-[0-9a-f]{{16}}\.mp4", asset.key or "")
    assert await mirror.stored(asset) == movie()
    assert await mirror.usage() == len(movie())
    assert await mirror.scratch() == []
    assert (await mirror.rig.tally())["copies|stored"] == "1"
    assert asset.expires_at is not None
    kept = mirror.mirrorer.settings.result_retention_seconds
    assert abs(asset.expires_at / 1000 - kept - mirror.rig.clock()) < 60


async def test_without_mirroring_nothing_is_written_and_nothing_is_due(rig: Rig) -> None:
    job = await rig.completed()
    assert job.assets == {}
    work = await rig.resources.gauges.work_in_progress()
    assert set(work.roles[Role.MIRROR].values()) == {0}


async def test_each_file_of_the_result_is_copied_and_the_job_is_mirrored_once(mirror: MirrorRig) -> None:
    job = await mirror.completed(url="/v.mp4", watermarked_url="/marked.mp4", cover_url="/cover.jpg")
    for variant in (Variant.VIDEO, Variant.WATERMARKED):
        await mirror.copy(job, variant)
        assert "job.mirrored" not in await mirrored_events(mirror.rig, job)
    cover = await mirror.copy(job, Variant.COVER)
    assert (cover.media_type, await mirror.stored(cover)) == ("image/jpeg", picture())
    after = await mirror.rig.read(job)
    assert {asset.state for asset in after.assets.values()} == {AssetState.STORED}
    assert after.mirrored_at is not None
    assert (await mirrored_events(mirror.rig, job))[-2:] == ["job.completed", "job.mirrored"]
    assert await mirror.usage() == 2 * len(movie()) + len(picture())


async def test_a_file_that_is_given_up_does_not_keep_the_job_from_being_mirrored(mirror: MirrorRig) -> None:
    mirror.results.handlers["/cover.jpg"] = sends(b"<html>no</html>" * 10)
    job = await mirror.completed(url="/v.mp4", cover_url="/cover.jpg", life_seconds=3600)
    await mirror.copy(job)
    mirror.rig.clock.ahead = 4000
    cover = await mirror.copy(job, Variant.COVER)
    assert (cover.state, cover.reason) == (AssetState.FAILED, Reason.NOT_A_PICTURE)
    after = await mirror.rig.read(job)
    assert (after.state, after.mirrored_at is not None) == (JobState.COMPLETED, True)


async def test_a_job_whose_video_is_given_up_is_not_mirrored(mirror: MirrorRig) -> None:
    mirror.results.handlers["/v.mp4"] = sends(b"")
    job = await mirror.completed(url="/v.mp4", cover_url="/cover.jpg")
    await mirror.copy(job, Variant.COVER)
    mirror.rig.clock.ahead = 4000
    assert (await mirror.copy(job)).state is AssetState.FAILED
    after = await mirror.rig.read(job)
    assert (after.state, after.mirrored_at) == (JobState.COMPLETED, None)
    assert "job.mirrored" not in await mirrored_events(mirror.rig, job)


async def test_an_endpoint_that_wants_it_gets_job_mirrored_with_the_copies_in_it(mirror: MirrorRig) -> None:
    rig = mirror.rig
    now = rig.resources.environment.now_ms()
    endpoint = Endpoint("ep_1", "acme", "http://127.0.0.1:9/", ("job.mirrored",), "k1", now)
    await rig.resources.endpoints.create(endpoint, 10)
    job = await mirror.completed()
    await mirror.copy(job)
    ticket = await rig.ticket(Role.DELIVER, f"{job.id}:job.mirrored")
    await StepEventCreator(rig.resources.jobs, rig.resources.deliveries).create(ticket)
    [delivery] = await rig.resources.deliveries.of_job(job.id)
    stored = await rig.redis.hgetall(keys.event(delivery.event_id))  # type: ignore[misc]
    body = orjson.loads(event_bodies.load(stored) or b"")
    assert (body["type"], body["data"]["id"], body["data"]["status"]) == ("job.mirrored", job.id, "completed")


@needs_av
async def test_a_cover_is_made_of_the_video_if_it_has_none(mirror: MirrorRig) -> None:
    job = await mirror.completed(covers=True)
    assert await mirror.due_in(job, Variant.COVER) is None
    await mirror.copy(job)
    cover = await mirror.copy(job, Variant.COVER)
    assert (cover.state, cover.media_type, cover.url) == (AssetState.STORED, "image/jpeg", None)
    raw = await mirror.stored(cover)
    assert (sniff(raw), size_of(raw)) == ("jpg", (128, 128))
    assert (await mirror.rig.read(job)).mirrored_at is not None
    assert await mirror.scratch() == []


async def test_a_cover_of_a_video_that_was_given_up_is_given_up_with_it(mirror: MirrorRig) -> None:
    mirror.results.handlers["/v.mp4"] = sends(b"")
    job = await mirror.completed(covers=True)
    mirror.rig.clock.ahead = 4000
    await mirror.copy(job)
    cover = (await mirror.rig.read(job)).assets[Variant.COVER]
    assert (cover.state, cover.reason) == (AssetState.FAILED, Reason.NO_VIDEO)


async def test_two_workers_on_one_file_make_one_copy(mirror: MirrorRig) -> None:
    job = await mirror.completed()
    first = await mirror.rig.ticket(Role.MIRROR, f"{job.id}:video")
    both, go, asked = asyncio.Barrier(2), sends(movie()), asyncio.Event()

    async def together(request: web.Request) -> web.StreamResponse:
        asked.set()
        await both.wait()
        return await go(request)

    mirror.results.handlers["/v.mp4"] = together
    one = asyncio.create_task(mirror.mirrorer.copy(first))
    await asked.wait()
    await mirror.rig.let_lease_run_out(Role.MIRROR, first)
    await mirror.rig.sweep()
    second = await mirror.rig.ticket(Role.MIRROR, f"{job.id}:video")
    assert second.dispatch_number > first.dispatch_number
    await asyncio.gather(one, mirror.mirrorer.copy(second))
    assert (await mirror.rig.read(job)).assets[Variant.VIDEO].state is AssetState.STORED
    tally = await mirror.rig.tally()
    assert (tally["copies|stored"], await mirror.usage()) == ("1", len(movie()))
    assert (await mirrored_events(mirror.rig, job)).count("job.mirrored") == 1


async def test_copies_of_one_tenant_hold_only_their_share_of_the_slots(mirror: MirrorRig) -> None:
    jobs = [await mirror.completed() for _ in range(3)]
    settings = mirror.mirrorer.settings
    assert settings.mirror_tenant_slots == 4
    held = await mirror.rig.redis.hget(keys.in_flight(Role.MIRROR), "acme")  # type: ignore[misc]
    assert held == "3"
    more = [await mirror.completed() for _ in range(3)]
    held = await mirror.rig.redis.hget(keys.in_flight(Role.MIRROR), "acme")  # type: ignore[misc]
    assert held == "4"
    assert await mirror.rig.redis.zcard(keys.waiting(Role.MIRROR)) == 2
    for job in jobs:
        await mirror.copy(job)
    assert await mirror.rig.redis.zcard(keys.waiting(Role.MIRROR)) == 0
    assert {str(mirror_ticket(job, Variant.VIDEO)) for job in more} <= set(
        await mirror.rig.redis.zrange(keys.slots(Role.MIRROR), 0, -1)
    )
