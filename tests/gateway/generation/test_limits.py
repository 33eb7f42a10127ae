"""Every parameter at, before and beyond each of its limits."""

from __future__ import annotations

import json

import pytest

from gateway.generation import Limits
from tests.gateway.generation.bodies import CLIP, IMAGE, SMALLEST, only_problem, parse, problems_of

ACCEPTED: list[tuple[str, object]] = [
    ("images", [IMAGE]),
    ("images", [IMAGE] * 7),
    ("videos", None),
    ("videos", []),
    ("videos", [CLIP]),
    ("videos", [CLIP, CLIP]),
    ("prompt", "x"),
    ("prompt", "\U0001f600" * 5000),
    ("bgm", True),
    ("bgm", False),
    ("duration", 0),
    ("duration", 10),
    ("duration", 5.0),
    ("seed", 0),
    ("seed", 2147483647),
    *[("aspect_ratio", word) for word in ("16:9", "9:16", "4:3", "3:4", "1:1")],
    *[("resolution", word) for word in ("540p", "720p", "1080p")],
    ("payload", ""),
    ("payload", "\U0001f600" * 1_048_576),
    ("off_peak", False),
    ("watermark", True),
    ("wm_position", 1),
    ("wm_position", 4),
    ("wm_url", IMAGE),
    ("meta_data", '{"Label":"AI"}'),
    ("meta_data", '"' + "x" * 65_534 + '"'),
    ("callback_url", "http://192.168.1.7:9000/hooks?x=1"),
    ("callback_url", "https://example.com/" + "x" * 2028),
]

REFUSED: list[tuple[str, object, str]] = [
    ("model", "viduq2-pro", "unknown_model"),
    ("model", 2, "wrong_type"),
    ("images", [], "too_few"),
    ("images", [IMAGE] * 8, "too_many"),
    ("images", IMAGE, "wrong_type"),
    ("images", None, "wrong_type"),
    ("images", {"0": IMAGE}, "wrong_type"),
    ("videos", [CLIP] * 3, "too_many"),
    ("videos", CLIP, "wrong_type"),
    ("prompt", "", "blank"),
    ("prompt", " \n\u3000", "blank"),
    ("prompt", "\u200b\u2800\u3164", "blank"),
    ("prompt", "x" * 5001, "too_long"),
    ("prompt", 5, "wrong_type"),
    ("prompt", None, "wrong_type"),
    ("bgm", "true", "wrong_type"),
    ("bgm", 1, "wrong_type"),
    ("bgm", None, "wrong_type"),
    ("duration", -1, "out_of_range"),
    ("duration", 11, "out_of_range"),
    ("duration", 1e300, "out_of_range"),
    ("duration", 10.5, "wrong_type"),
    ("duration", "5", "wrong_type"),
    ("duration", True, "wrong_type"),
    ("duration", None, "wrong_type"),
    ("duration", [5], "wrong_type"),
    ("seed", -1, "out_of_range"),
    ("seed", 2147483648, "out_of_range"),
    ("seed", "7", "wrong_type"),
    ("seed", False, "wrong_type"),
    ("aspect_ratio", "21:9", "not_one_of"),
    ("aspect_ratio", 1, "wrong_type"),
    ("aspect_ratio", None, "wrong_type"),
    ("resolution", "1080P", "not_one_of"),
    ("resolution", 720, "wrong_type"),
    ("payload", "x" * 1_048_577, "too_long"),
    ("payload", {"order": 7}, "wrong_type"),
    ("payload", None, "wrong_type"),
    ("off_peak", True, "off_peak_unavailable"),
    ("off_peak", "yes", "wrong_type"),
    ("watermark", 0, "wrong_type"),
    ("wm_position", 0, "out_of_range"),
    ("wm_position", 5, "out_of_range"),
    ("wm_position", True, "wrong_type"),
    ("wm_url", "data:image/png;base64,AAAA", "url_scheme"),
    ("wm_url", "http://10.0.0.1/wm.png", "url_not_public"),
    ("wm_url", None, "wrong_type"),
    ("meta_data", {"Label": "AI"}, "wrong_type"),
    ("meta_data", "x" * 65_537, "too_long"),
    ("meta_data", None, "wrong_type"),
    ("callback_url", "", "url_scheme"),
    ("callback_url", "https://example.com/" + "x" * 2029, "too_long"),
    ("wm_url", "https://example.com/" + "x" * 8173, "too_long"),
    ("callback_url", "ftp://example.com/", "url_scheme"),
    ("callback_url", "https://u:p@example.com/", "url_userinfo"),
    ("callback_url", "https://example.com/#top", "url_fragment"),
    ("callback_url", None, "wrong_type"),
]


@pytest.mark.parametrize(("name", "value"), ACCEPTED)
def test_a_value_within_the_limits_is_accepted_unchanged(name: str, value: object) -> None:
    request, _ = parse(**{name: value})
    assert getattr(request, name) == value
    assert not isinstance(getattr(request, name), float)


@pytest.mark.parametrize(("name", "value", "code"), REFUSED)
def test_a_value_beyond_the_limits_is_refused_once(name: str, value: object, code: str) -> None:
    problem = only_problem(**{name: value})
    assert (problem.param, problem.code) == (name, code)
    assert problem.message


@pytest.mark.parametrize("name", SMALLEST)
def test_a_missing_required_parameter_is_reported(name: str) -> None:
    body = {key: value for key, value in SMALLEST.items() if key != name}
    (problem,) = problems_of(json.dumps(body).encode())
    assert (problem.param, problem.code) == (name, "required")


def test_the_published_defaults_hold() -> None:
    request, notices = parse()
    assert notices == []
    assert request.model_dump(exclude={"model", "images", "prompt"}) == {
        "videos": None,
        "bgm": False,
        "duration": 5,
        "seed": 0,
        "aspect_ratio": "16:9",
        "resolution": "720p",
        "payload": None,
        "off_peak": False,
        "watermark": False,
        "wm_position": 3,
        "wm_url": None,
        "meta_data": None,
        "callback_url": None,
    }


def test_a_video_allows_four_images_and_not_five() -> None:
    parse(images=[IMAGE] * 4, videos=[CLIP])
    parse(images=[IMAGE] * 7, videos=[])
    problem = only_problem(images=[IMAGE] * 5, videos=[CLIP])
    assert (problem.param, problem.code) == ("images", "too_many_images_with_video")
    assert only_problem(images=[IMAGE] * 8, videos=[CLIP]).code == "too_many"


@pytest.mark.parametrize(
    ("limits", "change"),
    [
        (Limits(off_peak=True), {"off_peak": True}),
        (Limits(allow_private_media_urls=True), {"images": ["http://sandbox:8090/hero.png"]}),
        (Limits(models=("viduq2_pro_reference", "viduq3")), {"model": "viduq3"}),
    ],
)
def test_a_setting_allows_what_is_refused_without_it(limits: Limits, change: dict[str, object]) -> None:
    parse(limits, **change)
    only_problem(**change)


@pytest.mark.parametrize(
    ("limits", "change"),
    [
        (Limits(prompt_max_characters=100), {"prompt": "x" * 101}),
        (Limits(payload_max_characters=100), {"payload": "x" * 101}),
    ],
)
def test_a_setting_lowers_a_limit(limits: Limits, change: dict[str, object]) -> None:
    parse(**change)
    assert only_problem(limits, **change).message.endswith("at most 100")
