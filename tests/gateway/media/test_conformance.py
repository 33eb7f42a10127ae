"""What every media store promises, in a folder and in a bucket alike."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import MediaStoreUnavailable, NotFound
from gateway.generation import file_types
from gateway.media import base, bucket
from gateway.media.base import MediaStore, Unmarked, media_type_of
from gateway.media.folder import MARKER, FolderStore
from gateway.media.inline import InlineFiles
from gateway.media.location import Bucket
from gateway.media.opening import open_store

RAW = os.urandom(700_000)
KEY = "results/job_1/video.mp4"


def scratch_file(store: MediaStore, raw: bytes, name: str = "upload") -> Path:
    path = store.scratch / name
    path.write_bytes(raw)
    return path


async def names(store: MediaStore, prefix: str, starting: str = "") -> list[str]:
    return sorted(entry.name for entry in await store.entries(prefix, starting))


async def test_another_process_reads_what_was_put(store: MediaStore, place: Path | Bucket) -> None:
    await store.put(KEY, RAW)
    assert await open_store(place).read(KEY) == RAW
    assert await store.size(KEY) == len(RAW)


async def test_an_empty_object_is_an_object(store: MediaStore) -> None:
    await store.put(KEY, b"")
    assert (await store.read(KEY), await store.size(KEY)) == (b"", 0)
    assert [piece async for piece in store.stream(KEY, 0, 10)] == []


async def test_a_second_put_replaces_and_changes_nothing_else(store: MediaStore) -> None:
    await store.put("results/job_1/cover.png", b"cover")
    for raw in (b"first", b"first", b"second"):
        await store.put(KEY, raw)
    assert await store.read(KEY) == b"second"
    assert await names(store, "results/job_1") == ["cover.png", "video.mp4"]


@pytest.mark.parametrize("size", [0, 1, 700_000, 11 * 2**20], ids=["empty", "tiny", "small", "multipart"])
async def test_a_file_is_stored_and_gone_from_where_it_was(store: MediaStore, size: int) -> None:
    raw = os.urandom(size)
    path = scratch_file(store, raw)
    await store.put_file(KEY, path)
    assert await store.read(KEY) == raw
    assert not path.exists()
    assert list(store.scratch.iterdir()) == []


async def test_a_file_that_is_not_there_is_an_outage_of_the_store(store: MediaStore) -> None:
    with pytest.raises(MediaStoreUnavailable, match="No such file"):
        await store.put_file(KEY, store.scratch / "none")


@pytest.mark.parametrize(
    ("start", "end"),
    [
        *((0, None), (0, 1), (10, 20), (0, len(RAW)), (len(RAW) - 1, None), (300_000, 600_001)),
        *((5, 5), (20, 10), (len(RAW) - 5, len(RAW) + 100), (len(RAW), None), (len(RAW) + 1, len(RAW) + 9)),
    ],
)
async def test_a_range_is_cut_like_a_slice(store: MediaStore, start: int, end: int | None) -> None:
    await store.put(KEY, RAW)
    pieces = [piece async for piece in store.stream(KEY, start, end)]
    assert b"".join(pieces) == RAW[start:end]
    assert all(pieces)


async def test_a_large_object_comes_in_pieces(store: MediaStore) -> None:
    raw = os.urandom(3 * 2**20)
    await store.put(KEY, raw)
    sizes = [len(piece) async for piece in store.stream(KEY)]
    assert sum(sizes) == len(raw)
    assert max(sizes) < 2**20


async def test_a_reader_may_leave_in_the_middle(store: MediaStore) -> None:
    await store.put(KEY, RAW)
    stream = store.stream(KEY)
    assert RAW.startswith(await anext(stream))
    await stream.aclose()  # type: ignore[attr-defined]
    assert await store.read(KEY) == RAW


async def test_a_missing_object_is_not_found(store: MediaStore) -> None:
    await store.put("uploads/other.png", b"x")
    for call in (store.read(KEY), store.size(KEY), anext(store.stream(KEY)), anext(store.stream(KEY, 9, 9))):
        with pytest.raises(NotFound, match=r"no file video\.mp4"):
            await call


async def test_only_a_gateway_says_which_place_is_the_right_one(
    store: MediaStore, place: Path | Bucket, tmp_path: Path
) -> None:
    workers = open_store(place, makes_marker=False)
    path = tmp_path / "copy"
    path.write_bytes(RAW)
    for call in (workers.mark, lambda: workers.put(KEY, RAW), lambda: workers.put_file(KEY, path)):
        with pytest.raises(Unmarked):
            await call()
    assert path.read_bytes() == RAW
    with pytest.raises(MediaStoreUnavailable):
        await workers.read("job_1/lost.png")
    assert await workers.entries("") == []
    await store.mark()
    await workers.put_file(KEY, path)
    assert await store.read(KEY) == RAW
    with pytest.raises(NotFound):
        await workers.read("job_1/lost.png")


def test_a_worker_in_a_wrong_folder_makes_nothing_there(tmp_path: Path) -> None:
    workers = open_store(tmp_path / "unmounted", makes_marker=False)
    with pytest.raises(Unmarked, match="folder of media is missing"):
        _ = workers.scratch
    assert list(tmp_path.iterdir()) == []


async def test_a_volume_that_goes_away_under_a_gateway_gets_no_new_marker(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    await store.put(KEY, RAW)
    (tmp_path / MARKER).rename(tmp_path / "away")
    for call in (store.put("job_1/a.png", RAW), store.mark()):
        with pytest.raises(Unmarked):
            await call
    (tmp_path / "away").rename(tmp_path / MARKER)
    await store.put("job_1/a.png", RAW)


async def test_dropping_takes_the_key_and_what_is_below_and_no_neighbour(store: MediaStore) -> None:
    kept = ("job_10/a.png", "job_/a.png", "results/job_1/video.mp4", "job_2/job_1/a.png")
    for key in ("job_1/a.png", "job_1/b/c.png", *kept):
        await store.put(key, key.encode())
    await store.drop("job_1")
    await store.drop("job_1")
    assert await names(store, "job_1") == []
    assert [await store.read(key) for key in kept] == [key.encode() for key in kept]
    await store.drop(KEY)
    with pytest.raises(NotFound):
        await store.read(KEY)


async def test_dropping_before_the_first_object_is_nothing(store: MediaStore) -> None:
    await store.drop("job_1")
    assert await store.entries("") == []
    assert await store.entries("uploads") == []


async def test_entries_are_names_with_the_time_of_their_newest_object(store: MediaStore) -> None:
    began = time.time()
    for key in ("job_1/a.png", "job_1/b.png", "job_2/a.png", "uploads/u1.png", "results/job_1/video.mp4"):
        await store.put(key, b"x")
    assert await names(store, "") == ["job_1", "job_2", "results", "uploads"]
    assert await names(store, "", "job_") == ["job_1", "job_2"]
    assert await names(store, "uploads") == ["u1.png"]
    assert await names(store, "uploads", "u2") == []
    assert await names(store, "results") == ["job_1"]
    assert await names(store, "result") == []
    ages = [entry.modified_at for entry in await store.entries("")]
    assert began - 2 <= min(ages) <= max(ages) <= time.time() + 2


async def test_more_than_a_thousand_objects_are_listed_and_dropped(
    store: MediaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server of the tests is slow with so many, and slower on a busy machine.
    monkeypatch.setattr(bucket, "_ANSWER_SECONDS", 60)
    keys = [f"job_1/{number:04}.png" for number in range(1_010)]
    for at in range(0, len(keys), 50):
        await asyncio.gather(*(store.put(key, b"x") for key in keys[at : at + 50]))
    await store.put("job_2/a.png", b"x")
    assert len(await store.entries("job_1")) == 1_010
    assert await names(store, "") == ["job_1", "job_2"]
    await store.drop("job_1")
    assert await names(store, "") == ["job_2"]


HOSTILE = (
    *("", ".", "..", "/", "a/", "/a", "a//b", "a/../b", "../a", "a/..", "a\\..\\b", "a\0b", "a\nb", "a\n"),
    *("a b", "ä", "%2e%2e/a", "a?x=1", "a#b", ".hidden", "a/.hidden", "a..b", "a" * 129, "a/b/c/d/e", "s3://a/b"),
)  # fmt: skip


@pytest.mark.parametrize("key", HOSTILE)
async def test_no_hostile_key_reaches_the_store(store: MediaStore, key: str) -> None:
    path = scratch_file(store, b"x")
    for call in (
        *(store.put(key, b"x"), store.put_file(key, path), store.read(key), store.size(key), store.drop(key)),
        *(anext(store.stream(key)), store.sign(key, 60, media_type="video/mp4", filename=None)),
        *([store.entries(key)] if key else []),
    ):
        with pytest.raises(ValueError, match="a key of the media store"):
            await call
    assert path.exists()
    assert await store.entries("") == []


@given(st.text(max_size=20))
def test_a_key_has_no_name_that_leads_elsewhere(text: str) -> None:
    try:
        key = base.check_key(text)
    except ValueError:
        return
    assert not {"", ".", ".."} & set(key.split("/"))
    assert key.isascii()
    assert not set(key) & set("\\\0\n%?#")


async def test_the_sweep_takes_only_old_files_of_jobs_that_are_not_live(
    store: MediaStore,
) -> None:
    now = time.time()
    files = InlineFiles(store, clock=lambda: now)
    kept, lost = await files.put("job_live", RAW, "png"), await files.put("job_lost", RAW, "png")
    await store.put("uploads/job_lost.png", b"x")

    async def is_live(ids: list[str]) -> set[str]:
        return {"job_live"} & set(ids)

    assert await files.sweep(is_live, older_than_seconds=100) == 0
    now += 200
    assert await files.sweep(is_live, older_than_seconds=100) == 1
    assert await files.read(kept) == RAW
    with pytest.raises(NotFound):
        await files.read(lost)
    assert await store.read("uploads/job_lost.png") == b"x"


async def test_scratch_is_private_and_the_sweep_takes_what_is_old(store: MediaStore) -> None:
    assert store.scratch.stat().st_mode & 0o077 == 0
    old, new = scratch_file(store, b"old", "old"), scratch_file(store, b"new", "new")
    os.utime(old, (1_000, 1_000))
    (store.scratch / "folder").mkdir()
    assert await store.sweep_scratch(time.time() - 3600) == 1
    assert (old.exists(), new.exists(), (store.scratch / "folder").exists()) == (False, True, True)


async def test_a_probe_leaves_nothing_behind_and_says_what_it_is(
    store: MediaStore, place: Path | Bucket
) -> None:
    await store.put(KEY, RAW)
    said = await store.probe()
    assert said == (f"the folder {place}" if isinstance(place, Path) else f"the bucket {place.url}")
    assert await names(store, "") == ["results"]


def test_the_types_are_those_of_the_files_that_are_accepted() -> None:
    assert {name for names in file_types.EXTENSIONS.values() for name in names} == set(base.MEDIA_TYPES)
    for extension, media_type in file_types.MIME_OF_EXTENSION.items():
        assert media_type_of(f"a.{extension}") == media_type
    assert media_type_of("a.html") == media_type_of("a") == "application/octet-stream"
