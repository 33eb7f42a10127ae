"""What moves of a finished job into the media store, what stays, and that nothing is lost on the way."""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from gateway.dispatch import CallbackLimits, Role
from gateway.endpoints import Endpoint
from gateway.errors import ArchiveLost, MediaStoreUnavailable
from gateway.jobs import Job
from gateway.lifecycle import DeliveryEvent, DeliveryState, JobEvent, JobState
from gateway.media.folder import MARKER, FolderStore
from gateway.store import keys
from gateway.store.archive_cleanup import ArchiveCleanup
from gateway.store.archive_document import key_of
from gateway.store.archive_reader import Archived
from gateway.store.archive_writer import Moved, RedisArchive
from gateway.store.base import Callback, CallbackOutcome
from gateway.store.deliveries import RedisDeliveryStore
from gateway.store.endpoints import RedisEndpointStore
from gateway.store.event_log import RedisTenantEvents
from gateway.store.job_history import RedisJobHistory
from gateway.store.jobs import RedisJobStore
from gateway.store.operator_audit import RedisAudit
from gateway.store.retention import RedisRetention
from gateway.store.script_runner import Scripts
from tests.gateway.store.conftest import ROLES, held, stored_body
from tests.gateway.store.histories import (
    ENVIRONMENT,
    HISTORIES,
    HOUR_MS,
    RICH,
    History,
    Store,
    canceled,
    completed,
)


@pytest.fixture
def media(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "media")


@pytest.fixture
def archived(media: FolderStore) -> Archived:
    return Archived(media)


@pytest.fixture
def store(redis: Redis, scripts: Scripts, archived: Archived) -> Store:
    """Its jobs are forgotten at once when they are finished."""
    return Store(
        redis,
        RedisJobStore(redis, scripts, ROLES, CallbackLimits(90_000, 30_000, 604_800_000), archived),
        RedisDeliveryStore(redis, scripts, ROLES, archived=archived),
        RedisEndpointStore(redis, scripts),
        RedisRetention(redis, scripts, 0),
    )


@pytest.fixture
def archive(redis: Redis, scripts: Scripts, media: FolderStore) -> RedisArchive:
    return RedisArchive(redis, scripts, media, ENVIRONMENT, 0)


async def finished(store: Store, history: History = completed, **fields: Any) -> Job:
    """A job that is over, and whose webhooks were delivered. As its record says it."""
    await store.endpoints.create(Endpoint("ep_1", "acme", "https://one.example.com", (), "k", 1), 50)
    job = await history(store, await store.accept(**fields))
    await store.deliver(job, DeliveryEvent.ATTEMPT_SUCCEEDED)
    found = await store.jobs.read(job.id)
    assert found
    return found


@pytest.mark.parametrize("history", HISTORIES[:5])
@pytest.mark.parametrize("fields", [{}, RICH], ids=["plain", "rich"])
async def test_an_archived_job_reads_as_before(
    store: Store, archive: RedisArchive, archived: Archived, history: History, fields: dict[str, Any]
) -> None:
    redis, scripts = store.redis, Scripts(store.redis)
    job = await finished(store, history, **fields)
    log, job_history = RedisTenantEvents(redis, archived=archived), RedisJobHistory(scripts, archived)

    async def seen() -> list[Any]:
        found = await store.jobs.read(job.id)
        told = await log.job_events("acme", job.id)
        assert found
        assert told
        page = await store.jobs.page("acme", list(JobState), None, 10)
        whole = [replace(one, archived=None) for one in (found, told.job, *page.jobs)]
        audit = [entry async for entry in RedisAudit(redis, scripts, archived).of_jobs(0, 2**60)]
        of_job = await store.deliveries.of_job(job.id)
        alone = [await store.deliveries.find(one.id) for one in of_job]
        return [
            whole, told.entries, await log.bodies(told.entries), await store.jobs.payload(found),
            await job_history.read(found), audit, of_job, alone,
        ]  # fmt: skip

    before = await seen()
    assert await archive.move(job.id) is Moved.ARCHIVED
    assert await seen() == before
    assert await archive.move(job.id) is Moved.GONE


async def test_what_was_read_just_before_it_was_archived_can_be_completed(
    store: Store, archive: RedisArchive, archived: Archived
) -> None:
    job = await finished(store, **RICH)
    job_history = RedisJobHistory(Scripts(store.redis), archived)
    before = await store.jobs.payload(job), await job_history.read(job)
    assert before[0]
    assert await archive.move(job.id) is Moved.ARCHIVED
    assert job.archived is None
    assert (await store.jobs.payload(job), await job_history.read(job)) == before


