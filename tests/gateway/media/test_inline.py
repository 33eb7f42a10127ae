from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from gateway.errors import MediaStoreUnavailable, NotFound
from gateway.media.folder import MARKER, SCRATCH, FolderStore
from gateway.media.inline import InlineFiles

JOB = "job_01JABCDEF"
RAW = b"the bytes of an image"
DIGEST = hashlib.sha256(RAW).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "made" / "blobs"


@pytest.fixture
def blobs(folder: Path) -> InlineFiles:
    return InlineFiles(FolderStore(folder))


async def test_a_stored_file_is_read_by_its_reference(blobs: InlineFiles) -> None:
    reference = await blobs.put(JOB, RAW, "png")
    assert reference == f"blob:{JOB}/{DIGEST}.png"
    assert await blobs.read(reference) == RAW


async def test_another_process_reads_it_too(blobs: InlineFiles, folder: Path) -> None:
    reference = await blobs.put(JOB, RAW, "png")
    assert await InlineFiles(FolderStore(folder)).read(reference) == RAW


async def test_the_same_file_is_stored_once(blobs: InlineFiles, folder: Path) -> None:
    assert await blobs.put(JOB, RAW, "png") == await blobs.put(JOB, RAW, "png")
    assert [path.name for path in (folder / JOB).iterdir()] == [f"{DIGEST}.png"]


async def test_dropping_a_job_deletes_only_its_files(blobs: InlineFiles) -> None:
    mine, other = await blobs.put(JOB, RAW, "png"), await blobs.put("job_other", RAW, "png")
    await blobs.drop(JOB)
    await blobs.drop(JOB)
    with pytest.raises(NotFound):
        await blobs.read(mine)
    assert await blobs.read(other) == RAW


@pytest.mark.parametrize(
    "job_id", ["", "..", "../x", "a/b", ".hidden", "a\0b", "/etc", "a" * 129, "job_1\n", "uploads", "job_"]
)
async def test_no_job_id_leads_out_of_the_folder(blobs: InlineFiles, job_id: str) -> None:
    with pytest.raises(ValueError):
        await blobs.put(job_id, RAW, "png")
    kept = await blobs.put(JOB, RAW, "png")
    await blobs.drop(job_id)
    assert await blobs.read(kept) == RAW


@pytest.mark.parametrize("extension", ["", "../x", "a/b", "PNG", "p.g", "png\n"])
async def test_no_extension_leads_out_of_the_folder(blobs: InlineFiles, extension: str) -> None:
    with pytest.raises(ValueError):
        await blobs.put(JOB, RAW, extension)


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "blob:",
        f"{JOB}/{DIGEST}.png",
        f"blob:../{DIGEST}.png",
        f"blob:{JOB}/../{JOB}/{DIGEST}.png",
        f"blob:{JOB}/{DIGEST}.png\n",
        f"blob:{JOB}/{DIGEST[:-1]}.png",
        f"blob:{JOB}/{DIGEST}.png/..",
        f"blob:{JOB}/{'0' * 64}.png",
    ],
)
async def test_an_invalid_reference_is_not_found(blobs: InlineFiles, reference: str) -> None:
    await blobs.put(JOB, RAW, "png")
    with pytest.raises(NotFound):
        await blobs.read(reference)


async def test_a_wrong_folder_is_unavailable_and_not_a_missing_file(
    blobs: InlineFiles, folder: Path, tmp_path: Path
) -> None:
    reference = await blobs.put(JOB, RAW, "png")
    (tmp_path / "unmounted").mkdir()
    for other in (tmp_path / "unmounted", tmp_path / "none"):
        with pytest.raises(MediaStoreUnavailable, match="folder of media is missing") as caught:
            await InlineFiles(FolderStore(other)).read(reference)
        assert str(tmp_path) not in str(caught.value)


async def test_a_damaged_file_is_not_returned(blobs: InlineFiles, folder: Path) -> None:
    reference = await blobs.put(JOB, RAW, "png")
    (folder / JOB / f"{DIGEST}.png").write_bytes(RAW[:-1])
    with pytest.raises(NotFound, match="undamaged"):
        await blobs.read(reference)


async def test_the_error_for_a_folder_that_cannot_be_made_does_not_contain_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MediaStoreUnavailable, match="Not a directory") as caught:
        await InlineFiles(FolderStore(tmp_path / "file" / "blobs")).put(JOB, RAW, "png")
    assert str(tmp_path) not in str(caught.value)


async def test_a_failed_write_leaves_nothing_behind(
    blobs: InlineFiles, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await blobs.store.mark()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MediaStoreUnavailable, match="No space left"):
        await blobs.put(JOB, RAW, "png")
    assert [*(folder / JOB).iterdir(), *(folder / SCRATCH).iterdir()] == []


async def test_reading_something_that_is_not_a_file_is_unavailable(blobs: InlineFiles, folder: Path) -> None:
    (folder / JOB / f"{DIGEST}.png").mkdir(parents=True)
    with pytest.raises(MediaStoreUnavailable):
        await blobs.read(f"blob:{JOB}/{DIGEST}.png")


async def test_a_sweep_deletes_old_files_of_jobs_that_are_not_live(folder: Path) -> None:
    now = 1_800_000_000.0
    blobs = InlineFiles(FolderStore(folder), clock=lambda: now)
    for job_id, age in {"job_live": 500, "job_gone": 500, "job_young": 50}.items():
        await blobs.put(job_id, RAW, "png")
        os.utime(folder / job_id, (now - age, now - age))
    (folder / "job_gone" / ".part-of-a-file").write_bytes(RAW[:3])  # its writer died
    os.utime(folder / "job_gone", (now - 500, now - 500))
    (folder / "a stray file").write_text("not ours")
    asked: list[str] = []

    async def is_live(job_ids: list[str]) -> set[str]:
        asked.extend(job_ids)
        return {"job_live"}

    assert await blobs.sweep(is_live, older_than_seconds=100) == 1
    assert sorted(asked) == ["job_gone", "job_live"]
    assert sorted(os.listdir(folder)) == [SCRATCH, MARKER, "a stray file", "job_live", "job_young"]


async def test_a_sweep_before_the_first_file_finds_nothing(blobs: InlineFiles) -> None:
    async def is_live(job_ids: list[str]) -> set[str]:
        raise AssertionError("nothing to ask for")

    assert await blobs.sweep(is_live, older_than_seconds=0) == 0
