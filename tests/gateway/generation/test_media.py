from __future__ import annotations

import base64
import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gateway.errors import Problem
from gateway.generation import media
from gateway.generation.file_types import Kind
from gateway.generation.media import InlineMedia
from tests.effort import scaled
from tests.gateway.generation.media_samples import animation, clip, data_uri, image

DECLARED: dict[str, str] = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}


def check(
    reference: str, kind: Kind = "image", max_bytes: int = 2**20
) -> tuple[InlineMedia | None, str | None]:
    """The file, or the code of the one problem."""
    problems: list[Problem] = []
    found = media.check(
        reference,
        param="images[2]",
        kind=kind,
        private_urls=False,
        max_bytes=max_bytes,
        max_seconds=8,
        problems=problems,
    )
    assert len(problems) <= 1
    assert not (found and problems)
    assert all(problem.param == "images[2]" for problem in problems)
    return found, problems[0].code if problems else None


@pytest.mark.parametrize(
    ("declared", "kind", "extension", "mime"),
    [
        ("image/png", "png", "png", "image/png"),
        ("image/jpeg", "jpeg", "jpg", "image/jpeg"),
        ("image/jpg", "jpeg", "jpg", "image/jpeg"),
        ("image/webp", "webp", "webp", "image/webp"),
    ],
)
def test_an_image_of_each_kind_is_accepted(declared: str, kind: str, extension: str, mime: str) -> None:
    found, _ = check(data_uri(declared, image(kind)))
    assert found == InlineMedia("images[2]", "image", mime, extension, image(kind), 8)


@pytest.mark.parametrize("declared", ["mp4", "quicktime", "mov"])
@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_mp4_and_quicktime_are_interchangeable(declared: str, container: str) -> None:
    found, _ = check(data_uri(f"video/{declared}", clip(container=container)), "video")
    assert found is not None
    assert found.extension == ("mp4" if declared == "mp4" else "mov")


@pytest.mark.parametrize("declared", ["avi", "x-msvideo"])
def test_an_avi_is_accepted_under_both_names(declared: str) -> None:
    found, _ = check(data_uri(f"video/{declared}", clip(container="avi")), "video")
    assert found is not None
    assert (found.mime, found.extension) == ("video/x-msvideo", "avi")


def test_a_quicktime_file_without_ftyp_is_accepted() -> None:
    old = b"\0\0\0\x08wide" + b"\0\0\0\x10mdat" + b"\0" * 8
    assert check(data_uri("video/quicktime", old), "video")[0] is not None


def test_the_bytes_are_kept_out_of_the_representation() -> None:
    found, _ = check(data_uri("image/png", image()))
    assert "PNG" not in repr(found)


@pytest.mark.parametrize(
    ("size", "code"),
    [
        ((128, 128), None),
        ((127, 128), "media_too_small"),
        ((128, 127), "media_too_small"),
        ((512, 128), None),
        ((128, 512), None),
        ((513, 128), "media_ratio"),
        ((128, 513), "media_ratio"),
    ],
)
@pytest.mark.parametrize("kind", DECLARED)
def test_the_limits_of_size_and_ratio_are_inclusive(
    kind: str, size: tuple[int, int], code: str | None
) -> None:
    assert check(data_uri(DECLARED[kind], image(kind, size)))[1] == code


@pytest.mark.parametrize("declared", DECLARED)
@pytest.mark.parametrize("actual", DECLARED)
def test_the_declared_type_must_be_the_real_one(declared: str, actual: str) -> None:
    expected = None if declared == actual else "media_type_mismatch"
    assert check(data_uri(DECLARED[declared], image(actual)))[1] == expected


