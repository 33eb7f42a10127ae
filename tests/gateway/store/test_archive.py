"""What moves of a finished job into the media store, what stays, and that nothing of it is lost on the way."""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from gateway import events
from gateway.dispatch import CallbackLimits, Role
from gateway.endpoints import Endpoint
from gateway.errors import MediaStoreUnavailable
from gateway.events import EventType
from gateway.jobs import Job
from gateway.lifecycle import DeliveryEvent, DeliveryState, JobEvent, JobState
from gateway.media.folder import MARKER, FolderStore
from gateway.store import keys
from gateway.store.archive import Moved, RedisArchive
from gateway.store.archive_document import key_of
from gateway.store.archived import Archived
from gateway.store.base import Callback, CallbackOutcome
from gateway.store.deliveries import RedisDeliveryStore
from gateway.store.effects import SetFields
from gateway.store.endpoints import RedisEndpointStore
from gateway.store.event_log import RedisTenantEvents
from gateway.store.job_history import RedisJobHistory
from gateway.store.jobs import RedisJobStore
from gateway.store.operator_audit import RedisAudit
from gateway.store.retention import RedisRetention
from gateway.store.script_runner import Scripts
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import ROLES, held, stored_body
from tests.gateway.store.histories import ENVIRONMENT, HISTORIES, HOUR_MS, RICH, History, Store, canceled, completed


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
    return RedisArchive(redis, scripts, media, ENVIRONMENT, 0, 0)


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
    redis = store.redis
    job = await finished(store, history, **fields)
    log, story = RedisTenantEvents(redis, archived=archived), RedisJobHistory(redis, archived)

    async def seen() -> list[Any]:
        found = await store.jobs.read(job.id)
        told = await log.job_events("acme", job.id)
        assert found
        assert told
        page = await store.jobs.page("acme", list(JobState), None, 10)
        whole = [replace(one, archived=None) for one in (found, told.job, *page.jobs)]
        audit = [entry async for entry in RedisAudit(redis, archived).of_jobs(0, 2**60)]
        of_job = await store.deliveries.of_job(job.id)
        alone = [await store.deliveries.find(one.id) for one in of_job]
        return [
            whole, told.entries, await log.bodies(told.entries), await store.jobs.payload(found),
            await story.read(found), audit, of_job, alone,
        ]  # fmt: skip

    before = await seen()
    assert await archive.move(job.id) is Moved.ARCHIVED
    assert await seen() == before
    assert await archive.move(job.id) is Moved.GONE
