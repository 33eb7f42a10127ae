"""A file whose end is missing is refused in every format, and a complete one is not."""

from __future__ import annotations

import io

import av
import pytest
from PIL import Image

from gateway.errors import Problem
from gateway.generation import inspection, media
from gateway.generation.file_types import MIME_OF_EXTENSION, Kind
from tests.gateway.generation.media_samples import clip, data_uri, image

pytestmark = pytest.mark.usefixtures("forked_probe")

CUT = ("media_truncated", "media_unreadable", "clip_unreadable")
PARTS = (0.15, 0.3, 0.5, 0.7, 0.9, 0.97)


async def code(raw: bytes, extension: str) -> str | None:
    """The code of the one problem of a file, after all checks."""
    kind: Kind = "image" if extension in ("png", "jpg", "webp") else "video"
    found: list[Problem] = []
    file = media.check(
        data_uri(MIME_OF_EXTENSION[extension], raw),
        param="x",
        kind=kind,
        private_urls=False,
        max_bytes=20 * 2**20,
        max_seconds=8,
        problems=found,
    )
    if file is not None:
        found += await inspection.inspect([file])
    assert len(found) <= 1
    return found[0].code if found else None


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2) + content


def photo(size: tuple[int, int] = (200, 160), *, progressive: bool = False, metadata: bytes = b"") -> bytes:
    """A JPEG full of detail, with `metadata` before the frame."""
    channels = [Image.linear_gradient("L").resize(size), Image.radial_gradient("L").resize(size)]
    out = io.BytesIO()
    Image.merge("RGB", [*channels, Image.effect_noise(size, 60)]).save(out, "jpeg", progressive=progressive)
    return out.getvalue()[:2] + metadata + out.getvalue()[2:]


THUMBNAIL = segment(0xE1, b"Exif\0\0" + image("jpeg"))
DEPTH_MAP = segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(65_000)) * 14
CREDENTIALS = segment(0xEB, b"JP\0\1" + b"\xff\xda\xff\xd9" * 16_000) * 6
PROFILE = segment(0xE2, b"ICC_PROFILE\0" + bytes(65_000)) * 9
LONG = {"depth map": DEPTH_MAP, "content credentials": CREDENTIALS, "profile": PROFILE}
PICTURES: dict[str, tuple[bytes, str]] = {
    "png": (image("png", (256, 256)), "png"),
    "lossy webp": (image("webp", (256, 256)), "webp"),
    "jpeg": (photo(), "jpg"),
    "progressive": (photo(progressive=True), "jpg"),
    "jpeg with a thumbnail": (photo(metadata=THUMBNAIL), "jpg"),
    "progressive with a thumbnail": (photo(progressive=True, metadata=THUMBNAIL), "jpg"),
    "jpeg with content credentials": (photo(metadata=CREDENTIALS), "jpg"),
}
CLIPS = {
    "mp4": ("mp4", ""),
    "mp4 with its index first": ("mp4", "+faststart"),
    "mov": ("mov", ""),
    "mov with its index first": ("mov", "+faststart"),
    "fragments": ("mp4", "frag_keyframe+empty_moov"),
    "fragments with an index": ("mp4", "frag_keyframe+empty_moov+global_sidx"),
    "dash": ("mp4", "dash+frag_keyframe+empty_moov"),
    "avi": ("avi", ""),
}


@pytest.mark.parametrize("name", PICTURES)
async def test_a_picture_without_its_end_is_refused(name: str) -> None:
    raw, extension = PICTURES[name]
    assert await code(raw, extension) is None
    assert [part for part in PARTS if await code(raw[: int(len(raw) * part)], extension) not in CUT] == []


@pytest.mark.parametrize("name", [name for name in PICTURES if "webp" not in name])
async def test_a_picture_whose_end_was_never_written_is_refused(name: str) -> None:
    raw, extension = PICTURES[name]
    half = len(raw) // 2
    assert await code(raw[:half] + bytes(len(raw) - half), extension) in CUT


async def test_no_cut_of_a_photo_with_a_thumbnail_passes() -> None:
    raw = photo((130, 130), progressive=True, metadata=THUMBNAIL)
    first = raw.find(b"\xff\xc2")
    scans = [at for at in range(first, len(raw)) if raw[at : at + 2] in (b"\xff\xda", b"\xff\xc4")]
    assert len(scans) > 8
    assert [at for at in scans if await code(raw[:at], "jpg") not in CUT] == []


