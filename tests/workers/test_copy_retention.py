"""Copies end after their time, or with their jobs, and whatever a crash leaves is found again."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import structlog

from gateway.assets import AssetState, Variant, without_copy
from gateway.dispatch import Role
from gateway.errors import MediaStoreUnavailable, NotFound
from gateway.jobs import Job
from gateway.media.folder import FolderStore
from gateway.store import keys
from gateway.store.retention import RedisRetention
from tests.workers.conftest import Rig
from tests.workers.mirroring import MirrorRig, changed, mirroring, movie, picture, sends
from workers import copy_retention
from workers.copy_retention import CopyRetention

DAY = 86_400


@pytest.fixture
async def mirror(rig: Rig) -> AsyncIterator[MirrorRig]:
    async with mirroring(rig) as made:
        made.results.handlers |= {"/v.mp4": sends(movie()), "/cover.jpg": sends(picture())}
        yield made


def retention(mirror: MirrorRig) -> CopyRetention:
    r = mirror.rig.resources
    return CopyRetention(r.jobs, r.assets, r.scripts, r.media, r.environment)


async def copied(mirror: MirrorRig, *, kept_seconds: float = DAY) -> Job:
    """A job with a copy that is kept for so long."""
    mirror.mirrorer = changed(mirror.mirrorer, result_retention_seconds=kept_seconds)
    job = await mirror.completed(url="/v.mp4", cover_url="/cover.jpg")
    for variant in (Variant.VIDEO, Variant.COVER):
        await mirror.copy(job, variant)
    return await mirror.rig.read(job)


async def there(mirror: MirrorRig, job: Job) -> set[Variant]:
    """Of which variants a file is there."""
    found = set()
    for variant, asset in job.assets.items():
        try:
            await mirror.stored(asset)
        except NotFound:
            continue
        found.add(variant)
    return found


async def forget(mirror: MirrorRig, job: Job) -> None:
    for delivery in await mirror.rig.resources.deliveries.of_job(job.id):
        await mirror.rig.redis.hset(keys.delivery(delivery.id), "state", "delivered")  # type: ignore[misc]
    r = mirror.rig.resources
    assert await RedisRetention(r.redis, r.scripts, 0).forget(job.id)


async def figures(mirror: MirrorRig) -> tuple[int, int, int]:
    """Stored copies, their bytes, and those that count for the tenant."""
    assets = (await mirror.rig.resources.gauges.read()).assets
    return assets.counts["stored"], assets.stored_bytes, await mirror.usage()


async def test_a_copy_whose_time_has_passed_is_deleted_and_gives_its_bytes_back(mirror: MirrorRig) -> None:
    old, kept = await copied(mirror, kept_seconds=-1), await copied(mirror)
    size = len(movie()) + len(picture())
    assert await figures(mirror) == (4, 2 * size, 2 * size)
    assert await retention(mirror).expire() == 2
    after = await mirror.rig.read(old)
    assert {asset.state for asset in after.assets.values()} == {AssetState.EXPIRED}
    assert after.assets == {variant: without_copy(asset) for variant, asset in old.assets.items()}
    assert await there(mirror, old) == set()
    assert await there(mirror, kept) == {Variant.VIDEO, Variant.COVER}
    assert await figures(mirror) == (2, size, size)
    assert await retention(mirror).expire() == 0


@pytest.mark.parametrize("file_too", [True, False])
async def test_what_a_crash_in_between_leaves_is_finished_by_the_next(
    mirror: MirrorRig, file_too: bool
) -> None:
    job = await copied(mirror, kept_seconds=-1)
    asset = job.assets[Variant.VIDEO]
    if file_too:  # the file was deleted, and nothing recorded
        await mirror.rig.resources.media.drop(str(asset.key))
    else:  # recorded, but the answer was lost
        await mirror.rig.resources.assets.expire(job.id, Variant.VIDEO, asset)
        assert not await mirror.rig.resources.assets.expire(job.id, Variant.VIDEO, asset)
    await retention(mirror).expire()
    assert await figures(mirror) == (0, 0, 0)


async def test_a_copy_is_not_recorded_as_expired_before_its_time(mirror: MirrorRig) -> None:
    job = await copied(mirror)
    asset = job.assets[Variant.VIDEO]
    assert not await mirror.rig.resources.assets.expire(job.id, Variant.VIDEO, asset)
    assert await mirror.rig.read(job) == job


async def test_a_record_that_cannot_be_read_does_not_keep_the_copies_of_others(mirror: MirrorRig) -> None:
    bad, good = await copied(mirror, kept_seconds=-2), await copied(mirror, kept_seconds=-1)
    await mirror.rig.redis.hset(keys.job(bad.id), "params", "{")  # type: ignore[misc]
    assert await retention(mirror).expire() == 2
    assert {one.state for one in (await mirror.rig.read(good)).assets.values()} == {AssetState.EXPIRED}


class StubbornStore(FolderStore):
    """Deletes nothing with one of `stuck` in its key."""

    stuck: tuple[str, ...] = ()

    async def drop(self, prefix: str) -> None:
        if any(name in prefix for name in self.stuck):
            raise MediaStoreUnavailable("a file could not be removed: Permission denied")
        await super().drop(prefix)


def stubborn(mirror: MirrorRig, *stuck: str) -> CopyRetention:
    store = StubbornStore(mirror.rig.resources.settings.blob_dir)
    store.stuck = stuck
    return replace(retention(mirror), media=store)


async def test_a_copy_that_cannot_be_deleted_does_not_keep_the_copies_of_others(mirror: MirrorRig) -> None:
    stuck, other = await copied(mirror, kept_seconds=-2), await copied(mirror, kept_seconds=-1)
    with structlog.testing.capture_logs() as logged:
        assert await stubborn(mirror, stuck.id).expire() == 2
    assert {one["job"] for one in logged if one["event"] == "copy_not_deleted"} == {stuck.id}
    assert {one.state for one in (await mirror.rig.read(other)).assets.values()} == {AssetState.EXPIRED}
    assert (await mirror.rig.read(stuck)) == stuck
    assert await retention(mirror).expire() == 2


async def test_an_orphan_that_cannot_be_deleted_does_not_keep_the_others(mirror: MirrorRig) -> None:
    jobs = sorted([await copied(mirror) for _ in range(3)], key=lambda job: job.id)
    for job in jobs:
        await forget(mirror, job)
    mirror.rig.clock.ahead = 1000
    with structlog.testing.capture_logs() as logged:
        assert await stubborn(mirror, jobs[0].id).drop_orphans() == 2
    assert [one["job"] for one in logged if one["event"] == "copy_not_deleted"] == [jobs[0].id]


async def test_a_store_that_deletes_nothing_ends_a_step_and_not_the_pass(
    mirror: MirrorRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_retention, "_AWAY", 2)
    await copied(mirror, kept_seconds=-1)
    gone = await copied(mirror)
    await forget(mirror, gone)
    mirror.rig.clock.ahead = 1000
    broken = stubborn(mirror, "video", "cover")
    assert await broken.once() == ["a file could not be removed: Permission denied"]
    assert await there(mirror, gone) == set()


async def test_a_job_that_is_removed_gives_its_bytes_back_and_its_files_are_swept(mirror: MirrorRig) -> None:
    gone, kept = await copied(mirror), await copied(mirror)
    waiting = await mirror.completed()
    before = await mirror.rig.resources.gauges.read()
    await forget(mirror, gone)
    await forget(mirror, waiting)
    size = len(movie()) + len(picture())
    assert await figures(mirror) == (2, size, size)
    assert before.counts["asset:pending"] == 1
    for name in (keys.ASSETS, keys.ASSETS_PENDING, keys.ASSETS_DYING):
        assert all(kept.id in member for member in await mirror.rig.redis.zrange(name, 0, -1))
    work = (await mirror.rig.resources.gauges.work_in_progress()).roles[Role.MIRROR]
    assert set(work.values()) == {0}
    assert await retention(mirror).drop_orphans() == 0  # too young to be sure
    mirror.rig.clock.ahead = 1000
    assert await retention(mirror).drop_orphans() == 1
    assert await there(mirror, gone) == set()
    assert await there(mirror, kept) == {Variant.VIDEO, Variant.COVER}


async def test_a_job_without_a_copy_any_more_keeps_nothing_from_being_removed(mirror: MirrorRig) -> None:
    job = await copied(mirror, kept_seconds=-1)
    await retention(mirror).expire()
    await forget(mirror, job)
    counts = (await mirror.rig.resources.gauges.read()).assets.counts
    assert set(counts.values()) == {0}
    assert await mirror.rig.redis.exists(keys.tenant_usage("acme")) == 0


async def test_the_copy_of_a_job_that_was_removed_meanwhile_is_dropped(mirror: MirrorRig) -> None:
    job = await mirror.completed()
    ticket = await mirror.rig.ticket(Role.MIRROR, f"{job.id}:video")
    put = mirror.rig.resources.media.put_file

    async def put_then_forget(key: str, path: os.PathLike[str]) -> None:
        await put(key, path)  # type: ignore[arg-type]
        await mirror.rig.redis.delete(keys.job(job.id))

    mirror.rig.resources.media.put_file = put_then_forget  # type: ignore[method-assign]
    await mirror.mirrorer.copy(ticket)
    assert await mirror.rig.resources.media.entries(f"results/{job.id}") == []
    assert await mirror.rig.redis.zcard(keys.slots(Role.MIRROR)) == 0


async def test_a_file_that_its_owner_deletes_while_it_is_stored_is_dropped(mirror: MirrorRig) -> None:
    job = await mirror.completed()
    ticket = await mirror.rig.ticket(Role.MIRROR, f"{job.id}:video")
    put = mirror.rig.resources.media.put_file

    async def put_after_the_deletion(key: str, path: os.PathLike[str]) -> None:
        assert await mirror.rig.resources.assets.delete(await mirror.rig.read(job))
        await put(key, path)  # type: ignore[arg-type]

    mirror.rig.resources.media.put_file = put_after_the_deletion  # type: ignore[method-assign]
    await mirror.mirrorer.copy(ticket)
    assert await mirror.rig.resources.media.entries(f"results/{job.id}") == []
    assert (await mirror.rig.read(job)).assets[Variant.VIDEO].state is AssetState.EXPIRED


async def test_what_a_killed_attempt_left_goes_with_the_next_copy_and_a_late_one_spoils_nothing(
    mirror: MirrorRig,
) -> None:
    job = await mirror.completed()
    await mirror.rig.resources.media.put(f"results/{job.id}/video-0000.mp4", b"of a killed worker")
    late = await mirror.rig.ticket(Role.MIRROR, f"{job.id}:video")
    put = mirror.rig.resources.media.put_file

    async def put_late(key: str, path: os.PathLike[str]) -> None:
        mirror.rig.resources.media.put_file = put  # type: ignore[method-assign]
        await mirror.copy(job)  # by another worker
        await put(key, path)  # type: ignore[arg-type]

    mirror.rig.resources.media.put_file = put_late  # type: ignore[method-assign]
    await mirror.mirrorer.copy(late)
    asset = (await mirror.rig.read(job)).assets[Variant.VIDEO]
    names = [
        f"results/{job.id}/{one.name}"
        for one in await mirror.rig.resources.media.entries(f"results/{job.id}")
    ]
    assert names == [asset.key]


async def test_a_folder_of_somebody_else_is_not_swept(mirror: MirrorRig) -> None:
    await mirror.rig.resources.media.put("results/readme", b"ours")
    mirror.rig.clock.ahead = 1000
    assert await retention(mirror).drop_orphans() == 0
    assert await mirror.rig.resources.media.read("results/readme") == b"ours"
