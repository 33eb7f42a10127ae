"""What reading archived jobs costs a process, and jobs that are forgotten while they are read."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import tracemalloc
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from redis.asyncio import Redis

from gateway.dispatch import CallbackLimits
from gateway.errors import NotFound
from gateway.jobs import EVENT_PAYLOAD_CHARACTERS, Job
from gateway.lifecycle import DeliveryEvent, JobState
from gateway.media.folder import FolderStore
from gateway.store.archive_cleanup import ArchiveCleanup
from gateway.store.archive_document import Document, digest_of, dump, key_of, load
from gateway.store.archive_reader import Archived
from gateway.store.archive_writer import Moved, RedisArchive
from gateway.store.base import AdmissionLimits
from gateway.store.deliveries import RedisDeliveryStore
from gateway.store.endpoints import RedisEndpointStore
from gateway.store.event_log import RedisTenantEvents
from gateway.store.job_history import RedisJobHistory
from gateway.store.jobs import RedisJobStore
from gateway.store.operator_audit import RedisAudit
from gateway.store.retention import RedisRetention
from gateway.store.script_runner import Scripts
from tests.gateway.store.conftest import ROLES, new_job
from tests.gateway.store.histories import ENVIRONMENT, Store, canceled

_MIB: Final = 1_048_576
#: One character beyond the 16 bits makes each of the others take four bytes in Python.
_WIDE: Final = "\N{FOX FACE}"
_LONGEST: Final = "a" * (_MIB - 1) + _WIDE


def store_with(redis: Redis, scripts: Scripts, media: FolderStore) -> Store:
    archived = Archived(media, redis)
    return Store(
        redis,
        RedisJobStore(redis, scripts, ROLES, CallbackLimits(90_000, 30_000, 604_800_000), archived),
        RedisDeliveryStore(redis, scripts, ROLES, archived=archived),
        RedisEndpointStore(redis, scripts),
        RedisRetention(redis, scripts, 0),
    )


@pytest.fixture
def media(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "media")


@pytest.fixture
def store(redis: Redis, scripts: Scripts, media: FolderStore) -> Store:
    return store_with(redis, scripts, media)


@pytest.fixture
def archive(redis: Redis, scripts: Scripts, media: FolderStore) -> RedisArchive:
    return RedisArchive(redis, scripts, media, ENVIRONMENT, 0)


async def archived_job(store: Store, archive: RedisArchive, payload: str | None = None, **fields: Any) -> Job:
    """As its record said it before it was archived."""
    job = new_job(payload_characters=None if payload is None else len(payload), **fields)
    await store.jobs.accept(job, payload, "fingerprint", AdmissionLimits(queue_max=10))
    await canceled(store, job)
    await store.deliver(job, DeliveryEvent.ATTEMPT_SUCCEEDED)
    found = await store.jobs.read(job.id)
    assert await archive.move(job.id) is Moved.ARCHIVED
    assert found
    return found


async def test_a_list_of_archived_jobs_does_not_load_their_long_payloads(
    store: Store, archive: RedisArchive, redis: Redis, scripts: Scripts, media: FolderStore
) -> None:
    made = [await archived_job(store, archive, _LONGEST) for _ in range(100)]
    fresh = store_with(redis, scripts, media)
    gc.collect()
    tracemalloc.start()
    page = await fresh.jobs.page("acme", list(JobState), None, 100)
    now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert {job.id for job in page.jobs} == {job.id for job in made}
    assert peak < 12 * _MIB, (now, peak)
    assert await fresh.jobs.payload(made[7]) == _LONGEST


@pytest.mark.parametrize("more", [0, 1])
async def test_payloads_around_the_limit_of_events_read_as_before(
    store: Store, archive: RedisArchive, redis: Redis, media: FolderStore, more: int
) -> None:
    payload = "a" * (EVENT_PAYLOAD_CHARACTERS - 1 + more) + _WIDE
    job = new_job(payload_characters=len(payload))
    await store.jobs.accept(job, payload, "fingerprint", AdmissionLimits(queue_max=10))
    await canceled(store, job)
    log = RedisTenantEvents(redis, archived=Archived(media, redis))
    told = await log.job_events("acme", job.id)
    assert told
    before = await log.bodies(told.entries)
    assert await archive.move(job.id) is Moved.ARCHIVED
    assert await store.jobs.payload(job) == payload
    assert await log.bodies(told.entries) == before
    assert len(list(media.folder.rglob("*.gz"))) == 1 + more
    assert await store.retention.forget(job.id)
    assert await ArchiveCleanup(redis, archive._scripts, media, ENVIRONMENT, 0).delete_forgotten(10) == 1
    assert list(media.folder.rglob("*.gz")) == []


async def test_the_bytes_that_are_held_are_bounded_whatever_the_documents_say(media: FolderStore) -> None:
    names = []
    await media.mark()
    for at in range(400):
        prompt = f"{at}" + "a" * 16_000 + _WIDE  # packs to 100 bytes, takes 64,000
        raw = dump(Document({"params": prompt}))[0]
        names.append((ENVIRONMENT.new_job_id(), digest_of(raw)))
        path = media.folder / key_of(*names[-1])
        path.parent.mkdir(parents=True)
        path.write_bytes(raw)
    archived = Archived(media)
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for name in names:
        await archived.document(*name)
    gc.collect()
    now, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert now - before < 10 * _MIB
    newest = await archived.document(*names[-1])
    assert await archived.document(*names[-1]) is newest


async def test_what_unpacks_to_much_is_unpacked_in_a_thread(
    media: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: list[bool] = []

    def watched(raw: bytes, digest: str) -> Document:
        where.append(threading.current_thread() is threading.main_thread())
        return load(raw, digest)

    monkeypatch.setattr("gateway.store.archive_reader.load", watched)
    noise = random.Random(7).randbytes(20_000).hex()
    for text in ("a fox", "a" * _MIB, noise):
        raw = dump(Document({"params": text}))[0]
        name = ENVIRONMENT.new_job_id()
        await media.put(key_of(name, digest_of(raw)), raw)
        assert (await Archived(media).document(name, digest_of(raw))).job["params"] == text
    assert where == [True, False, False]


class Counting(FolderStore):
    """Counts how many reads go on at once."""

    now = most = 0

    async def read(self, key: str) -> bytes:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0)
            return await super().read(key)
        finally:
            self.now -= 1


async def test_few_objects_are_read_at_once_by_one_list_and_by_the_process(tmp_path: Path) -> None:
    media = Counting(tmp_path / "media")
    jobs = []
    for at in range(60):
        raw = dump(Document({"params": str(at)}))[0]
        jobs.append((ENVIRONMENT.new_job_id(), {"archived": digest_of(raw)}))
        await media.put(key_of(jobs[-1][0], digest_of(raw)), raw)
    await Archived(media).all_of(jobs)
    assert 1 < media.most <= 8
    archived = Archived(media)
    await asyncio.gather(*(archived.all_of(jobs[at::6]) for at in range(6)))
    assert 8 < media.most <= 16


class Forgetting(FolderStore):
    """The job is forgotten, and its object is deleted, just before it is read."""

    forget: Callable[[], Awaitable[Any]]

    async def read(self, key: str) -> bytes:
        await self.forget()
        return await super().read(key)


READERS: Final[Mapping[str, Callable[[Store, Archived, Job], Awaitable[Any]]]] = {
    "job": lambda s, a, job: s.jobs.read(job.id),
    "payload": lambda s, a, job: s.jobs.payload(job),
    "page": lambda s, a, job: _page(s),
    "deliveries": lambda s, a, job: s.deliveries.of_job(job.id),
    "events": lambda s, a, job: RedisTenantEvents(s.redis, archived=a).job_events("acme", job.id),
    "bodies": lambda s, a, job: _bodies(s, a),
    "export": lambda s, a, job: _export(s, a),
}


async def _page(store: Store) -> list[Job]:
    return (await store.jobs.page("acme", list(JobState), None, 10)).jobs


async def _bodies(store: Store, archived: Archived) -> list[bytes]:
    log = RedisTenantEvents(store.redis, archived=archived)
    [entries] = await log.after([("acme", "0-0")], 10)
    assert entries
    return [body for body in await log.bodies(entries) if body]


async def _export(store: Store, archived: Archived) -> list[Any]:
    audit = RedisAudit(store.redis, Scripts(store.redis), archived)
    return [line async for lines in audit.of_jobs(0, 2**60) for line in lines]


@pytest.mark.parametrize("reader", READERS)
async def test_a_job_that_is_forgotten_while_it_is_read_is_gone_and_not_lost(
    redis: Redis, scripts: Scripts, tmp_path: Path, reader: str
) -> None:
    media = Forgetting(tmp_path / "media")
    store = store_with(redis, scripts, media)
    archive = RedisArchive(redis, scripts, FolderStore(media.folder), ENVIRONMENT, 0)
    cleanup = ArchiveCleanup(redis, scripts, FolderStore(media.folder), ENVIRONMENT, 0)
    job = await archived_job(store, archive, "p" * 20, callback_url="https://client.example.com/hook")

    async def forget() -> None:
        await store.retention.forget(job.id)
        await cleanup.delete_forgotten(10)

    media.forget = forget
    assert not await READERS[reader](store, Archived(media, redis), job)


async def test_the_history_of_a_job_that_is_forgotten_while_it_is_read_is_not_found(
    redis: Redis, scripts: Scripts, tmp_path: Path
) -> None:
    media = Forgetting(tmp_path / "media")
    store = store_with(redis, scripts, media)
    archive = RedisArchive(redis, scripts, FolderStore(media.folder), ENVIRONMENT, 0)
    job = await archived_job(store, archive)
    media.forget = lambda: store.retention.forget(job.id)
    [path] = media.folder.rglob("*.gz")
    path.unlink()
    with pytest.raises(NotFound):
        await RedisJobHistory(scripts, Archived(media, redis)).read(job)
