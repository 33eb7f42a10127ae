"""The models that the Vtrix door offers: what its client needs before it posts a job."""

from __future__ import annotations

import httpx
import pytest

from gateway.generation import GenerationRequest
from gateway.settings import Settings
from tests.gateway.doors.wire import HttpError, ModelList, ModelSpec, Parameter, Spec
from tests.gateway.web.conftest import serving

MODELS = "/api/v1/skill/models"
NAME = "viduq2_pro_reference"


async def spec(client: httpx.AsyncClient, **headers: str) -> Spec:
    answer = await client.get(f"{MODELS}/{NAME}/spec", headers=headers)
    assert answer.status_code == 200
    found = ModelSpec.model_validate(answer.json())
    assert (found.status.code, found.status.message) == (200, "ok")
    assert found.data is not None
    return found.data


@pytest.mark.parametrize(
    ("query", "names", "total"),
    [
        ("", [NAME], 1),
        ("?page=1&page_size=100&type=video&keywords=vidu%20reference", [NAME], 1),
        ("?type=image", [], 0),
        ("?keywords=kling", [], 0),
        ("?page=2", [], 1),
    ],
)
async def test_the_models_are_listed_without_a_key(
    nobody: httpx.AsyncClient, query: str, names: list[str], total: int
) -> None:
    found = ModelList.model_validate((await nobody.get(MODELS + query)).json())
    assert ([one.id for one in found.data.models], found.data.total) == (names, total)


@pytest.mark.parametrize("query", ["?page=0", "?page_size=1000000", "?keywords=" + "x" * 201, "?other=1"])
async def test_a_wrong_page_is_refused(nobody: httpx.AsyncClient, query: str) -> None:
    answer = await nobody.get(MODELS + query)
    assert answer.status_code == 400
    HttpError.model_validate(answer.json())


async def test_an_unknown_model_is_a_404_in_the_envelope(nobody: httpx.AsyncClient) -> None:
    for name in ("kling_v3", "x" * 5000, "..%2f"):
        answer = await nobody.get(f"{MODELS}/{name}/spec")
        assert answer.status_code == 404
        if name != "..%2f":  # no name at all, but another path
            assert ModelSpec.model_validate(answer.json()).status.code == 404


async def test_the_parameters_are_those_of_the_model(nobody: httpx.AsyncClient) -> None:
    found = {one.name: one for one in (await spec(nobody)).parameters}
    assert list(found) == [name for name in GenerationRequest.model_fields if name != "model"]
    assert {one.name for one in found.values() if one.required} == {"images", "prompt"}
    assert {name: one.type for name, one in found.items() if one.type != "string"} == {
        **dict.fromkeys(("images", "videos"), "array"),
        **dict.fromkeys(("bgm", "off_peak", "watermark"), "boolean"),
        **dict.fromkeys(("duration", "seed", "wm_position"), "int"),
    }
    assert all(one.path == f"input[].params.{one.name}" and one.description for one in found.values())
    shown = (await spec(nobody)).agent_prompt
    assert all(f"- {name} (" in shown for name in found)
    assert limits(found["duration"]) == {"default": 5, "min": 0, "max": 10}
    assert limits(found["resolution"]) == {"default": "720p", "enum": ["540p", "720p", "1080p"]}
    assert limits(found["images"]) == {"max_items": 7}
    assert limits(found["videos"]) == {"max_items": 2}


async def test_the_longest_prompt_is_given_in_bytes(nobody: httpx.AsyncClient) -> None:
    [prompt] = [one for one in (await spec(nobody)).parameters if one.name == "prompt"]
    assert limits(prompt) == {"min_length": 1, "max_length": 20_000}


def limits(parameter: Parameter) -> dict[str, object]:
    assert parameter.constraints is not None
    return parameter.constraints.model_dump(exclude_none=True)


async def test_the_address_is_that_of_the_request(nobody: httpx.AsyncClient) -> None:
    assert (await spec(nobody)).api.endpoint == "http://gateway/model/v1/generation"
    assert (await spec(nobody, host="[::1]:8080")).api.endpoint == "http://[::1]:8080/model/v1/generation"


@pytest.mark.parametrize(
    ("host", "endpoint"),
    [
        ("gateway.example.com", "https://gateway.example.com/video/model/v1/generation"),
        ("GATEWAY.example.com", "https://gateway.example.com/video/model/v1/generation"),
        ("inner.example.com", "https://gateway.example.com/video/model/v1/generation"),
    ],
)
async def test_the_address_is_the_one_that_the_operator_set(
    settings: Settings, empty_redis: None, host: str, endpoint: str
) -> None:
    known = settings.model_copy(update={"client_url": "https://gateway.example.com/video"})
    async with (
        serving(known) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client,
    ):
        assert (await spec(client, host=host)).api.endpoint == endpoint


@pytest.mark.parametrize("hosts", [[], ["gateway"]], ids=["any host", "hosts are known"])
async def test_without_a_setting_its_client_still_gets_an_address(
    settings: Settings, empty_redis: None, hosts: list[str]
) -> None:
    async with (
        serving(settings.model_copy(update={"allowed_hosts": hosts})) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client,
    ):
        assert (await spec(client)).api.endpoint == "http://gateway/model/v1/generation"


async def test_a_host_that_is_not_allowed_is_not_put_into_an_address(
    settings: Settings, empty_redis: None
) -> None:
    strict = settings.model_copy(update={"allowed_hosts": ["gateway"]})
    async with (
        serving(strict) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client,
    ):
        assert (await spec(client)).api.endpoint.startswith("http://gateway/")
        answer = await client.get(f"{MODELS}/{NAME}/spec", headers={"host": "evil.example.com"})
        assert answer.status_code == 400
        assert "evil" not in answer.text