class Slow(RedisTenantEvents):
    """A job is archived between the reading of its record and that of its payload."""

    move: Callable[[], Awaitable[Any]]

    async def _payloads(self, jobs: Sequence[Job]) -> dict[str, str | None]:
        await self.move()
        return await super()._payloads(jobs)


async def test_an_event_keeps_the_payload_of_a_job_that_is_archived_just_now(
    store: Store, archive: RedisArchive, archived: Archived
) -> None:
    job = await finished(store, **RICH)
    told = await RedisTenantEvents(store.redis, archived=archived).job_events("acme", job.id)
    assert told
    before = await RedisTenantEvents(store.redis, archived=archived).bodies(told.entries)
    slow = Slow(store.redis, archived=archived)
    slow.move = lambda: archive.move(job.id)
    assert await slow.bodies(told.entries) == before
    assert b"pppp" in (before[0] or b"")


async def content(media: FolderStore, job: Job, digest: str) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(gzip.decompress(await media.read(key_of(job.id, digest))))
    return found


async def archived_job(store: Store, archive: RedisArchive, **fields: Any) -> Job:
    job = await finished(store, **fields)
    assert await archive.move(job.id) is Moved.ARCHIVED
    found = await store.jobs.read(job.id)
    assert found
    return found


async def test_nothing_large_stays_in_redis(store: Store, archive: RedisArchive, media: FolderStore) -> None:
    job = await archived_job(store, archive, **RICH)
    left = await store.redis.keys(f"*{job.id.removeprefix('job_')}*")
    assert not [name for name in left if ":event:" in name or name.endswith((":payload", ":audit"))]
    fields = await store.redis.hgetall(keys.job(job.id))  # type: ignore[misc]
    assert not fields.keys() & {"params", "model", "callback_url", "output", "end_by", "watch_until"}
    assert job.archived
    assert (await content(media, job, job.archived))["payload"] == "p" * 20


@pytest.mark.parametrize("history", HISTORIES[:5])
@pytest.mark.parametrize(
    ("epoch", "task"), [(1, "task_a"), (1, "task_z"), (1, None), (0, "task_z"), (7, "task_7"), (7, None)]
)
async def test_a_late_callback_of_an_archived_job_is_taken_as_if_it_were_not_archived(
    store: Store,
    archive: RedisArchive,
    archived: Archived,
    history: History,
    epoch: int,
    task: str | None,
) -> None:
    redis, seen = store.redis, []
    for is_archived in (False, True):
        await redis.flushall()
        job = await finished(store, history)
        if is_archived:
            assert await archive.move(job.id) is Moved.ARCHIVED
        callback = Callback(
            job.id, "acme", epoch, "completed", task_id=task, terminal=True, claimed={"a": "b"}
        )
        outcomes = [await store.jobs.callback(callback) for _ in range(2)]
        after = await store.jobs.read(job.id)
        assert after
        assert replace(after, archived=None) == job
        history_of_it = await RedisJobHistory(Scripts(redis), archived).read(after)
        job_history = [entry.get("effect") for entry in history_of_it]
        alarms = [fields["kind"] for _, fields in await redis.xrange(keys.OPS_EVENTS)]
        tasks = {name: await redis.get(name) == job.id for name in await redis.keys("{gw}:task:*")}
        waiting = [await redis.zcard(keys.waiting(role)) for role in (Role.SUBMIT, Role.CONFIRM)]
        quarantined = await redis.xlen(keys.QUARANTINE)
        seen.append((outcomes, job_history, alarms, tasks, waiting, quarantined, await store.counts()))
    assert seen[0] == seen[1]
    assert seen[0][4][0] == 0  # nothing is sent again


async def test_another_jobs_callback_cannot_take_the_task_of_an_archived_job(
    store: Store, archive: RedisArchive
) -> None:
    job = await archived_job(store, archive)
    other = await store.released(await store.accept())
    callback = Callback(other.id, "acme", 1, "completed", task_id="task_a", terminal=True)
    assert await store.jobs.callback(callback) is CallbackOutcome.CROSSED
    assert await store.redis.get("{gw}:task:task_a") == job.id
    due = await store.redis.keys("{gw}:confirm:*")
    assert due  # both are polled: the archived one, too
    kept = await store.jobs.read_kept(job.id)
    assert kept
    assert (kept.final, kept.task_id) == (True, "task_a")


