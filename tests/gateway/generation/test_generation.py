from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import generation
from gateway.errors import InvalidRequest, MalformedBody, Problem
from gateway.generation import GenerationRequest, Limits, attach_media, detach_media, upstream_params
from tests.effort import scaled
from tests.gateway.generation.bodies import CLIP, IMAGE, SMALLEST, encoded, parse, problems_of
from tests.gateway.generation.media_samples import clip, data_uri, image
from tests.gateway.strict_json.test_strict_json import JSON_VALUES

KNOWN = list(GenerationRequest.model_fields)


def test_the_wire_form_means_the_same_as_the_flat_one() -> None:
    params = {name: value for name, value in SMALLEST.items() if name != "model"} | {"duration": 0}
    wire = {"model": SMALLEST["model"], "input": [{"params": params}]}
    flat = generation.parse(encoded(duration=0), Limits())
    assert generation.parse(json.dumps(wire).encode(), Limits()) == flat


def test_the_wire_form_may_name_the_model_inside() -> None:
    wire = {"input": [{"params": SMALLEST}]}
    request, _ = generation.parse(json.dumps(wire).encode(), Limits())
    assert request.model == SMALLEST["model"]


@pytest.mark.parametrize(
    ("wrapped", "param"),
    [
        ([], "input"),
        ({}, "input"),
        (None, "input"),
        ([1], "input"),
        ([{"params": SMALLEST}] * 2, "input"),
        ([{}], "input[0].params"),
        ([{"params": [SMALLEST]}], "input[0].params"),
    ],
)
def test_a_wire_form_of_another_shape_is_refused(wrapped: object, param: str) -> None:
    (problem,) = problems_of(json.dumps({"model": "viduq2_pro_reference", "input": wrapped}).encode())
    assert (problem.param, problem.code) == (param, "wire_form")


def test_a_parameter_given_inside_and_outside_must_agree() -> None:
    wire = {"model": "another", "input": [{"params": SMALLEST}]}
    (problem,) = problems_of(json.dumps(wire).encode())
    assert (problem.param, problem.code) == ("model", "given_twice")
    problems = problems_of(json.dumps(wire | {"moderation": True}).encode())
    assert [problem.param for problem in problems] == ["model", "moderation"]


def test_the_upstream_gets_what_was_set_and_has_a_meaning() -> None:
    request, _ = parse(
        videos=[CLIP],
        bgm=False,
        duration=0,
        seed=7,
        watermark=False,
        payload="mine",
        callback_url="https://example.com/",
        off_peak=False,
        meta_data="{}",
    )
    assert upstream_params(request) == {
        "images": [IMAGE],
        "videos": [CLIP],
        "prompt": "A hero at dusk",
        "bgm": False,
        "duration": 0,
        "seed": 7,
        "watermark": False,
        "meta_data": "{}",
    }


@pytest.mark.parametrize("empty", [{"videos": []}, {"videos": None}, {"seed": 0}, {"off_peak": False}, {}])
def test_the_upstream_does_not_get_what_means_the_same_as_absent(empty: dict[str, object]) -> None:
    request, _ = parse(**empty)
    assert upstream_params(request) == {"images": [IMAGE], "prompt": "A hero at dusk"}


def test_off_peak_is_forwarded_when_it_is_allowed() -> None:
    request, _ = parse(Limits(off_peak=True), off_peak=True)
    assert upstream_params(request)["off_peak"] is True


def test_the_prompt_is_forwarded_with_its_spaces() -> None:
    request, _ = parse(prompt=" a ")
    assert upstream_params(request)["prompt"] == " a "


async def test_inline_media_are_detached_and_attached_again() -> None:
    kept: dict[str, bytes] = {}

    async def put(raw: bytes, extension: str) -> str:
        reference = f"blob:job_1/{len(kept):064}.{extension}"
        kept[reference] = raw
        return reference

    async def read(reference: str) -> bytes:
        return kept[reference]

    picture, film = image("jpeg"), clip(0.5)
    request, _ = parse(
        images=[IMAGE, data_uri("image/jpg", picture), IMAGE],
        videos=[data_uri("video/mp4", film)],
        duration=0,
    )
    assert [media.param for media in request.inline_media] == ["images[1]", "videos[0]"]
    stored = await detach_media(request, put)
    assert len(json.dumps(stored)) < 500
    assert stored["images"] == [IMAGE, f"blob:job_1/{0:064}.jpg", IMAGE]
    assert stored["videos"] == [f"blob:job_1/{1:064}.mp4"]
    assert list(kept.values()) == [picture, film]
    whole = await attach_media(stored, read)
    assert whole == upstream_params(request) | {
        "images": [IMAGE, data_uri("image/jpeg", picture), IMAGE],
        "videos": [data_uri("video/mp4", film)],
    }
    assert stored["videos"] == [f"blob:job_1/{1:064}.mp4"]


