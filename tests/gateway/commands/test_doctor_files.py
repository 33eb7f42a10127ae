"""What `vidu-gateway doctor` finds wrong with the media store."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import obstore
import pytest
from obstore.exceptions import PermissionDeniedError

from gateway.commands import doctor
from gateway.commands.doctor import Finding, Level
from gateway.media.folder import MARKER, FolderStore
from gateway.media.opening import open_store
from gateway.settings import Settings
from tests.buckets import S3Server

GB = 10**9


@pytest.fixture(autouse=True)
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    disk(monkeypatch, free=50 * GB)


def disk(monkeypatch: pytest.MonkeyPatch, *, free: int) -> None:
    """Of 100 GB, of which 4 GiB must stay free."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=100 * GB, free=free))


@pytest.fixture
def in_bucket(settings: Settings, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    place = {"media_url": f"s3://{s3.new_bucket()}/media", "blob_dir": Path("blobs")}
    return settings.model_copy(update=place)


async def found(settings: Settings) -> list[Finding]:
    """What is wrong with the place of the files."""
    findings = [one async for one in doctor._files(settings) if "open at once" not in one.text]
    assert all(one.fix for one in findings if one.level is not Level.OK)
    return [one for one in findings if one.level is not Level.OK]


async def test_a_store_that_a_gateway_uses_is_well(settings: Settings, in_bucket: Settings) -> None:
    for place in (settings, in_bucket):
        await open_store(place.media_location()).mark()
        assert await found(place) == []


async def test_a_volume_that_is_not_mounted_is_named_and_not_marked(settings: Settings) -> None:
    settings.blob_dir.mkdir()
    [missing] = await found(settings)
    assert missing.level is Level.WARNING
    assert missing.text == "no gateway has used this place yet, or the volume is not mounted"
    assert not (settings.blob_dir / MARKER).exists()


async def test_a_wrong_prefix_is_named(in_bucket: Settings) -> None:
    await open_store(in_bucket.media_location()).mark()
    wrong = in_bucket.model_copy(update={"media_url": f"{in_bucket.media_url}/other"})
    [missing] = await found(wrong)
    assert (missing.level, "no gateway has used this place" in missing.text) == (Level.WARNING, True)


@pytest.mark.parametrize("marked", [True, False])
async def test_a_key_that_may_not_list_is_named(
    in_bucket: Settings, marked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 answers 403 for each object that such a key does not find."""
    if marked:
        await open_store(in_bucket.media_location()).mark()
    head = obstore.head_async

    async def refuses(store: Any, key: str) -> Any:
        try:
            return await head(store, key)
        except FileNotFoundError:
            raise PermissionDeniedError("status code: 403") from None

    monkeypatch.setattr(obstore, "head_async", refuses)
    [refused] = await found(in_bucket)
    assert (refused.level, "403" in refused.text, "s3:ListBucket" in refused.fix) == (Level.ERROR, True, True)


async def test_a_disk_that_returns_something_else_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await FolderStore(settings.blob_dir).mark()
    broken = SimpleNamespace(
        write=len, flush=lambda: None, fileno=lambda: 1, seek=lambda _: 0, read=lambda: b"\0"
    )

    class Temporary:
        def __init__(self, **_: object) -> None: ...

        def __enter__(self) -> Any:
            return broken

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(tempfile, "TemporaryFile", Temporary)
    monkeypatch.setattr("os.fsync", lambda _: None)
    [wrong] = await found(settings)
    assert (wrong.level, "does not return what was written" in wrong.text) == (Level.ERROR, True)


@pytest.mark.parametrize(
    ("free", "level", "text"),
    [
        (5 * GB, Level.WARNING, "soon no file is taken: 5.0 GB are free, and 4.3 GB must stay free"),
        (4 * GB, Level.ERROR, "no file is taken: 4.0 GB are free, and 4.3 GB must stay free"),
    ],
)
async def test_too_little_space_is_what_closes_the_intake(
    settings: Settings, free: int, level: Level, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await FolderStore(settings.blob_dir).mark()
    disk(monkeypatch, free=free)
    [full] = await found(settings)
    assert (full.level, full.text) == (level, text)


async def test_the_line_is_that_of_the_alarm() -> None:
    from gateway.web import alarms

    assert doctor._DISK_HEADROOM == alarms.DISK_HEADROOM