@pytest.mark.parametrize("ready", [True, False], ids=["there", "away"])
async def test_a_delivery_of_an_archived_job_is_sent_again_with_the_same_bytes(
    store: Store, archive: RedisArchive, media: FolderStore, ready: bool
) -> None:
    job = await finished(store)
    [delivery] = await store.deliveries.of_job(job.id)
    body = await stored_body(store.redis, delivery.event_id)
    assert body
    assert await archive.move(job.id) is Moved.ARCHIVED
    begun = await store.deliveries.redeliver(delivery, "asked")
    assert not isinstance(begun, str)
    assert await archive.move(job.id) is Moved.GONE
    ticket = await held(store.redis, Role.DELIVER, delivery.id)
    if not ready:
        (media.folder / MARKER).rename(media.folder / "elsewhere")
        next(media.folder.rglob("*.gz")).rename(media.folder / "gone")
        away = RedisDeliveryStore(store.redis, archive._scripts, ROLES, archived=Archived(media))
        with pytest.raises(MediaStoreUnavailable):
            await away.begin(ticket)
        return
    found = await store.deliveries.begin(ticket)
    assert found
    assert found[1] == body.encode()
    again = replace(found[0], attempts=2, log=[{"number": 2, "outcome": "succeeded"}])
    await store.deliveries.finish(ticket, again, DeliveryEvent.ATTEMPT_SUCCEEDED, retry_in_ms=None, tally=[])
    after = await store.deliveries.find(delivery.id)
    assert after
    assert (after.state, after.attempts) == (DeliveryState.DELIVERED, 2)
    assert [entry["number"] for entry in after.log] == [*(e["number"] for e in delivery.log), 2]


async def test_a_job_that_may_still_change_stays_whole(
    store: Store, archive: RedisArchive, redis: Redis, scripts: Scripts, media: FolderStore
) -> None:
    running = await store.accept()
    assert await archive.move(running.id) is Moved.GONE
    watched_till = ENVIRONMENT.now_ms() + HOUR_MS
    job = await store.released(await store.accept())
    watched = await store.settle(job, JobEvent.UPSTREAM_REJECTED, JobState.FAILED, watch_until=watched_till)
    assert await archive.move(watched.id) is Moved.LATER
    owing = await canceled(store, await store.accept(**RICH))
    assert await archive.move(owing.id) is Moved.LATER
    polled = await finished(store)
    await redis.zadd(keys.due(Role.CONFIRM), {f"main|{polled.id}": 2**50})
    assert await archive.move(polled.id) is Moved.LATER
    await redis.delete(keys.due(Role.CONFIRM))
    early = RedisArchive(redis, scripts, media, ENVIRONMENT, 3600)
    assert await early.move(polled.id) is Moved.LATER
    assert await archive.move(polled.id) is Moved.ARCHIVED


class Meanwhile(FolderStore):
    """Something happens between the writing of an object and the dropping from Redis."""

    happens: Callable[[], Awaitable[Any]]

    async def put(self, key: str, raw: bytes) -> None:
        await super().put(key, raw)
        await self.happens()


@pytest.mark.parametrize("what", ["field", "payload", "history", "log", "event", "delivery"])
async def test_what_changes_while_it_is_archived_is_not_lost(
    store: Store, redis: Redis, scripts: Scripts, tmp_path: Path, what: str
) -> None:
    job = await finished(store, **RICH)
    [delivery, _] = await store.deliveries.of_job(job.id)
    changes: Mapping[str, Callable[[], Any]] = {
        "field": lambda: redis.hset(keys.job(job.id), "params", '{"prompt": "b"}'),
        "payload": lambda: redis.append(keys.payload(job.id), "q"),
        "history": lambda: redis.rpush(keys.job_audit(job.id), '{"event":"callback","at":1}'),
        "log": lambda: redis.hset(keys.delivery(delivery.id), "log", "[{}]"),
        "event": lambda: redis.hset(keys.event(delivery.event_id), "packed", "abc"),
        "delivery": lambda: redis.sadd(keys.job_deliveries(job.id), "another"),
    }
    media = Meanwhile(tmp_path / "media")
    media.happens = changes[what]
    before_change = await store.dump()
    moved = await RedisArchive(redis, scripts, media, ENVIRONMENT, 0).move(job.id)
    assert moved is Moved.CHANGED
    assert (await store.dump()).keys() == before_change.keys()
    assert len(list((tmp_path / "media").rglob("*.gz"))) == 1


