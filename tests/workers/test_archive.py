"""When finished jobs move into the media store, and what ends neither the loop nor a pass."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.dispatch import Role
from gateway.errors import MediaStoreUnavailable, StoreUnavailable
from gateway.jobs import Job, born_at
from gateway.lifecycle import DeliveryState
from gateway.media.base import Space
from gateway.media.folder import FolderStore
from gateway.store import keys
from gateway.store.archive_cleanup import ArchiveCleanup
from gateway.store.archive_document import HOUR_MS, key_of
from gateway.store.archive_reader import Archived
from gateway.store.archive_writer import RedisArchive
from gateway.store.deliveries import RedisDeliveryStore
from gateway.store.retention import RedisRetention
from tests.gateway.delivery.subscriber import reply, subscriber
from tests.workers.conftest import Rig, end, eventually
from workers import archive, tasks
from workers.archive import Archiver
from workers.retention import Retention


class Media(FolderStore):
    """Is away for as many first writes as a test wants."""

    away = 0
    full = False

    async def space(self) -> Space:
        return Space(1, 2) if self.full else await super().space()

    async def put(self, key: str, raw: bytes) -> None:
        if self.away:
            self.away -= 1
            raise MediaStoreUnavailable("no connection to the bucket")
        await super().put(key, raw)


@pytest.fixture
def media(rig: Rig) -> Media:
    return Media(rig.resources.settings.blob_dir)


@pytest.fixture
def archiver(rig: Rig, media: Media) -> Archiver:
    r = rig.resources
    r.scripts.loader.alone = True
    return Archiver(
        RedisArchive(r.redis, r.scripts, media, r.environment, 0),
        ArchiveCleanup(r.redis, r.scripts, media, r.environment, 3600),
        r.scripts,
        on=True,
    )


def said(logged: Sequence[MutableMapping[str, Any]]) -> list[str]:
    """What was logged, but for what the folder says."""
    return [line["event"] for line in logged if not line["event"].startswith("media_folder")]


async def is_archived(rig: Rig, job: Job) -> bool:
    return bool(await rig.redis.hexists(keys.job(job.id), "archived"))  # type: ignore[misc]


async def test_one_pass_moves_all_that_is_due_and_no_other(
    rig: Rig, archiver: Archiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "BATCH", 2)
    done = [await rig.completed() for _ in range(5)]
    running = await rig.submitted()
    with capture_logs() as logged:
        assert await archiver.once() == 5
    assert [await is_archived(rig, job) for job in [*done, running]] == [True] * 5 + [False]
    assert said(logged) == ["jobs_archived"]
    assert (await rig.read(done[0])).output


async def test_of_many_processes_one_makes_the_pass(rig: Rig, archiver: Archiver) -> None:
    await rig.completed()
    assert [await archiver.once() for _ in range(3)] == [1, 0, 0]


async def test_nothing_is_moved_unless_that_is_wanted_and_every_process_can_read_it(
    rig: Rig, archiver: Archiver
) -> None:
    job = await rig.completed()
    with capture_logs() as logged:
        assert await Archiver(archiver.archive, archiver.cleanup, archiver.scripts, on=False).once() == 0
        assert said(logged) == []
        rig.resources.scripts.loader.alone = False
        assert [await archiver.once() for _ in range(2)] == [0, 0]
        assert not await is_archived(rig, job)
        assert said(logged) == ["archive_waits"]
        assert "another version" in logged[-1]["reason"]
        rig.resources.scripts.loader.alone = True
        assert await archiver.once() == 1
    assert said(logged) == ["archive_waits", "archive_goes_on", "jobs_archived"]


async def test_what_a_crash_left_behind_is_swept_also_when_archiving_is_off(
    rig: Rig, archiver: Archiver, media: Media
) -> None:
    r = rig.resources
    orphan = r.environment.new_job_id()
    await media.put(key_of(orphan, "0" * 32), b"x")
    await rig.redis.set(keys.ARCHIVE_SWEPT, born_at(orphan) // HOUR_MS - 1)
    already_due = ArchiveCleanup(r.redis, r.scripts, media, r.environment, -9 * 86_400)
    await Archiver(archiver.archive, already_due, archiver.scripts, on=False).once()
    assert list(media.folder.rglob("*.gz")) == []


async def test_while_the_media_store_is_away_everything_waits_and_the_loop_goes_on(
    rig: Rig, archiver: Archiver, media: Media, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "PAUSE_SECONDS", 0.01)
    job = await rig.completed()
    before = await rig.redis.hgetall(keys.job(job.id))  # type: ignore[misc]
    media.away = 1
    with pytest.raises(MediaStoreUnavailable):
        await archiver.move()
    assert await rig.redis.hgetall(keys.job(job.id)) == before  # type: ignore[misc]
    media.away = 2
    with capture_logs() as logged:
        running = asyncio.create_task(archiver.run())
        await eventually(lambda: is_archived(rig, job))
        await eventually(lambda: _has(logged, "archive_back"))
        await end(running)
    assert said(logged) == ["archive_cut_short", "jobs_archived", "archive_back"]


async def _has(logged: Sequence[MutableMapping[str, Any]], event: str) -> bool:
    return event in said(logged)


async def test_an_unreadable_record_does_not_keep_the_others_in_redis(rig: Rig, archiver: Archiver) -> None:
    broken, job = await rig.completed(), await rig.completed()
    await rig.redis.set(keys.payload(broken.id), "x")
    await rig.redis.delete(keys.job_audit(broken.id))
    await rig.redis.set(keys.job_audit(broken.id), "garbage")
    with capture_logs() as logged:
        assert await archiver.once() == 1
    assert (await is_archived(rig, broken), await is_archived(rig, job)) == (False, True)
    [line] = [line for line in logged if line["event"] == "archiving_failed"]
    assert line["job"] == broken.id


async def test_a_job_that_is_not_ready_is_looked_at_again(rig: Rig, archiver: Archiver) -> None:
    job = await rig.completed()
    waiting = keys.due(Role.CONFIRM)
    await rig.redis.zadd(waiting, {f"main|{job.id}": 2**50})
    assert await archiver.move() == 0
    await rig.redis.delete(waiting)
    assert await archiver.move() == 0
    await rig.redis.zadd(keys.walk_later("archive"), {job.id: 1})
    assert await archiver.move() == 1
    assert await rig.redis.exists(keys.walk_later("archive")) == 0


async def test_the_object_of_a_forgotten_job_is_deleted_also_when_archiving_is_off(
    rig: Rig, archiver: Archiver, media: Media
) -> None:
    job = await rig.completed()
    assert await archiver.once() == 1
    assert await RedisRetention(rig.redis, rig.resources.scripts, 0).forget(job.id)
    await rig.redis.delete("{gw}:archive:delete")
    await Archiver(archiver.archive, archiver.cleanup, archiver.scripts, on=False).once()
    assert list(media.folder.rglob("*.gz")) == []


async def test_parts_of_jobs_go_early_in_the_pass_of_the_retention(rig: Rig, archiver: Archiver) -> None:
    r = rig.resources
    async with subscriber(reply(200)) as target:
        await rig.endpoint(target.url)
        job = await rig.completed(idempotency="key")
        [owed] = await rig.deliveries(job)
        retention = RedisRetention(r.redis, r.scripts, 3600, deliveries_seconds=0, claims_seconds=0)
        await Retention(retention, r.scripts).sweep()
        assert await rig.redis.exists(keys.delivery(owed.id)) == 1  # it is pending
        await rig.deliver(owed)
    assert await archiver.once() == 1
    await rig.redis.delete("{gw}:retention")
    await rig.redis.zadd(keys.walk_later("deliveries"), {job.id: 1})
    await Retention(retention, r.scripts).sweep()
    assert await rig.deliveries(job) == []
    assert await rig.redis.keys("{gw}:tenant:acme:idempotency:*") == []
    assert (await rig.read(job)).output


async def test_a_webhook_whose_event_is_lost_becomes_a_dead_letter(rig: Rig, archiver: Archiver) -> None:
    r = rig.resources
    async with subscriber(reply(200)) as target:
        await rig.endpoint(target.url)
        job = await rig.completed()
        [owed] = await rig.deliveries(job)
        owed = await rig.deliver(owed)
        assert await archiver.once() == 1
        [path] = r.settings.blob_dir.rglob("*.gz")
        raw = path.read_bytes()
        path.write_bytes(raw[:-1])
        assert not isinstance(await r.deliveries.redeliver(owed, "asked"), str)
        await rig.delivery_worker.deliver(await rig.ticket(Role.DELIVER, owed.id))
        path.write_bytes(raw)
        [dead] = await rig.deliveries(job)
        assert (dead.state, dead.log[-1]["outcome"]) == (DeliveryState.DEAD, "event_lost")
        assert dead.log[-1]["gave_up"] == "its event is lost"
        assert not isinstance(await r.deliveries.redeliver(owed, "again"), str)
        await rig.delivery_worker.deliver(await rig.ticket(Role.DELIVER, owed.id))
    assert len(target.requests) == 2
    assert [one.state for one in await rig.deliveries(job)] == [DeliveryState.DELIVERED]


@pytest.mark.parametrize("away", [True, False])
async def test_a_webhook_of_an_archived_job_waits_for_the_media_store(
    rig: Rig, archiver: Archiver, media: Media, away: bool
) -> None:
    r = rig.resources
    async with subscriber(reply(200)) as target:
        await rig.endpoint(target.url)
        job = await rig.completed()
        [owed] = await rig.deliveries(job)
        owed = await rig.deliver(owed)
        assert await archiver.once() == 1
        assert not isinstance(await r.deliveries.redeliver(owed, "asked"), str)
        ticket = await rig.ticket(Role.DELIVER, owed.id)
        if away:
            media.folder.rename(media.folder.with_name("away"))
        store = RedisDeliveryStore(r.redis, r.scripts, r.settings.roles(), archived=Archived(media))
        worker = type(rig.delivery_worker)(
            store, r.endpoints, rig.delivery_worker.deliverer, r.keyring, r.environment, r.settings
        )
        ctx: dict[str, Any] = {"delivery_worker": worker, "step_events": None, "jobs": r.jobs}
        with capture_logs() as logged:
            await tasks.deliver(ctx, str(ticket), ticket.dispatch_number)
        assert len(target.requests) == (1 if away else 2)
    names = said(logged)
    due = await rig.due_in(Role.DELIVER, ticket)
    if away:
        assert names == ["work_postponed"]
        assert due
        assert due > 5
    else:
        assert (names, due) == (["attempted"], None)
        assert target.requests[0][1] == target.requests[1][1]


async def test_redis_being_away_is_an_outage_of_the_archiver(
    rig: Rig, archiver: Archiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("Redis does not answer")

    monkeypatch.setattr(type(archiver.scripts), "acquire_leadership", away)
    with capture_logs() as logged:
        running = asyncio.create_task(archiver.run())
        await eventually(lambda: _has(logged, "archive_cut_short"))
        await end(running)


async def test_a_disk_that_is_nearly_full_gets_no_archives(
    rig: Rig, archiver: Archiver, media: Media
) -> None:
    await rig.completed()
    media.full = True
    with capture_logs() as logged:
        assert await archiver.once() == 0
    assert said(logged) == ["archive_waits"]
    media.full = False
    assert await archiver.once() == 1
