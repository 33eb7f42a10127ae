"""What clients of OpenAI's videos API send, as parameters of ours."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.doors.openai.request import MODELS, File, ModelNotFound, Part, Translation, of_form, of_json
from gateway.doors.openai.sizes import NEAREST, SHAPES, SIZES, Shape
from gateway.errors import Problem
from gateway.generation import data_uris
from tests.gateway.generation.media_samples import clip, image

URL = "https://cdn.example.com/a.png"
MODEL = "viduq2_pro_reference"
PNG, MP4 = image("png"), clip(1.0)
PNG_URI, MP4_URI = data_uris.write("png", PNG), data_uris.write("mp4", MP4)
UPLOAD = "upl_" + "0" * 26


def fields(**sent: Any) -> dict[str, object]:
    found = of_json({"prompt": "a fox", "images": [URL], **sent})
    assert found.problems == []
    return found.document


def faults(found: Translation) -> list[tuple[str, str]]:
    return [(one.param, one.code) for one in found.problems]


def form(*fields: tuple[str, str | bytes]) -> Translation:
    return of_form([Part(name, value if isinstance(value, str) else File(value)) for name, value in fields])


def test_names_that_are_ours_stay_and_a_model_may_be_left_out() -> None:
    same = {
        "bgm": True,
        "seed": 7,
        "watermark": True,
        "wm_position": 1,
        "wm_url": URL,
        "payload": "p",
        "callback_url": URL,
        "aspect_ratio": "1:1",
        "resolution": "540p",
        "off_peak": False,
        "meta_data": "{}",
    }
    assert fields(**same) == {"model": MODEL, "prompt": "a fox", "images": [URL], **same}


@pytest.mark.parametrize("name", MODELS)
def test_every_name_of_the_model_means_it(name: str) -> None:
    assert fields(model=name)["model"] == MODEL


def test_another_model_is_not_found_unless_it_is_an_alias() -> None:
    with pytest.raises(ModelNotFound, match="sora-2"):
        of_json({"model": "sora-2"})
    assert of_json({"model": "sora-2"}, {**MODELS, "sora-2": MODEL}).document["model"] == MODEL
    assert faults(of_json({"model": 5, "images": [URL]})) == [("model", "wrong_type")]


@pytest.mark.parametrize(("sent", "duration"), [("4", 4), (4, 4), ("0", 0), (0, 0), ("11", 11), (2.5, 2.5)])
def test_seconds_are_a_text_or_a_number_and_are_never_changed(sent: object, duration: object) -> None:
    assert fields(seconds=sent)["duration"] == duration


@pytest.mark.parametrize("sent", ["five", "", "4s", "-1", "4.5", " 4"])
def test_seconds_that_are_no_number_are_refused(sent: str) -> None:
    assert faults(of_json({"seconds": sent})) == [("seconds", "wrong_type")]


def test_without_seconds_or_size_the_model_s_own_defaults_hold() -> None:
    assert not {"duration", "resolution", "aspect_ratio"} & fields().keys()
    assert fields(seconds=None, size=None, input_reference=None, user=None, n=None) == fields()


@pytest.mark.parametrize(("size", "shape"), SHAPES.items())
def test_a_size_is_a_resolution_and_a_shape(size: str, shape: Shape) -> None:
    found = fields(size=size)
    assert (found["resolution"], found["aspect_ratio"]) == shape
    assert SIZES[shape] == size


def test_there_is_a_size_for_every_resolution_and_shape() -> None:
    assert len(SIZES) == len(SHAPES) == 15
    assert SIZES[Shape("1080p", "3:4")] == "1238x1674"
    for size, (_, ratio) in SHAPES.items():
        (width, height), (wide, high) = (map(int, text) for text in (size.split("x"), ratio.split(":")))
        assert abs(width / height - wide / high) < 0.05


@pytest.mark.parametrize(("size", "true"), NEAREST.items())
def test_a_size_of_openai_s_models_is_replaced_with_a_warning(size: str, true: str) -> None:
    found = of_json({"images": [URL], "size": size})
    assert (found.document["resolution"], found.document["aspect_ratio"]) == SHAPES[true]
    [notice] = found.notices
    assert (notice.param, notice.code) == ("size", "size_replaced")
    assert true in notice.message


@pytest.mark.parametrize("size", ["640x480", "1280X720", "auto", "", 720, ["1280x720"]])
def test_another_size_is_refused_with_those_that_there_are(size: object) -> None:
    [problem] = of_json({"size": size}).problems
    assert (problem.param, problem.code) == ("size", "not_one_of")
    assert "1280x720" in problem.message


def test_a_size_must_not_contradict_what_it_means() -> None:
    assert fields(size="1280x720", resolution="720p")["aspect_ratio"] == "16:9"
    found = of_json({"size": "1280x720", "resolution": "540p", "aspect_ratio": "1:1"})
    assert faults(found) == [("resolution", "contradicts_size"), ("aspect_ratio", "contradicts_size")]


@pytest.mark.parametrize(
    ("sent", "images", "videos"),
    [
        ({"input_reference": URL}, [URL], None),
        ({"input_reference": {"image_url": URL}}, [URL], None),
        ({"input_reference": {"file_id": UPLOAD}}, [UPLOAD], None),
        ({"input_reference": {"video_url": URL}, "images": ["b"]}, ["b"], [URL]),
        ({"images": ["b", "c"], "input_reference": "a"}, ["a", "b", "c"], None),
        ({"image": "a"}, ["a"], None),
        ({"reference_images": ["a", {"image_url": "b"}], "images": "c"}, ["a", "b", "c"], None),
        ({"images": ["a"], "reference_videos": [{"video_url": "v"}], "videos": ["w"]}, ["a"], ["v", "w"]),
        ({"images": ["a"], "videos": [{"file_id": UPLOAD}]}, ["a"], [UPLOAD]),
        ({"images": ["a"], "input_reference": MP4_URI}, ["a"], [MP4_URI]),
        ({"images": [], "videos": []}, None, None),
    ],
)
def test_references_come_in_their_order_the_input_reference_first(
    sent: dict[str, Any], images: object, videos: object
) -> None:
    found = of_json(sent)
    assert found.problems == []
    assert (found.document.get("images"), found.document.get("videos")) == (images, videos)


@pytest.mark.parametrize(
    "item", [5, True, {}, {"url": URL}, {"image_url": 5}, {"image_url": URL, "file_id": UPLOAD}, [["a"]]]
)
def test_a_reference_of_another_form_is_refused(item: Any) -> None:
    assert faults(of_json({"input_reference": item})) == [("input_reference", "wrong_type")]


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("n", 2, "out_of_range"),
        ("n", True, "out_of_range"),
        ("metadata", {"a": "b"}, "unknown_parameter"),
        ("duration", 5, "unknown_parameter"),
        ("quality", "high", "unknown_parameter"),
        ("user", 5, "wrong_type"),
    ],
)
def test_what_has_no_meaning_here_is_refused(name: str, value: object, code: str) -> None:
    assert faults(of_json({"images": [URL], name: value})) == [(name, code)]


def test_one_video_and_a_user_are_accepted() -> None:
    found = of_json({"images": [URL], "n": 1, "user": "u" * 100})
    assert found.problems == []
    assert found.user == "u" * 64
    assert not {"n", "user"} & found.document.keys()


@pytest.mark.parametrize("sent", [(("images[]", "a"), ("images[]", "b")), (("images", "a"), ("images", "b"))])
def test_a_list_in_a_form_is_a_repeated_name(sent: tuple[tuple[str, str], ...]) -> None:
    assert form(*sent).document["images"] == ["a", "b"]
    assert form(("image", "a")).document["images"] == ["a"]
    assert form(("images[0]", "a"), ("images[1]", "b")).document["images"] == ["a", "b"]


def test_an_object_in_a_form_has_its_keys_in_brackets() -> None:
    assert form(("input_reference[image_url]", URL)).document["images"] == [URL]
    assert faults(form(("images", "a"), ("metadata[k]", "v"))) == [("metadata", "unknown_parameter")]


@pytest.mark.parametrize("name", ["input_reference", "images", "images[]", "videos", "image"])
def test_a_file_is_what_its_bytes_say(name: str) -> None:
    found = form((name, PNG), (name, MP4))
    assert (found.document["images"], found.document["videos"]) == ([PNG_URI], [MP4_URI])


def test_a_file_of_another_kind_is_refused_with_what_it_is() -> None:
    [problem] = form(("input_reference", b"GIF89a" + bytes(60))).problems
    assert (problem.param, problem.code) == ("input_reference", "media_unknown")
    assert "GIF" in problem.message
    assert faults(form(("prompt", b"x"))) == [("prompt", "wrong_type")]


def test_texts_become_values_only_in_a_form() -> None:
    sent = {"seed": "7", "wm_position": "1", "bgm": "True", "watermark": "false", "n": "1", "seconds": "5"}
    found = form(("images", "a"), *sent.items()).document
    assert {name: found[name] for name in ("seed", "wm_position", "bgm", "watermark", "duration")} == {
        "seed": 7, "wm_position": 1, "bgm": True, "watermark": False, "duration": 5
    }  # fmt: skip
    assert form(("payload", "5"), ("prompt", "true")).document["payload"] == "5"
    assert form(("seed", "x"), ("bgm", "yes")).document["seed"] == "x"  # which the intake refuses
    assert fields(seed="7")["seed"] == "7"


@pytest.mark.parametrize(
    "twice",
    [
        (("prompt", "a"), ("prompt", "a")),
        (("input_reference[image_url]", "a"), ("input_reference", "a")),
        (("input_reference", "a"), ("input_reference[image_url]", "a")),
    ],
)
def test_a_field_that_is_given_twice_is_refused(twice: tuple[tuple[str, str], ...]) -> None:
    assert [code for _, code in faults(form(*twice))] == ["given_twice"]


def test_a_file_and_a_text_of_one_name_are_two_references() -> None:
    assert form(("input_reference", PNG), ("input_reference", URL)).document["images"] == [PNG_URI, URL]


def test_problems_of_ours_come_back_in_the_client_s_names() -> None:
    found = of_json({"input_reference": "a", "images": ["b", "c"], "image": "d"})
    ours = ("duration", "images[0]", "images[2]", "images[3]", "prompt")
    told = found.reworded([Problem(name, "code", "message") for name in ours])
    assert [one.param for one in told] == ["seconds", "input_reference", "images[1]", "image", "prompt"]


def test_that_a_picture_is_missing_is_told_once_and_with_the_way_out() -> None:
    missing = [Problem("images", "required", "send an array")]
    [told] = of_json({}).reworded(missing)
    assert told.param == "input_reference"
    assert "at least one picture" in told.message
    assert of_json({"input_reference": 5}).reworded(missing) == []


def test_null_is_as_nothing() -> None:
    references = ("images", "image", "videos", "input_reference")
    options = ("seed", "watermark", "payload", "callback_url", "aspect_ratio", "resolution", "meta_data")
    found = of_json(dict.fromkeys(("prompt", "model", "seconds", "size", "user", "n", *references, *options)))
    assert (found.document, found.problems, found.notices) == ({"model": MODEL}, [], [])


def test_a_hundred_unknown_names_are_not_explained_one_by_one() -> None:
    assert len(of_json({f"x{number}": 1 for number in range(100)}).problems) == 20