async def test_archiving_again_after_a_crash_writes_the_same_object(
    store: Store, archive: RedisArchive, media: FolderStore
) -> None:
    job = await finished(store)
    document, _ = await archive._read(job.id)
    assert await archive.move(job.id) is Moved.ARCHIVED
    [path] = media.folder.rglob("*.gz")
    assert document
    assert path.parent.name == job.id
    assert path.name == f"{(await store.jobs.read_kept(job.id) or job).archived}.json.gz"


@pytest.mark.parametrize("how", ["missing", "damaged", "away"])
async def test_an_archived_job_whose_object_cannot_be_read_is_an_outage_and_not_missing(
    store: Store, archive: RedisArchive, media: FolderStore, redis: Redis, scripts: Scripts, how: str
) -> None:
    job = await archived_job(store, archive)
    [path] = media.folder.rglob("*.gz")
    if how == "damaged":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.unlink()
    if how == "away":
        (media.folder / MARKER).unlink()
    fresh = RedisJobStore(redis, scripts, ROLES, CallbackLimits(1, 1, 1), Archived(media))
    with pytest.raises(MediaStoreUnavailable):
        await fresh.read(job.id)
    kept = await fresh.read_kept(job.id)
    assert kept
    assert (kept.state, kept.tenant, kept.task_id) == (JobState.COMPLETED, "acme", "task_a")


@pytest.mark.parametrize("how", ["missing", "damaged"])
async def test_a_lost_archive_keeps_no_list_no_replay_and_no_export_from_all_other_jobs(
    store: Store, archive: RedisArchive, media: FolderStore, redis: Redis, scripts: Scripts, how: str
) -> None:
    oldest, lost, newest = [await archived_job(store, archive) for _ in range(3)]
    path = media.folder / key_of(lost.id, lost.archived or "")
    raw = path.read_bytes()
    path.write_bytes(raw[:-1])
    if how == "missing":
        path.unlink()
    archived = Archived(media)
    jobs = RedisJobStore(redis, scripts, ROLES, CallbackLimits(1, 1, 1), archived)
    log = RedisTenantEvents(redis, archived=archived)
    [entries] = await log.after([("acme", "0-0")], 100)
    with capture_logs() as logged:
        seen: list[list[str]] = []
        after = None
        while not seen or after:
            page = await jobs.page("acme", list(JobState), after, 1)
            seen.append([job.id for job in page.jobs])
            after = page.last
        bodies = await log.bodies(entries)
        audit = RedisAudit(redis, scripts, archived)
        exported = [line["job"] async for lines in audit.of_jobs(0, 2**60) for line in lines]
        with pytest.raises(ArchiveLost, match=f"the archive of {lost.id} cannot be read") as told:
            await jobs.read(lost.id)
    assert seen == [[newest.id], [], [oldest.id]]
    assert {entry.job_id for entry, body in zip(entries, bodies, strict=True) if body is None} == {lost.id}
    assert {entry.job_id for entry, body in zip(entries, bodies, strict=True) if body} == {
        oldest.id,
        newest.id,
    }
    assert {oldest.id, newest.id} <= set(exported)
    assert told.value.retry_after_seconds == 3600
    assert [(line["event"], line["job"]) for line in logged] == [("archive_unreadable", lost.id)]
    path.write_bytes(raw)
    assert len((await jobs.page("acme", list(JobState), None, 10)).jobs) == 3


async def test_an_object_that_does_not_read_back_is_no_archive(
    store: Store, redis: Redis, scripts: Scripts, tmp_path: Path
) -> None:
    job = await finished(store)
    media = Meanwhile(tmp_path / "media")

    async def spoil() -> None:
        [path] = media.folder.rglob("*.gz")
        path.write_bytes(b"x")

    media.happens = spoil
    before = await store.dump()
    with pytest.raises(MediaStoreUnavailable):
        await RedisArchive(redis, scripts, media, ENVIRONMENT, 0).move(job.id)
    assert await store.dump() == before


class Away(FolderStore):
    async def drop(self, prefix: str) -> None:
        raise MediaStoreUnavailable("no connection to the bucket")


