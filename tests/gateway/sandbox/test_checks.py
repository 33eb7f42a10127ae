from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import orjson
import pytest
from PIL import Image

from gateway.sandbox.checks import TaskSpec, read_nested_spec
from gateway.sandbox.refusals import RequestRefused
from tests.gateway.sandbox.render.films import clip_bytes
from tests.gateway.sandbox.running import nested, picture

URL = "http://127.0.0.1:9/x.png"


def data_uri(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def read(**params: Any) -> TaskSpec:
    return read_nested_spec(orjson.dumps(nested(**params)))


def refused(document: object) -> str:
    with pytest.raises(RequestRefused) as caught:
        read_nested_spec(orjson.dumps(document))
    assert caught.value.status == 400
    return caught.value.message


def test_published_defaults_are_filled_in() -> None:
    spec = read()
    assert (spec.duration, spec.aspect_ratio, spec.resolution) == (5, "16:9", "720p")
    assert (spec.bgm, spec.watermark, spec.wm_position, spec.seed) == (False, False, 3, 0)


def test_every_published_limit_is_inclusive() -> None:
    spec = read(
        images=[URL] * 7,
        prompt="ß" * 5000,
        duration=10,
        seed=2**31 - 1,
        aspect_ratio="1:1",
        resolution="1080p",
        payload="p" * 1_048_576,
        watermark=True,
        wm_position=1,
        wm_url=URL,
        meta_data="{}",
        callback_url="https://gateway.example/callbacks/x",
        bgm=True,
        off_peak=False,
    )
    assert len(spec.images) == 7
    assert read(duration=0).duration == 0
    assert len(read(images=[URL] * 4, videos=["https://cdn.example/a.mp4"] * 2).videos) == 2


@pytest.mark.parametrize(
    ("params", "part"),
    [
        ({"images": None}, "images is required"),
        ({"prompt": None}, "prompt is required"),
        ({"images": []}, "1 to 7"),
        ({"images": [URL] * 8}, "1 to 7"),
        ({"images": URL}, "1 to 7"),
        ({"images": [URL] * 5, "videos": [URL]}, "at most 4"),
        ({"videos": []}, "1 to 2"),
        ({"videos": [URL] * 3}, "1 to 2"),
        ({"images": [7]}, "images[0]"),
        ({"images": ["ftp://cdn.example/a.png"]}, "images[0]"),
        ({"images": ["http:///a.png"]}, "images[0]"),
        ({"images": ["aGVsbG8="]}, "images[0]"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": " \n"}, "blank"),
        ({"prompt": "x" * 5001}, "5001"),
        ({"prompt": 5}, "string"),
        ({"duration": "5"}, "duration"),
        ({"duration": True}, "duration"),
        ({"duration": 5.0}, "duration"),
        ({"duration": 11}, "duration"),
        ({"duration": -1}, "duration"),
        ({"seed": -1}, "seed"),
        ({"bgm": 1}, "bgm"),
        ({"bgm": "true"}, "bgm"),
        ({"aspect_ratio": "21:9"}, "aspect_ratio"),
        ({"resolution": "720P"}, "resolution"),
        ({"resolution": ["720p"]}, "resolution"),
        ({"payload": "x" * 1_048_577}, "payload"),
        ({"payload": {}}, "payload"),
        ({"off_peak": True}, "unavailable"),
        ({"wm_position": 0}, "wm_position"),
        ({"wm_position": 5}, "wm_position"),
        ({"wm_url": ""}, "wm_url"),
        ({"meta_data": {}}, "meta_data"),
        ({"callback_url": "not a url"}, "callback_url"),
        ({"callback_url": "http://["}, "callback_url"),
        ({"movement_amplitude": "auto"}, "movement_amplitude"),
    ],
)
def test_a_broken_limit_is_refused(params: dict[str, Any], part: str) -> None:
    assert part in refused(nested(**params))


def test_null_is_not_the_same_as_absent() -> None:
    body = nested()
    body["input"][0]["params"]["seed"] = None
    assert "seed" in refused(body)


@pytest.mark.parametrize(
    "document",
    [
        {"model": "viduq2_pro_reference", "images": [URL], "prompt": "flat"},
        nested() | {"input": []},
        nested() | {"input": [{"params": {}}, {"params": {}}]},
        nested() | {"model": "viduq2"},
        nested() | {"stream": True},
        {"model": "viduq2_pro_reference"},
        {"model": "viduq2_pro_reference", "input": [{"params": []}]},
        [],
        "text",
    ],
)
def test_another_shape_of_body_is_refused(document: object) -> None:
    refused(document)


def test_what_is_not_json_is_refused() -> None:
    for body in (b"", b"{", b'"\xff"'):
        with pytest.raises(RequestRefused):
            read_nested_spec(body)


def test_inline_images_of_every_type_are_accepted() -> None:
    kinds = (("PNG", "image/png"), ("JPEG", "image/jpeg"), ("JPEG", "image/jpg"), ("WEBP", "image/webp"))
    spec = read(images=[data_uri(picture("red", kind=form), kind) for form, kind in kinds])
    assert spec.images[0].data == picture("red")


@pytest.mark.parametrize(
    ("uri", "part"),
    [
        (data_uri(picture("red", (127, 200))), "at least 128x128"),
        (data_uri(picture("red", (128, 513))), "ratio"),
        (data_uri(picture("red"), "image/webp"), "declared as webp"),
        (data_uri(picture("red"), "image/gif"), "must start with"),
        (data_uri(picture("red"), "video/mp4"), "must start with"),
        (data_uri(b"not an image at all"), "not a png"),
        ("data:image/png;base64,@@@@", "Base64"),
        ("data:image/png;base64,AAA", "Base64"),
        ("data:image/png,AAAA", "must start with"),
    ],
)
def test_a_bad_inline_image_is_refused(uri: str, part: str) -> None:
    assert part in refused(nested(images=[uri]))


@pytest.mark.parametrize("side", [9_000, 10_000, 14_000])
def test_a_small_file_that_unpacks_to_a_huge_image_is_refused(side: int) -> None:
    out = io.BytesIO()
    Image.new("1", (side, side)).save(out, "PNG")
    assert "pixels" in refused(nested(images=[data_uri(out.getvalue())]))


def test_an_image_at_the_limits_of_its_shape_is_accepted() -> None:
    assert read(images=[data_uri(picture("red", (128, 512)))]).images


def test_two_inline_clips_may_last_five_seconds_and_one_eight(tmp_path: Path) -> None:
    six = data_uri(clip_bytes(tmp_path, seconds=6), "video/mp4")
    nine = data_uri(clip_bytes(tmp_path, seconds=9), "video/mp4")
    assert read(videos=[six]).videos
    assert "at most 5 s" in refused(nested(videos=[six, six]))
    assert "at most 8 s" in refused(nested(videos=[nine]))


def test_a_file_that_only_resembles_a_clip_is_refused() -> None:
    false = b"\0\0\0\x18ftypisom" + b"\0" * 64
    assert "cannot be read" in refused(nested(videos=[data_uri(false, "video/mp4")]))
    assert "not an mp4" in refused(nested(videos=[data_uri(b"GIF89a" * 20, "video/mp4")]))
