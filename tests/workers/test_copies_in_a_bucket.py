"""A copy in a real bucket, from the upstream's address to its end."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from gateway.assets import Variant
from gateway.settings import Settings
from tests.buckets import S3Server
from tests.gateway.web.conftest import add_key, connected, serving
from tests.workers.conftest import Rig
from tests.workers.mirroring import MirrorRig, changed, mirroring, movie, picture, sends
from tests.workers.test_copy_retention import figures, forget, retention


@pytest.fixture
def settings(settings: Settings, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    place = {"media_url": f"s3://{s3.new_bucket()}/media", "blob_dir": Path("blobs")}
    return settings.model_copy(update=place)


@pytest.fixture
async def mirror(rig: Rig) -> AsyncIterator[MirrorRig]:
    async with mirroring(rig) as made:
        made.results.handlers |= {"/v.mp4": sends(movie()), "/cover.jpg": sends(picture())}
        yield made


@pytest.fixture
async def client(mirror: MirrorRig, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway with the same Redis and the same bucket."""
    key = await add_key(mirror.rig.resources, "acme")
    async with serving(settings) as app, connected(app, key) as opened:
        yield opened


async def folders(mirror: MirrorRig) -> list[str]:
    return [entry.name for entry in await mirror.rig.resources.media.entries("results")]


async def test_a_copy_is_stored_served_and_deleted_after_its_time(
    mirror: MirrorRig, client: httpx.AsyncClient, s3: S3Server
) -> None:
    media = mirror.rig.resources.media
    job = await mirror.completed(url="/v.mp4", cover_url="/cover.jpg")
    mirror.mirrorer = changed(mirror.mirrorer, result_retention_seconds=-1)
    video = (await mirror.copy(job)).key
    mirror.mirrorer = changed(mirror.mirrorer, result_retention_seconds=600)
    cover = (await mirror.copy(job, Variant.COVER)).key
    assert video is not None
    assert cover is not None
    assert await media.read(video) == movie()
    names = [f"results/{job.id}/{entry.name}" for entry in await media.entries(f"results/{job.id}")]
    assert names == [cover, video]
    assert await mirror.scratch() == []

    path = f"/v1/jobs/{job.id}/content"
    head = await client.head(path)
    assert (head.status_code, int(head.headers["content-length"])) == (200, len(movie()))
    redirect = await client.get(path)
    assert redirect.status_code == 302
    signed = redirect.headers["location"]
    assert urlsplit(signed).netloc == urlsplit(s3.url).netloc
    async with httpx.AsyncClient() as anybody:
        fetched = await anybody.get(signed)
    assert (fetched.status_code, fetched.content) == (200, movie())
    assert fetched.headers["content-type"] == "video/mp4"
    streamed = await client.get(f"{path}?download=1")
    assert (streamed.status_code, streamed.content) == (200, movie())
    part = await client.get(f"{path}?download=1", headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.content) == (206, movie()[5:10])

    assert await retention(mirror).expire() == 1
    names = [f"results/{job.id}/{entry.name}" for entry in await media.entries(f"results/{job.id}")]
    assert names == [cover]
    assert await figures(mirror) == (1, len(picture()), len(picture()))
    after = await client.get(path)
    assert (after.status_code, after.headers["location"]) == (302, f"{mirror.results.url}/v.mp4")
    shown = (await client.get(f"/v1/jobs/{job.id}")).json()["assets"]
    assert (shown["video"]["state"], shown["cover"]["state"]) == ("expired", "stored")


async def test_the_copies_of_a_removed_job_are_swept_from_the_bucket(mirror: MirrorRig) -> None:
    gone, kept = await mirror.completed(), await mirror.completed()
    for job in (gone, kept):
        await mirror.copy(job)
    await forget(mirror, gone)
    assert await retention(mirror).drop_orphans() == 0  # too young to be sure
    mirror.rig.clock.ahead = 1000
    assert await retention(mirror).drop_orphans() == 1
    assert await folders(mirror) == [kept.id]


async def test_the_owner_deletes_a_copy_from_the_bucket(mirror: MirrorRig, client: httpx.AsyncClient) -> None:
    job = await mirror.completed()
    await mirror.copy(job)
    assert await folders(mirror) == [job.id]
    assert (await client.delete(f"/v1/jobs/{job.id}/content")).status_code == 204
    assert await folders(mirror) == []
    assert (await client.get(f"/v1/jobs/{job.id}/content")).status_code == 410