async def test_the_object_goes_after_its_job_and_waits_for_the_media_store(
    store: Store, archive: RedisArchive, media: FolderStore, redis: Redis, scripts: Scripts
) -> None:
    job = await archived_job(store, archive, **RICH)
    assert await store.retention.forget(job.id)
    left, trace = await store.dump(), job.id.removeprefix("job_")
    assert [name for name, text in left.items() if trace in text] == [keys.ARCHIVE_GONE]
    away = ArchiveCleanup(redis, scripts, Away(media.folder), ENVIRONMENT, 0)
    with pytest.raises(MediaStoreUnavailable):
        await away.delete_forgotten(10)
    assert len(list(media.folder.rglob("*.gz"))) == 1
    cleanup = ArchiveCleanup(redis, scripts, media, ENVIRONMENT, 0)
    assert await cleanup.delete_forgotten(10) == 1
    assert list((media.folder / "archive").iterdir()) == []
    assert await cleanup.delete_forgotten(10) == 0


async def test_an_archived_job_counts_less_for_its_tenant_and_in_the_end_nothing(
    store: Store, archive: RedisArchive, redis: Redis
) -> None:
    empty = int(await redis.hget(keys.tenant_usage("acme"), "bytes") or 0)  # type: ignore[misc]
    job = await finished(store, **RICH)
    full = int(await redis.hget(keys.tenant_usage("acme"), "bytes") or 0)  # type: ignore[misc]
    assert await archive.move(job.id) is Moved.ARCHIVED
    less = int(await redis.hget(keys.tenant_usage("acme"), "bytes") or 0)  # type: ignore[misc]
    assert less < full
    assert await store.retention.forget(job.id)
    endpoint = int(await redis.hget(keys.endpoint("ep_1"), "bytes") or 0)  # type: ignore[misc]
    assert int(await redis.hget(keys.tenant_usage("acme"), "bytes") or 0) == empty + endpoint  # type: ignore[misc]


async def test_what_an_archived_job_takes_in_the_media_store_counts_until_it_is_forgotten(
    store: Store, archive: RedisArchive, media: FolderStore
) -> None:
    jobs = [await finished(store, payload_characters=n) for n in (20, 20_000)]
    for job in jobs:
        assert await archive.move(job.id) is Moved.ARCHIVED
        assert await archive.move(job.id) is Moved.GONE
    sizes = [path.stat().st_size for path in media.folder.rglob("*.gz")]
    assert len(sizes) == 3
    assert await archived_bytes(store) == sum(sizes)
    for job in jobs:
        assert await store.retention.forget(job.id)
    assert await archived_bytes(store) is None


async def test_a_job_whose_archived_bytes_were_not_counted_gives_none_back(
    store: Store, archive: RedisArchive
) -> None:
    job = await finished(store)
    assert await archive.move(job.id) is Moved.ARCHIVED
    await store.redis.hdel(keys.job(job.id), "archived_bytes")  # type: ignore[misc]
    await store.redis.hdel(keys.tenant_usage("acme"), "archived")  # type: ignore[misc]
    assert await store.retention.forget(job.id)
    assert await archived_bytes(store) is None


async def archived_bytes(store: Store) -> int | None:
    found = await store.redis.hget(keys.tenant_usage("acme"), "archived")  # type: ignore[misc]
    return None if found is None else int(found)


async def test_only_objects_without_a_job_are_swept_and_only_after_every_job_must_be_gone(
    store: Store, archive: RedisArchive, redis: Redis, scripts: Scripts, media: FolderStore
) -> None:
    days = 86_400_000
    clock = [0]

    class Later(type(ENVIRONMENT)):  # type: ignore[misc]
        def now_ms(self) -> int:
            return int(ENVIRONMENT.now_ms()) + clock[0]

    cleanup = ArchiveCleanup(redis, scripts, media, Later(), 86_400)
    kept = await archived_job(store, archive)
    orphan = ENVIRONMENT.new_job_id()
    await media.put(key_of(orphan, "0" * 32), b"x")
    assert await cleanup.sweep_hour() == 0
    assert await cleanup.sweep_hour() is None
    clock[0] = 10 * days
    dropped = 0
    while (found := await cleanup.sweep_hour()) is not None:
        dropped += found
    assert dropped == 1
    assert [path.parent.name for path in media.folder.rglob("*.gz")] == [kept.id]
