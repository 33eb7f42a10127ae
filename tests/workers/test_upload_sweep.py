"""Uploads go when their life is over, whoever dies meanwhile; files that nobody knows go, too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.errors import MediaStoreUnavailable, NotFound, StoreUnavailable
from gateway.resources import Resources
from gateway.uploads import Upload
from tests.gateway.store.test_uploads import end_life, new_upload
from workers import upload_sweep
from workers.upload_sweep import UploadSweeper


@pytest.fixture
def sweeper(resources: Resources) -> UploadSweeper:
    return UploadSweeper(resources.uploads, resources.scripts, resources.media, resources.environment)


async def stored(resources: Resources, content: str = "a") -> Upload:
    upload = new_upload(content=content)
    await resources.media.put(upload.key, b"film")
    return (await resources.uploads.add(upload)).upload


async def there(resources: Resources, upload: Upload) -> tuple[bool, bool]:
    """Whether its record and its file are there."""
    try:
        await resources.media.size(upload.key)
        file = True
    except NotFound:
        file = False
    return bool(await resources.uploads.read([upload.id])), file


def files(resources: Resources) -> list[Path]:
    return list(Path(resources.settings.blob_dir, "uploads").iterdir())


async def test_what_has_expired_goes_and_what_lives_stays(
    resources: Resources, sweeper: UploadSweeper
) -> None:
    old, young = await stored(resources), await stored(resources, "b")
    await end_life(resources.redis, old)
    assert await sweeper.sweep() == 1
    assert await there(resources, old) == (False, False)
    assert await there(resources, young) == (True, True)


@pytest.mark.parametrize("dies", ["before the file", "before the record"])
async def test_a_sweep_that_dies_is_finished_by_the_next(
    resources: Resources, sweeper: UploadSweeper, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    old = await stored(resources)
    await end_life(resources.redis, old)

    async def dead(*_: object) -> bool:
        raise MediaStoreUnavailable("x") if dies == "before the file" else StoreUnavailable("x")

    with monkeypatch.context() as broken:
        if dies == "before the file":
            broken.setattr(resources.media, "drop", dead)
        else:
            broken.setattr(resources.uploads, "forget", dead)
        with pytest.raises((MediaStoreUnavailable, StoreUnavailable)):
            await sweeper.sweep()
    assert (await there(resources, old))[0]  # or nobody would come back for the file
    assert (await resources.uploads.known("acme", old.sha256, 1)) is None  # and no new job can use it
    assert await sweeper.sweep() == 1
    assert await there(resources, old) == (False, False)


async def test_files_without_a_record_go_after_a_quarter_of_an_hour(
    resources: Resources, sweeper: UploadSweeper
) -> None:
    known, orphan = await stored(resources), new_upload(content="b")
    await resources.media.put(orphan.key, b"film")
    await resources.media.put("uploads/README", b"not ours to judge")
    assert await sweeper.sweep_orphans() == 0
    past = resources.environment.clock() - upload_sweep.ORPHAN_SECONDS - 1
    for path in files(resources):
        os.utime(path, (past, past))
    assert await sweeper.sweep_orphans() == 1
    assert await there(resources, known) == (True, True)
    assert await there(resources, orphan) == (False, False)
    assert await resources.media.size("uploads/README") > 0