async def test_a_cut_png_whose_text_holds_the_name_of_the_end_is_refused() -> None:
    raw = photo()
    out = io.BytesIO()
    Image.open(io.BytesIO(raw)).save(out, "png")
    png = out.getvalue()
    half = png[: len(png) // 2]
    assert await code(half + b"IEND", "png") in CUT


@pytest.mark.parametrize("name", CLIPS)
async def test_a_clip_without_its_end_is_refused(name: str) -> None:
    container, flags = CLIPS[name]
    raw = clip(2.0, container=container, flags=flags)
    assert await code(raw, container) is None
    parts = PARTS if container != "avi" else PARTS[:-1]  # the last part of an AVI is an index that none needs
    assert [part for part in parts if await code(raw[: int(len(raw) * part)], container) not in CUT] == []


async def test_a_clip_cut_between_two_frames_is_refused() -> None:
    raw = clip(2.0, flags="+faststart")
    with av.open(io.BytesIO(raw)) as whole:
        frames = [entry.pos for entry in whole.streams.video[0].index_entries]
    assert [at for at in (frames[1], frames[10], frames[-1]) if await code(raw[:at], "mp4") not in CUT] == []


async def test_fragments_that_an_index_announces_must_be_there() -> None:
    raw = clip(3.0, flags="frag_keyframe+empty_moov+global_sidx")
    assert await code(raw[: raw.rfind(b"moof") - 4], "mp4") == "media_truncated"


@pytest.mark.parametrize("flags", ["frag_keyframe+empty_moov", "dash+frag_keyframe+empty_moov"])
async def test_a_clip_without_its_first_frame_is_refused(flags: str) -> None:
    raw = clip(2.0, flags=flags)
    assert await code(raw[: raw.find(b"moof") - 4], "mp4") == "media_truncated"


@pytest.mark.parametrize("name", ["mp4 with its index first", "mov with its index first", "avi"])
async def test_a_clip_whose_end_was_never_written_is_refused(name: str) -> None:
    container, flags = CLIPS[name]
    raw = clip(2.0, container=container, flags=flags)
    half = len(raw) // 2
    assert await code(raw[:half] + bytes(len(raw) - half), container) in CUT


@pytest.mark.parametrize("name", ["mp4", "mov"])
async def test_a_clip_that_lost_its_index_is_called_incomplete(name: str) -> None:
    container, flags = CLIPS[name]
    raw = clip(2.0, container=container, flags=flags)
    assert await code(raw[: raw.rfind(b"moov") - 4], container) == "media_truncated"


@pytest.mark.parametrize("metadata", LONG.values(), ids=LONG)
async def test_a_photo_may_have_long_metadata_before_its_size(metadata: bytes) -> None:
    assert await code(photo(metadata=metadata), "jpg") is None
    assert await code(photo((127, 128), metadata=metadata), "jpg") == "media_too_small"
    assert await code(photo((513, 128), metadata=metadata), "jpg") == "media_ratio"
    assert await code(photo(metadata=metadata)[:-2000], "jpg") == "media_truncated"


@pytest.mark.parametrize(
    ("raw", "extension"),
    [
        (photo() + clip(0.5), "jpg"),
        (photo(metadata=THUMBNAIL) + photo((160, 160)), "jpg"),
        (photo() + b"\0" * 5000, "jpg"),
        (photo() + b"\r\n", "jpg"),
        (image("png") + b"\n", "png"),
        (image("webp") + bytes(64), "webp"),
    ],
    ids=["motion photo", "two pictures", "zeros", "line end", "png", "webp"],
)
async def test_what_is_behind_the_end_of_a_picture_does_not_matter(raw: bytes, extension: str) -> None:
    assert await code(raw, extension) is None


async def test_a_png_of_xcode_is_named() -> None:
    raw = image("png")
    rewritten = raw[:8] + b"\0\0\0\x04CgBI\x50\0\x20\2\x2b\xd5\xb3\x7f" + raw[8:]
    assert await code(rewritten, "png") == "media_unreadable"


async def test_a_picture_that_needs_more_memory_than_the_inspection_has_is_called_too_large() -> None:
    raw = bytearray(photo())
    frame = raw.find(b"\xff\xc0")
    raw[frame + 5 : frame + 9] = (65_000).to_bytes(2) * 2
    assert await code(bytes(raw) + bytes(100), "jpg") == "media_too_large"


async def test_a_common_picture_needs_no_child_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "_PROBE", "nowhere")
    common = [sample for name, sample in PICTURES.items() if "credentials" not in name]
    common += [(photo() + b"\r\n", "jpg"), (photo() + bytes(8), "jpg")]
    assert [await code(raw, extension) for raw, extension in common] == [None] * len(common)
