"""How one and the same file may be written into a request, and what a message says if it was not."""

from __future__ import annotations

import base64
import re

import pytest

from gateway import generation
from gateway.generation import data_uris
from gateway.generation.file_types import Kind
from gateway.generation.model import GenerationRequest
from tests.gateway.generation.bodies import IMAGE, encoded, only_problem, parse
from tests.gateway.generation.media_samples import clip, data_uri, image


def commented(raw: bytes) -> bytes:
    """A JPEG with a comment, so that its Base64 has + and / and ends with ==."""
    comment = b"\xfb\xef\xbe\xff" * 6 + bytes((1 - len(raw) - 4) % 3)
    return raw[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2) + comment + raw[2:]


PICTURE = commented(image("jpeg"))
DATA = base64.b64encode(PICTURE).decode()
PREFIX = "data:image/jpeg;base64,"

TAKEN = {
    "plain": PREFIX + DATA,
    "charset": "data:image/jpeg;charset=utf-8;base64," + DATA,
    "name": 'data:image/jpeg;name="a photo.jpg";charset=x;base64,' + DATA,
    "upper case type": "data:image/JPEG;base64," + DATA,
    "upper case scheme": "DATA:image/jpeg;base64," + DATA,
    "upper case BASE64": "data:image/jpeg;BASE64," + DATA,
    "space before base64": "data:image/jpeg; base64," + DATA,
    "older type": "data:image/pjpeg;base64," + DATA,
}
REFUSED = {
    "space after the comma": (PREFIX + " " + DATA, "base64", "space or line break at character 1"),
    "lines of 76": (PREFIX + base64.encodebytes(PICTURE).decode(), "base64", "line break at character 77"),
    "final newline": (PREFIX + DATA + "\n", "base64", "send one line"),
    "no padding": (PREFIX + DATA.rstrip("="), "base64", "end it with =="),
    "too much padding": (PREFIX + DATA + "=", "base64", "more ="),
    "half a byte": (PREFIX + DATA.rstrip("=")[:-1], "base64", "send all of its Base64"),
    "padding without need": (PREFIX + "AAAA====", "base64", "more ="),
    "encoded in parts": (PREFIX + "AA==AAAA", "base64", "in one piece"),
    "URL-safe": (PREFIX + DATA.replace("+", "-").replace("/", "_"), "base64", "URL-safe alphabet"),
    "percent-encoded": (PREFIX + DATA.replace("+", "%2B").replace("/", "%2F"), "base64", "percent-encoded"),
    "decoded as a form": (PREFIX + DATA.replace("+", " "), "base64", "+ did not become a space"),
    "escaped twice": (PREFIX + DATA.replace("/", "\\/"), "base64", "escaped twice"),
    "another character": (PREFIX + "AAA\u00c4", "base64", "not Base64 at character 4"),
    "printed bytes": (f"{PREFIX}b'{DATA}'", "base64", ".decode()"),
    "prefix twice": (PREFIX + PREFIX + DATA, "base64", "prefix twice"),
    "encoded twice": (PREFIX + base64.b64encode(DATA.encode()).decode(), "media_unknown", "Base64 twice"),
    "leading space": (" " + PREFIX + DATA, "media_type", "before data:"),
    "quoted": (f'"{PREFIX}{DATA}"', "media_type", "before data:"),
    "no prefix": (DATA, "bare_base64", "needs its prefix"),
    "no prefix, printed bytes": (f"b'{DATA}'", "bare_base64", "needs its prefix"),
    "no prefix, URL-safe": (DATA.replace("/", "_"), "bare_base64", "needs its prefix"),
    "no comma": ("data:image/jpeg;base64" + DATA, "media_type", "has no comma"),
    "no base64": ("data:image/jpeg," + DATA, "media_type", "encoded in Base64"),
    "base64 not last": ("data:image/jpeg;base64;charset=x," + DATA, "media_type", "directly before"),
    "no type": ("data:;base64," + DATA, "media_type", "declares no type"),
    "any type": ("data:application/octet-stream;base64," + DATA, "media_type", "declare the real type"),
    "HEIC": ("data:image/heic;base64," + DATA, "media_type", "convert a file of another type"),
    "another picture": ("data:image/png;base64," + DATA, "media_type_mismatch", "but is image/jpeg"),
    "a type of clips": ("data:video/mp4;base64," + DATA, "media_type", "videos"),
    "no data": (PREFIX, "media_unknown", "is empty"),
}


