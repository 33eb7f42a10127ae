"""All problems at once, each with the way out; and what is accepted with a remark."""

from __future__ import annotations

import json

import pytest

from gateway.generation import Limits, inspection
from tests.gateway.generation.bodies import CLIP, IMAGE, SMALLEST, encoded, only_problem, parse, problems_of
from tests.gateway.generation.media_samples import clip, data_uri, image


def test_every_problem_is_reported_at_once_in_the_order_of_the_documentation() -> None:
    body = {
        "imagess": 1,
        "audio": True,
        "callback_url": "https://a.example/#x",
        "meta_data": {},
        "off_peak": True,
        "resolution": "4k",
        "seed": -1,
        "duration": "5",
        "prompt": " ",
        "videos": ["https://u:p@a.example/"],
        "images": [
            IMAGE,
            "http://localhost/a.png",
            3,
            data_uri("image/png", image("webp")),
            data_uri("image/png", image("png", (64, 64))),
        ],
    }
    found = [(problem.param, problem.code) for problem in problems_of(json.dumps(body).encode())]
    assert found == [
        ("model", "required"),
        ("images", "too_many_images_with_video"),
        ("images[1]", "url_not_public"),
        ("images[2]", "wrong_type"),
        ("images[3]", "media_type_mismatch"),
        ("images[4]", "media_too_small"),
        ("videos[0]", "url_userinfo"),
        ("prompt", "blank"),
        ("duration", "wrong_type"),
        ("seed", "out_of_range"),
        ("resolution", "not_one_of"),
        ("off_peak", "off_peak_unavailable"),
        ("meta_data", "wrong_type"),
        ("callback_url", "url_fragment"),
        ("imagess", "unknown_parameter"),
        ("audio", "unknown_parameter"),
    ]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("duration", "5", 'send the number 5, not the string "5"'),
        ("duration", True, "send a whole number of seconds from 0 to 10, not true"),
        ("duration", None, "null is not accepted; leave duration out, or send a whole number"),
        ("model", None, 'null is not accepted; send a string such as "viduq2_pro_reference"'),
        ("images", None, "null is not accepted; send an array of strings"),
        ("prompt", None, "null is not accepted; send a string"),
        ("bgm", "True", 'send true without quotes, not the string "True"'),
        ("resolution", "1080P", '"1080P" is not one of 540p, 720p, 1080p; did you mean 1080p?'),
        ("resolution", "x" * 500, "a string is not one of 540p, 720p, 1080p"),
        ("aspect_ratio", "16x9", "did you mean 16:9?"),
        ("seed", -1, "use 0, or leave it out, for a random one"),
        ("wm_position", 9, "3 bottom-right"),
        ("meta_data", {"a": 1}, "send a string, not an object; send it JSON-encoded"),
        ("payload", ["a"], "send a string, not an array; send it JSON-encoded"),
        ("images", IMAGE, "send an array of strings, also for one image"),
        ("images", [IMAGE] * 9, "9 images; send 1 to 7, or 1 to 4 together with a video"),
        ("videos", [CLIP] * 3, "one clip of up to 8 s, or two of up to 5 s each"),
        ("model", "vidu", "send viduq2_pro_reference"),
        ("off_peak", True, "leave it out, or send false"),
        ("prompt", "x" * 5001, "has 5001 characters; shorten it to at most 5000"),
    ],
)
def test_a_message_says_what_to_send_instead(name: str, value: object, message: str) -> None:
    assert message in only_problem(**{name: value}).message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("image", "did you mean images?"),
        ("aspectRatio", "did you mean aspect_ratio?"),
        ("callbackUrl", "did you mean callback_url?"),
        ("metadata", "did you mean meta_data?"),
        ("DURATION", "did you mean duration?"),
        ("movement_amplitude", "no effect on this model"),
        ("audio", "use bgm"),
        ("subjects", "into images"),
        ("Authorization", "is a header"),
        ("zzz", "the parameters are model, images, videos, prompt"),
        ("", "the parameters are"),
    ],
)
def test_the_message_for_an_unknown_name_says_what_to_use(name: str, message: str) -> None:
    problem = only_problem(**{name: "sesame"})
    assert (problem.param, problem.code) == (name, "unknown_parameter")
    assert message in problem.message
    assert "sesame" not in problem.message


