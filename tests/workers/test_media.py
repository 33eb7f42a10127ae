"""Uploads on their way to the upstream: as a fresh address, or inside the body."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway.jobs import Job
from gateway.lifecycle import JobState
from gateway.media.links import read_media_token
from gateway.uploads import Upload
from gateway.upstream.base import Accepted
from tests.gateway.generation.media_samples import data_uri, image
from tests.gateway.store.test_uploads import new_upload
from tests.workers.conftest import Rig
from workers import media


async def with_an_upload(rig: Rig, raw: bytes = image(), **fields: Any) -> tuple[Job, Upload]:
    upload = new_upload(extension="png", size=len(raw))
    await rig.resources.media.put(upload.key, raw)
    await rig.resources.uploads.add(upload)
    params = {"prompt": "a fox", "images": ["https://cdn.example.com/a.png", upload.reference]}
    return await rig.accept(params=params, uploads=[upload.id], **fields), upload


def hidden(rig: Rig) -> Rig:
    """The same without a public URL."""
    settings = rig.submitter.settings.model_copy(update={"public_url": ""})
    return replace(rig, submitter=replace(rig.submitter, settings=settings))


@pytest.mark.parametrize("total_seconds", [60, 200_000])
async def test_the_upstream_gets_an_address_that_outlives_its_task(rig: Rig, total_seconds: int) -> None:
    end_by = int((rig.clock() + total_seconds) * 1000)
    job, upload = await with_an_upload(rig, end_by=end_by, start_by=end_by)
    await rig.submit(job, Accepted("task_1"))
    [sent] = rig.upstream.released
    images = sent.params["images"]
    assert isinstance(images, list)
    plain, address = images
    assert plain == "https://cdn.example.com/a.png"
    assert address.startswith("http://127.0.0.1:8080/media/")
    ref = read_media_token(rig.resources.keyring, urlsplit(address).path.removeprefix("/media/"))
    assert ref is not None
    assert ref.upload_id == upload.id
    assert ref.expires_at > max(
        end_by / 1000, rig.clock() + rig.submitter.settings.job_deadline(off_peak=False)
    )
    assert (await rig.read(job)).params["images"][1] == upload.reference


async def test_without_a_public_url_the_file_is_inside_the_body(rig: Rig) -> None:
    job, _ = await with_an_upload(rig)
    await hidden(rig).submit(job, Accepted("task_1"))
    [sent] = rig.upstream.released
    assert sent.params["images"] == ["https://cdn.example.com/a.png", data_uri("image/png", image())]


async def test_a_file_that_no_body_can_hold_fails_the_job_for_free(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was accepted while there was a public URL."""
    monkeypatch.setattr(media, "UPSTREAM_BODY_BYTES", 4500)
    job, _ = await with_an_upload(rig, image("png", (200, 200)) + bytes(5000))
    await hidden(rig).submit(job, Accepted("task_1"))
    failed = await rig.read(job)
    assert (failed.state, (failed.error or {})["code"]) == (JobState.FAILED, "upload_unreachable")
    assert (rig.upstream.released, failed.spend) == ([], "none")


async def test_a_lost_file_fails_the_job_before_anything_is_paid(rig: Rig) -> None:
    job, upload = await with_an_upload(rig)
    await rig.resources.media.drop(upload.key)
    await rig.submit(job, Accepted("task_1"))
    failed = await rig.read(job)
    assert (failed.state, (failed.error or {})["code"]) == (JobState.FAILED, "media_lost")
    assert (rig.upstream.released, failed.spend) == ([], "none")
    assert (await rig.resources.uploads.read([upload.id]))[upload.id].pins == 0