@pytest.mark.parametrize(
    ("reference", "kind", "code"),
    [
        ("", "image", "blank"),
        (base64.b64encode(image()).decode(), "image", "bare_base64"),
        ("data:image/png,abc", "image", "media_type"),
        ("data:image/png;base64", "image", "media_type"),
        ("data:image/gif;base64,R0lGODdh", "image", "media_type"),
        ("data:image/svg+xml;base64,AAAA", "image", "media_type"),
        ("data:;base64,AAAA", "image", "media_type"),
        ("data:video/mp4;base64,AAAA", "image", "media_type"),
        ("data:image/png;base64,AAAA", "video", "media_type"),
        ("data:video/webm;base64,AAAA", "video", "media_type"),
        ("data:image/png;base64,", "image", "media_unknown"),
        ("data:image/png;base64,AAAA", "image", "media_unknown"),
        ("data:image/png;base64,AAAAA", "image", "base64"),
        ("data:image/png;base64,AAA", "image", "base64"),
        ("data:image/png;base64,AA=A", "image", "base64"),
        ("data:image/png;base64,AA==AAAA", "image", "base64"),
        ("data:image/png;base64,AA\nAA", "image", "base64"),
        ("data:image/png;base64,AA AA", "image", "base64"),
        ("data:image/png;base64,AA-_", "image", "base64"),
        ("data:image/png;base64,ÄÄÄÄ", "image", "base64"),
        ("http://127.0.0.1/a.png", "image", "url_not_public"),
        ("s3://bucket/a.png", "image", "url_scheme"),
        ("https://example.com/" + "a" * 8192, "image", "too_long"),
    ],
)
def test_anything_that_is_not_a_media_reference_is_refused(reference: str, kind: Kind, code: str) -> None:
    assert check(reference, kind)[1] == code


def test_the_limit_of_the_decoded_size_is_exact() -> None:
    raw = image() + bytes(-len(image()) % 3)  # no padding, so that its length alone does not tell
    assert check(data_uri("image/png", raw), max_bytes=len(raw))[1] is None
    assert check(data_uri("image/png", raw), max_bytes=len(raw) - 1)[1] == "media_too_large"
    assert check("data:image/png;base64," + "?" * 10_000, max_bytes=100)[1] == "media_too_large"


@pytest.mark.parametrize(("declared", "kind"), [("image/png", "png"), ("image/webp", "webp")])
def test_an_animation_is_refused(declared: str, kind: str) -> None:
    assert check(data_uri(declared, animation(kind)))[1] == "animated_image"


@pytest.mark.parametrize("kind", DECLARED)
def test_an_image_without_its_end_is_refused(kind: str) -> None:
    half = image(kind, (256, 256))[:-20]
    assert check(data_uri(DECLARED[kind], half))[1] == "media_truncated"


@pytest.mark.parametrize("kind", DECLARED)
@pytest.mark.parametrize("length", [16, 22, 24, 30])
def test_a_truncated_header_is_refused(kind: str, length: int) -> None:
    code = check(data_uri(DECLARED[kind], image(kind)[:length]))[1]
    assert code in ("media_unreadable", "media_truncated")


def test_a_jpeg_with_a_large_exif_block_is_measured() -> None:
    exif = Image.Exif()
    exif[0x010E] = "x" * 60_000
    out = io.BytesIO()
    Image.new("RGB", (300, 200)).save(out, "jpeg", exif=exif)
    assert check(data_uri("image/jpeg", out.getvalue()))[0] is not None


def test_a_jpeg_without_a_size_is_refused() -> None:
    start = b"\xff\xd8\xff\xe0\0\x02"
    assert check(data_uri("image/jpeg", start + b"\0" * 500_000))[1] == "media_truncated"
    assert check(data_uri("image/jpeg", start + b"\0" * 500 + b"\xff\xd9"))[1] == "media_unreadable"


def test_a_png_with_endless_chunks_is_refused() -> None:
    part = struct.pack(">I4sI", 0, b"tEXt", 0)
    raw = image()
    assert check(data_uri("image/png", raw[:33] + part * 2000 + raw[33:]))[1] == "media_unreadable"


def test_a_pixel_bomb_is_measured_without_decoding() -> None:
    raw = bytearray(image())
    raw[16:24] = struct.pack(">II", 60_000, 60_000)
    assert check(data_uri("image/png", bytes(raw)))[0] is not None


@pytest.mark.parametrize("kind", DECLARED)
@settings(max_examples=scaled(50))
@given(data=st.data())
def test_damage_never_raises(kind: str, data: st.DataObject) -> None:
    raw = bytearray(image(kind)[: data.draw(st.integers(0, 400))])
    for _ in range(data.draw(st.integers(0, 6))):
        if raw:
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    check(data_uri(DECLARED[kind], bytes(raw)))


@given(st.text() | st.text(alphabet="data:imge/pn;bs64,A=").map("data:image/png;base64,".__add__))
def test_no_text_raises(reference: str) -> None:
    check(reference)