def test_many_unknown_names_are_summarized() -> None:
    problems = problems_of(encoded(**{f"name{at}" + "x" * 1000: at for at in range(5000)}))
    assert len(problems) == 21
    assert problems[-1].message.startswith("4980 more names")
    assert max(len(problem.param) for problem in problems) == 64


def test_no_message_quotes_a_url_or_a_long_text() -> None:
    secret = "https://u:sesame@example.com/?sesame=sesame"
    body = dict.fromkeys(("aspect_ratio", "duration", "bgm"), "sesame" * 20)
    body |= {"callback_url": secret, "wm_url": secret}
    told = problems_of(encoded(images=[secret], videos=["data:video/sesame;base64,sesame"], **body))
    assert len(told) == 7
    assert not [problem for problem in told if "sesame" in problem.message]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"bgm": True, "duration": 9}, [("bgm", "bgm_no_effect")]),
        ({"bgm": True, "duration": 10.0}, [("bgm", "bgm_no_effect")]),
        ({"bgm": True, "duration": 0}, [("bgm", "bgm_may_not_apply")]),
        ({"bgm": True, "duration": 8}, []),
        ({"bgm": True}, []),
        ({"bgm": False, "duration": 9}, []),
        ({"prompt": "x" * 2000}, []),
        ({"prompt": "x" * 2001}, [("prompt", "prompt_long")]),
        ({"wm_position": 1}, [("wm_position", "watermark_off")]),
        ({"wm_url": IMAGE, "watermark": False}, [("wm_url", "watermark_off")]),
        ({"wm_url": IMAGE, "wm_position": 1, "watermark": True}, []),
        ({"meta_data": "plain"}, [("meta_data", "meta_data_not_json")]),
        ({"meta_data": '{"a":1,"a":2}'}, [("meta_data", "meta_data_not_json")]),
        ({"meta_data": "{}"}, []),
    ],
)
def test_a_notice_points_out_what_may_surprise(
    change: dict[str, object], expected: list[tuple[str, str]]
) -> None:
    _, notices = parse(**change)
    assert [(notice.param, notice.code) for notice in notices] == expected
    assert all(notice.message for notice in notices)


def test_the_length_that_gets_a_notice_can_be_set() -> None:
    _, notices = parse(Limits(prompt_warn_characters=10), prompt="x" * 11)
    assert [notice.code for notice in notices] == ["prompt_long"]


def test_a_clip_that_cannot_be_inspected_gets_a_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    film = data_uri("video/mp4", clip(0.5))
    assert parse(videos=[film])[1] == []
    monkeypatch.setattr(inspection, "can_inspect", lambda: False)
    _, notices = parse(videos=[CLIP, film])
    assert [(notice.param, notice.code) for notice in notices] == [("videos[1]", "clip_not_inspected")]


def test_a_picture_in_doubt_that_cannot_be_inspected_gets_a_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "can_inspect", lambda: False)
    pictures = [data_uri("image/png", image()), data_uri("image/png", image() + b"more")]
    _, notices = parse(images=pictures)
    assert [(notice.param, notice.code) for notice in notices] == [("images[1]", "image_not_inspected")]


@pytest.mark.parametrize("body", [[], "text", 5, None, True])
def test_a_body_that_is_not_an_object_is_refused(body: object) -> None:
    (problem,) = problems_of(json.dumps(body).encode())
    assert (problem.param, problem.code) == ("", "not_an_object")


def test_an_empty_object_lacks_what_is_required() -> None:
    assert [problem.param for problem in problems_of(b"{}")] == list(SMALLEST)
