"""An archived job in a real bucket, from its move to its end, and read by a gateway in between."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from gateway.settings import Settings
from gateway.store.archive_cleanup import ArchiveCleanup
from gateway.store.archive_writer import RedisArchive
from gateway.store.retention import RedisRetention
from tests.buckets import S3Server
from tests.gateway.web.conftest import add_key, connected, serving
from tests.workers.conftest import Rig
from workers.archive import Archiver


@pytest.fixture
def settings(settings: Settings, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    place = {"media_url": f"s3://{s3.new_bucket()}/media", "blob_dir": Path("blobs")}
    return settings.model_copy(update=place)


async def test_a_job_is_archived_read_and_deleted_with_its_retention(rig: Rig, settings: Settings) -> None:
    r = rig.resources
    r.scripts.loader.alone = True
    key = await add_key(r, "acme")
    async with serving(settings) as app, connected(app, key) as client:
        job = await rig.completed()
        before = (await client.get(f"/v1/jobs/{job.id}")).json()
        archive = RedisArchive(r.redis, r.scripts, r.media, r.environment, 0)
        cleanup = ArchiveCleanup(r.redis, r.scripts, r.media, r.environment, 3600)
        assert await Archiver(archive, cleanup, r.scripts, on=True).once() == 1
        [hour] = await r.media.entries("archive")
        assert [entry.name for entry in await r.media.entries(f"archive/{hour.name}")] == [job.id]
        answer = await client.get(f"/v1/jobs/{job.id}")
        assert (answer.status_code, answer.json()) == (200, before)
        assert await RedisRetention(r.redis, r.scripts, 0).forget(job.id)
        assert await cleanup.delete_forgotten(10) == 1
        assert await r.media.entries("archive") == []
        assert (await client.get(f"/v1/jobs/{job.id}")).status_code == 404