async def test_params_with_only_urls_are_stored_and_sent_unchanged() -> None:
    async def nothing(*_: object) -> str:
        raise AssertionError("there is nothing to keep")

    async def none(_: str) -> bytes:
        raise AssertionError("there is nothing to read")

    request, _ = parse(videos=[])
    stored = await detach_media(request, nothing)
    assert stored == {"images": [IMAGE], "prompt": "A hero at dusk"}
    assert await attach_media(stored, none) == stored


def test_a_client_cannot_name_inline_media_of_another_job() -> None:
    (problem,) = problems_of(encoded(images=[f"blob:job_2/{0:064}.png"]))
    assert problem.code == "url_scheme"


def test_two_clips_may_each_be_shorter_than_one() -> None:
    film = data_uri("video/mp4", clip(0.5))
    one, _ = parse(videos=[film])
    two, _ = parse(videos=[film, CLIP])
    assert [media.max_seconds for media in one.inline_media] == [8.0]
    assert [media.max_seconds for media in two.inline_media] == [5.0]


def test_a_request_does_not_show_what_its_client_wrote() -> None:
    request, _ = parse(payload="sesame", prompt="sesame", images=["https://example.com/sesame"])
    assert "sesame" not in repr(request)


def test_the_schema_shows_every_limit() -> None:
    schema = GenerationRequest.model_json_schema()
    shown = schema["properties"]
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["model", "images", "prompt"]
    assert all(shown[name]["description"] for name in KNOWN)
    assert shown["model"]["enum"] == ["viduq2_pro_reference"]
    assert (shown["images"]["minItems"], shown["images"]["maxItems"]) == (1, 7)
    assert schema["then"]["properties"]["images"]["maxItems"] == 4
    assert shown["videos"]["anyOf"][0]["maxItems"] == 2
    assert (shown["prompt"]["minLength"], shown["prompt"]["maxLength"]) == (1, 5000)
    assert (shown["duration"]["minimum"], shown["duration"]["maximum"], shown["duration"]["default"]) == (
        0,
        10,
        5,
    )
    assert (shown["seed"]["minimum"], shown["seed"]["maximum"]) == (0, 2147483647)
    assert (shown["wm_position"]["minimum"], shown["wm_position"]["maximum"]) == (1, 4)
    assert shown["aspect_ratio"]["enum"] == ["16:9", "9:16", "4:3", "3:4", "1:1"]
    assert shown["resolution"]["enum"] == ["540p", "720p", "1080p"]
    lengths = {"payload": 1_048_576, "meta_data": 65_536, "callback_url": 2048, "wm_url": 8192}
    for name, most in lengths.items():
        assert (shown[name]["type"], shown[name]["maxLength"]) == ("string", most)
        assert "default" not in shown[name]


def test_the_schemas_examples_are_accepted() -> None:
    for example in GenerationRequest.model_json_schema()["examples"]:
        generation.parse(json.dumps(example).encode(), Limits())


@settings(max_examples=scaled(50))
@given(
    JSON_VALUES
    | st.dictionaries(st.sampled_from([*KNOWN, "input", "params", "audio"]) | st.text(), JSON_VALUES)
    | st.dictionaries(st.sampled_from(KNOWN), JSON_VALUES).map(lambda changes: SMALLEST | changes)
    | JSON_VALUES.map(lambda value: {"input": [{"params": value}]})
)
def test_any_json_value_is_accepted_or_refused_with_reasons(value: object) -> None:
    problems: Sequence[Problem] | None = None
    try:
        generation.parse(json.dumps(value).encode(), Limits())
    except InvalidRequest as refused:
        problems = refused.problems
    assert problems is None or problems
    assert all(problem.code and problem.message for problem in problems or ())


@given(st.binary())
def test_random_bytes_are_refused_as_a_request(raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        generation.parse(raw, Limits())


def test_what_is_not_json_is_malformed() -> None:
    with pytest.raises(MalformedBody):
        generation.parse(b'{"model":', Limits())