@pytest.mark.parametrize("reference", TAKEN.values(), ids=TAKEN)
async def test_every_form_of_the_rfc_is_taken_and_sent_in_one_form(reference: str) -> None:
    request, notices = parse(images=[reference])
    assert notices == []
    assert [file.raw for file in request.inline_media] == [PICTURE]

    async def put(raw: bytes, extension: str) -> str:
        return f"blob:x.{extension}"

    async def read(name: str) -> bytes:
        return PICTURE

    stored = await generation.detach_media(request, put)
    assert stored["images"] == ["blob:x.jpg"]
    assert (await generation.attach_media(stored, read))["images"] == [PREFIX + DATA]


@pytest.mark.parametrize(("reference", "code", "message"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_form_is_named(reference: str, code: str, message: str) -> None:
    problem = only_problem(images=[reference])
    assert (problem.param, problem.code) == ("images[0]", code)
    assert message in problem.message
    assert len(problem.message) < 200


@pytest.mark.parametrize(
    "declared", ["video/mp4", "video/MP4", "video/x-m4v", "video/quicktime", "video/mov"]
)
def test_a_clip_may_have_any_name_of_its_type(declared: str) -> None:
    request, _ = parse(videos=[data_uri(declared, clip(0.5))])
    assert len(request.inline_media) == 1


@pytest.mark.parametrize(
    ("kind", "declared", "raw", "message"),
    [
        ("image", "image/jpeg", clip(0.5), "put it into videos"),
        ("video", "video/mp4", image("png"), "put it into images"),
        ("video", "video/avi", clip(0.5), "declare the real type"),
    ],
)
def test_a_file_in_the_wrong_field_is_refused_with_the_right_one(
    kind: Kind, declared: str, raw: bytes, message: str
) -> None:
    change: dict[str, object] = {f"{kind}s": [data_uri(declared, raw)]}
    problem = only_problem(**change)
    assert problem.code == "media_type_mismatch"
    assert message in problem.message


@pytest.mark.parametrize(
    ("start", "name"),
    [
        *[(b"\0\0\0\x18ftyp" + brand, "HEIC") for brand in (b"heic", b"heix", b"heim", b"hevc", b"hevx")],
        *[(b"\0\0\0\x18ftyp" + brand, "HEIF") for brand in (b"mif1", b"msf1")],
        *[(b"\0\0\0\x18ftyp" + brand, "AVIF") for brand in (b"avif", b"avis")],
        (b"\0\0\0\x18ftypcrx ", "CR3"),
        (b"\0\0\0\x18ftypM4A ", "sound"),
        (b"GIF89a", "GIF"),
        (b"II*\0\x08", "raw photo"),
        (b"\x1aE\xdf\xa3", "WebM"),
        (b" \n<SVG xmlns", "SVG"),
        (b"<?xml version", "XML"),
        (b"\n<!DOCTYPE html>", "web page"),
        (b"%PDF-1.7", "PDF"),
    ],
)
@pytest.mark.parametrize(("kind", "declared"), [("image", "image/jpeg"), ("video", "video/mp4")])
def test_a_file_that_is_not_taken_is_named_with_a_way_out(
    kind: Kind, declared: str, start: bytes, name: str
) -> None:
    change: dict[str, object] = {f"{kind}s": [data_uri(declared, start + bytes(200))]}
    problem = only_problem(**change)
    assert (problem.param, problem.code) == (f"{kind}s[0]", "media_unknown")
    assert name in problem.message
    assert "convert it to one of" in problem.message


def test_the_schema_allows_what_is_taken_and_refuses_other_schemes() -> None:
    pattern = GenerationRequest.model_json_schema()["properties"]["images"]["items"]["pattern"]
    assert all(
        re.search(pattern, reference) for reference in (*TAKEN.values(), IMAGE, "HTTPS://example.com/a")
    )
    assert not re.search(pattern, "ftp://example.com/a.png")


def test_a_prefix_without_end_is_not_searched_for_long() -> None:
    assert "has no comma" in only_problem(images=["data:image/png;" + "a" * 100_000 + ",AAAA"]).message
    assert parse(images=[f"data:image/jpeg;name={'a' * 500};base64,{DATA}"])
    assert b"base64" in encoded(images=[PREFIX])


@pytest.mark.parametrize("length", [1, 2, 3, 47, 48, 49, 100_000])
def test_data_of_any_length_are_read_and_written(length: int) -> None:
    raw = bytes(number % 251 for number in range(length))
    assert data_uris.read(PREFIX + base64.b64encode(raw).decode(), "image", length) == ("jpg", raw)
    assert data_uris.write("jpg", raw) == PREFIX + base64.b64encode(raw).decode()
